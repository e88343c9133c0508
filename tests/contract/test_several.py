"""Several erasers that fire on one prompt steer it once, as the strongest of them says, and an oracle agrees."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from tiny_families import FIRED, NEW, answer, fresh, logits, oracle_answer, require_clean, samples, steered
from tiny_llava import WIDTH
from unsee.erase.eraser import Eraser
from unsee.erase.gates.prompt_ridge import PromptRidgeGate
from unsee.models.generate import encode
from unsee.models.load import LoadedModel


def raised(eraser: Eraser, by: float, **changes: Any) -> Eraser:
    """The same gate, so much further above its threshold."""
    assert isinstance(eraser.gate, PromptRidgeGate)
    return replace(eraser, gate=replace(eraser.gate, threshold=eraser.gate.threshold - by), **changes)


def other_way(eraser: Eraser, layers: tuple[int, ...], seed: int) -> dict[str, Any]:
    drawn = torch.randn(len(layers), 4, WIDTH, generator=torch.Generator().manual_seed(seed))
    return {"layers": layers, "trajectory": drawn, "strength": eraser.strength + seed}


def test_requests_of_one_direction_steer_as_one_of_them(loaded: LoadedModel, held: Eraser) -> None:
    inputs = encode(loaded, samples(loaded))
    with steered(loaded, held) as alone:
        once, tokens = logits(loaded, inputs), answer(loaded, inputs)
    with steered(loaded, held, raised(held, 0.1), held) as together:
        assert torch.equal(logits(loaded, inputs), once) and torch.equal(answer(loaded, inputs), tokens)
    assert together.positions == alone.positions == 2 * 2 + 2 * 2 * NEW
    with steered(loaded, held), steered(loaded, raised(held, 0.1)), steered(loaded, held):
        assert torch.equal(logits(loaded, inputs), once)
    fired = [reading.fired.tolist() for reading in together.readings if reading is not None]
    assert fired == [FIRED] * 3, "each still says for itself that it knows the prompt"
    require_clean(loaded.model)


def test_of_several_directions_the_strongest_steers_each_row_and_layer(loaded: LoadedModel, held: Eraser) -> None:
    """Row by row: some rows know one gate more, and one eraser steers the last layer only."""
    loaded = fresh(loaded)
    loaded.model.double()
    assert isinstance(held.gate, PromptRidgeGate)
    erasers = [
        held,
        raised(held, 0.2, **other_way(held, (2,), 1)),
        raised(held, 1.2, **other_way(held, (1, 2), 2)),  # fires on every row, and is the strongest on none of FIRED
    ]
    erasers[2] = replace(
        erasers[2], gate=replace(erasers[2].gate, weight=held.gate.weight / 10, bias=held.gate.bias / 10)
    )
    inputs = encode(loaded, samples(loaded))
    with steered(loaded, *erasers) as steering, torch.no_grad():
        got = loaded.model.generate(
            **inputs, do_sample=False, max_new_tokens=NEW, min_new_tokens=NEW, pad_token_id=3,
            output_logits=True, return_dict_in_generate=True,
        )  # fmt: skip
    said, tokens = torch.stack(got.logits, dim=1), got.sequences[:, inputs["input_ids"].shape[1] :]
    changed = 0
    for row, sample in enumerate(samples(loaded)):
        one = encode(loaded, [sample])
        expected, scores = oracle_answer(loaded, one, erasers)
        assert torch.equal(tokens[row], expected)
        torch.testing.assert_close(said[row].double(), scores, rtol=1e-5, atol=1e-4)
        changed += not torch.allclose(_alone(loaded, one, erasers[2]), said[row].double(), atol=1e-2)
    assert 0 < changed < len(tokens), "rows differ in who steers them"
    assert steering.positions == len(tokens) * 2 * NEW, "once for each layer"


def _alone(loaded: LoadedModel, inputs: Any, eraser: Eraser) -> Tensor:
    return oracle_answer(loaded, inputs, [eraser])[1].double()
