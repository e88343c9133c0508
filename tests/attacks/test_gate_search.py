"""An image moved against the gate: inside its ball, and read lower; a suffix searched against the model."""

from types import SimpleNamespace
from typing import Any, cast

import torch

from tiny_llava import question, tiny_llava
from unsee.attacks.base import words
from unsee.attacks.gate_search import away_from, image_scores, text_scores, towards_answers
from unsee.attacks.token_search import beginning_gain, searched
from unsee.erase.gates.scope import Scope
from unsee.erase.gates.subject import SubjectGate
from unsee.models.generate import answer_tokens, encode, log_probability
from unsee.models.turns import TurnTokens


def gated(width: int) -> Any:
    """As much of an eraser as the search reads: a gate of two subjects."""
    weight = torch.randn(2, 2, 2, width, generator=torch.Generator().manual_seed(1))
    zero, scope = torch.zeros(2, dtype=torch.int64), Scope.everything(2, width)
    turn = TurnTokens(zero[:0], zero[:1], zero[:0])
    return SimpleNamespace(gate=SubjectGate((0, 1), weight, torch.zeros(2, 2), torch.zeros(2, 2), scope, zero, turn))


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


def test_tokens_are_searched_that_raise_the_answer_and_lower_the_gate() -> None:
    loaded = tiny_llava()
    one, gates = question(0, image=False), [gated(loaded.adapter.hidden_size(loaded.model))]
    table = loaded.model.get_input_embeddings()

    def reached(gain: Any, asked: Any) -> float:
        with torch.no_grad():
            return float(gain(table(encode(loaded, [asked])["input_ids"]))[0])

    for template, gain in (
        ("{q} {tokens}", beginning_gain(loaded, one)),
        ("{tokens} {q}", lambda embedded: -text_scores(loaded, embedded, cast("Any", gates))),
    ):
        found = searched(loaded, one, template, gain, 0, steps=6, width=16)
        assert found.question != one.question and one.question in found.question
        plain = words(one, template.replace("{tokens}", "x" * 8))[0]
        assert reached(gain, found) > reached(gain, plain) + 1e-4
        assert searched(loaded, one, template, gain, 0, steps=6, width=16) == found
    assert all(p.grad is None for p in loaded.model.parameters())


def test_one_perturbation_makes_known_answers_likelier_within_its_ball() -> None:
    loaded = tiny_llava()
    asked = [question(n) for n in range(3)]
    shift = towards_answers(loaded, asked, [], 8 / 255, 0)
    assert shift.abs().max() <= 8 / 255 + 1e-6
    prompts, answers = dict(encode(loaded, asked)), answer_tokens(loaded, [one.answer for one in asked])
    clean = loaded.adapter.pixels(loaded.processor, [one.shown[0] for one in asked])

    def likely(pixels: torch.Tensor) -> float:
        with torch.no_grad():
            inputs = prompts | loaded.adapter.model_inputs(loaded.processor, pixels)
            return float(log_probability(loaded, inputs, answers).mean())

    assert likely((clean + shift).clamp(0, 1)) > likely(clean)
    eraser = gated(loaded.adapter.hidden_size(loaded.model))
    gates = [SimpleNamespace(gate=eraser.gate.with_threshold(torch.full((2, 2), -5.0)))]  # it fires
    against = towards_answers(loaded, asked, cast("Any", gates), 8 / 255, 0)
    with torch.no_grad():
        read = [
            image_scores(loaded, prompts, (clean + one).clamp(0, 1), cast("Any", gates)) for one in (against, shift * 0)
        ]
    assert read[0].mean() < read[1].mean()
