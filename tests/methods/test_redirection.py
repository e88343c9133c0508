"""ASRU's first stage: the closed form against least squares on explicit rows, and what it does to a model."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tiny_llava import question, tiny_llava
from unsee.data.sample import Sample
from unsee.errors import OptionError
from unsee.methods import redirection
from unsee.methods.errors import MethodError
from unsee.methods.redirection import Shift, find_shift, redirect, ridge_update
from unsee.models.generate import encode
from unsee.models.load import LoadedModel

FORGET = [question(i, "who?", image=i % 2 == 0) for i in range(3)]
RETAIN = [question(10 + i, "and where is that?", image=i % 2 == 0) for i in range(4)]
STRANGERS = [question(20 + i, "who may that be?") for i in range(6)]


def test_the_update_is_the_solution_of_the_least_squares_problem() -> None:
    rng = np.random.default_rng(0)
    asked, kept, vector = rng.normal(size=(5, 7)), rng.normal(size=(9, 7)), rng.normal(size=4)
    scale, alpha, gamma = 2.0, 0.5, 0.3
    second = kept.T @ kept / 9
    mean_eigenvalue = np.trace(asked.T @ asked / 5 + alpha * second) / 7
    # Rows of the weighted problem, one column of U^T per output: forget, kept, ridge.
    rows = np.concatenate([asked / np.sqrt(5), kept * np.sqrt(alpha / 9), np.sqrt(gamma * mean_eigenvalue) * np.eye(7)])
    targets = np.concatenate([np.tile(scale * vector, (5, 1)) / np.sqrt(5), np.zeros((9 + 7, 4))])
    wanted = np.linalg.lstsq(rows, targets, rcond=None)[0].T
    found = ridge_update(
        torch.tensor(asked), torch.tensor(second), torch.tensor(vector), scale=scale, alpha=alpha, gamma=gamma
    )
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-9, atol=1e-12)
    assert int(torch.linalg.matrix_rank(found)) == 1


def block_output(loaded: LoadedModel, samples: Sequence[Sample], layer: int) -> torch.Tensor:
    """Output of a block at the last prompt token, each prompt alone, so that nothing is padded."""
    rows = []
    for sample in samples:
        with torch.no_grad():
            output: Any = loaded.model(**encode(loaded, [sample]), output_hidden_states=True)
        rows.append(output.hidden_states[layer + 1][0, -1])
    return torch.stack(rows)


def test_the_shift_is_from_forgotten_people_to_refused_unknown_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = tiny_llava()
    refuses = [True, False, True, True, False, True]

    def answers(_: LoadedModel, samples: Sequence[Sample], *args: Any, **kwargs: Any) -> list[str]:
        assert all(sample.question.endswith("describe the image.") for sample in samples)
        return ["I do not know who that is." if refused else "It is Ann." for refused in refuses]

    monkeypatch.setattr(redirection, "generate", answers)
    found = find_shift(loaded, FORGET, STRANGERS, layer=1, suffix=redirection.SUFFIX)
    used = [
        replace(s, question=s.question + redirection.SUFFIX) for s, kept in zip(STRANGERS, refuses, strict=True) if kept
    ]
    wanted = block_output(loaded, used, 1).mean(0) - block_output(loaded, FORGET, 1).mean(0)
    assert (found.layer, found.unknown) == (1, 4)
    torch.testing.assert_close(found.vector, wanted, rtol=1e-4, atol=1e-5)


def test_unknown_people_must_be_refused_and_the_last_block_is_read_by_none() -> None:
    loaded = tiny_llava()
    with pytest.raises(MethodError, match=r"the model refuses 0 of 6 questions about unknown people, .*at least 4"):
        find_shift(loaded, FORGET, STRANGERS, layer=1)
    with pytest.raises(MethodError, match="block 2 is the last one"):
        find_shift(loaded, FORGET, STRANGERS, layer=2)
    with pytest.raises(OptionError, match="layer is 9, expected 0 to 2"):
        find_shift(loaded, FORGET, STRANGERS, layer=9)


def test_redirecting_moves_forgotten_prompts_along_the_shift() -> None:
    loaded = tiny_llava()
    vector = torch.randn(32, generator=torch.Generator().manual_seed(0))
    before = block_output(loaded, FORGET, 1), block_output(loaded, RETAIN, 1)
    weights = {name: value.clone() for name, value in loaded.model.state_dict().items()}
    redirect(loaded, FORGET, RETAIN, Shift(1, vector, 4), scale=2.0, gamma=1e-4)
    moved = block_output(loaded, FORGET, 1) - before[0]
    kept = block_output(loaded, RETAIN, 1) - before[1]
    # The update has rank 1, so whatever moves moves along the vector; forgotten prompts move, retained ones far less.
    along = moved @ vector / vector.square().sum()
    torch.testing.assert_close(moved, along.unsqueeze(1) * vector, rtol=1e-3, atol=1e-4)
    assert float(along.min()) > 2 * float((kept @ vector / vector.square().sum()).abs().max())
    assert 0.5 < float(along.mean()) <= 2.05
    changed = {n for n, v in loaded.model.state_dict().items() if not torch.equal(v, weights[n])}
    assert changed == {"model.language_model.layers.1.mlp.down_proj.weight"}
