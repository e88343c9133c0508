"""An image moved against the gate: inside its ball, and read lower; a suffix searched against the model."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from tiny_llava import question, tiny_llava
from unsee.attacks.gate_search import away_from, image_scores
from unsee.attacks.gcg import suffix
from unsee.erase.gates.scope import Scope
from unsee.erase.gates.subject import SubjectGate
from unsee.models.generate import encode


def gated(width: int) -> Any:
    """As much of an eraser as the search reads: a gate of two subjects."""
    weight = torch.randn(2, 2, 2, width, generator=torch.Generator().manual_seed(1))
    zero, scope = torch.zeros(2, dtype=torch.int64), Scope.everything(2, width)
    return SimpleNamespace(gate=SubjectGate((0, 1), weight, torch.zeros(2, 2), torch.zeros(2), scope, zero, zero[:0]))


def test_images_are_moved_within_their_ball_until_the_gate_reads_less() -> None:
    loaded = tiny_llava()
    asked = [question(n) for n in range(3)]
    eraser = gated(loaded.adapter.hidden_size(loaded.model))

    def pixels(samples: Any) -> torch.Tensor:
        return loaded.adapter.pixels(loaded.processor, [one.shown[0] for one in samples])

    def scores(samples: Any) -> torch.Tensor:
        with torch.no_grad():
            return image_scores(loaded, cast("Any", dict(encode(loaded, samples))), pixels(samples), [eraser])

    modes = [module.training for module in loaded.model.modules()]
    moved = away_from(loaded, asked, [eraser], 8 / 255, torch.Generator().manual_seed(0))
    assert (pixels(moved) - pixels(asked)).abs().max() <= 8 / 255 + 1e-6
    assert bool((scores(moved) < scores(asked) - 1e-3).all())
    assert modes == [module.training for module in loaded.model.modules()]
    assert all(p.grad is None for p in loaded.model.parameters())


def test_a_suffix_is_searched() -> None:
    pytest.importorskip("nanogcg")
    loaded = tiny_llava()
    one = question(0, image=False)
    found = suffix(loaded, one, 0, steps=2, width=8)
    assert found and suffix(loaded, one, 0, steps=2, width=8) == found
