"""A gate on a subject's own tokens reads the same of a prompt however it passes, and alone as in a batch."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tiny_families import WRITTEN, answer, block_inputs, logits, samples, sees, steered
from tiny_llava import WIDTH, noise_image
from unsee.data.prompts import Message
from unsee.erase.eraser import Eraser
from unsee.erase.gates.scope import Scope
from unsee.erase.gates.subject import SubjectGate
from unsee.models.generate import Conversation, conversation_of, encode_conversations
from unsee.models.load import LoadedModel
from unsee.models.turns import TurnTokens

READ, SUBJECTS = (0, 1), 3


def subject_eraser(loaded: LoadedModel, seed: int = 5) -> Eraser:
    """Three random subjects, the second without images, and two random scopes."""
    draw = torch.Generator().manual_seed(seed)
    weight = torch.randn(SUBJECTS, 2, len(READ), WIDTH, generator=draw)
    weight[1, 1] = 0.0
    weights, open_by = torch.randn(2, 4, len(READ), WIDTH, generator=draw), torch.randn(2, 4, generator=draw)
    threshold, bias = torch.tensor([[0.0, 0.1], [0.3, -0.3], [-0.2, 0.4]]), torch.randn(SUBJECTS, 2, generator=draw)
    turn = TurnTokens.of(loaded)
    scope = Scope(weights, torch.randn(2, 4, generator=draw) / 10, open_by)
    gate = SubjectGate(READ, weight, bias, threshold, scope, torch.tensor([1, 0, 1]), turn)
    trajectory = torch.randn(len(WRITTEN), 3, WIDTH, generator=draw)
    return Eraser({"id": "tiny"}, loaded.adapter.family, WRITTEN, gate, trajectory, 3.0, "subject")


def prompts(loaded: LoadedModel) -> list[Conversation]:
    """Of unequal length, of one turn and of three, with no image, one, two, and one in an earlier turn."""
    mixed = [conversation_of(sample) for sample in samples(loaded)]
    said, then = turn("assistant", text("yes")), turn("user", text("and she ? is it . so"))
    mixed.append(Conversation("turns", [turn("user", text("who is Ada")), said, then]))
    if not sees(loaded):
        return mixed
    shown = turn("user", {"type": "image"}, text("and"), {"type": "image"}, text("?"))
    mixed.append(Conversation("two", [shown], [noise_image(7), noise_image(8)]))
    again = turn("user", {"type": "image"}, text("this one"))
    return [*mixed, Conversation("before", [shown, said, again], [noise_image(7), noise_image(8), noise_image(9)])]


def text(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}


def turn(role: Any, *parts: Any) -> Message:
    return Message(role=role, content=list(parts))


def oracle(loaded: LoadedModel, eraser: Eraser, prompt: Conversation) -> Tensor:
    """Margins of one unpadded row, token by token in Python."""
    inputs = encode_conversations(loaded, [prompt])
    received = [states[0].double() for states in block_inputs(loaded, lambda: logits(loaded, inputs))]
    index = loaded.adapter.image_index(loaded.model, inputs["input_ids"])[0].tolist()
    gate: Any = eraser.gate
    ids, marker = inputs["input_ids"][0].tolist(), gate.turn.opens.tolist()
    places = [t for t in range(len(ids)) if ids[t : t + len(marker)] == marker]
    start = places[-1] + len(marker)
    assert len(places) == sum(message["role"] == "user" for message in prompt.messages)
    units = {layer: received[layer] / received[layer].norm(dim=1, keepdim=True) for layer in READ}
    words = [t for t, image in enumerate(index) if not image and t >= start]
    last = len(ids) - 1 - int(gate.turn.tail)
    begins = [words[0], *(t + 1 for t in words if t < last and ids[t] in gate.turn.stops.tolist())]

    def in_scope(number: int, evidence: int) -> float:
        weight, off = gate.scope.weight[number, evidence].double(), float(gate.scope.token[number, evidence])
        each = {t: sum(float(w @ units[layer][t]) for w, layer in zip(weight, READ, strict=True)) - off for t in words}
        most = max(sum(each[t] for t in words if t >= begin) for begin in begins)
        return most + float(gate.scope.bias[number, evidence])

    margins = []
    for k in range(SUBJECTS):
        scores = [
            sum(
                float(gate.weight[k, int(image > 0), r].double() @ received[layer][t] / received[layer][t].norm())
                for r, layer in enumerate(READ)
            )
            for t, image in enumerate(index)
        ]
        found, number = [], int(gate.scope_of[k])
        for when, here in enumerate((range(start, len(ids)), range(start))):
            by_text = [scores[t] for t in here if not index[t]]
            images = sorted({index[t] for t in here if index[t]})
            means = [sum(scores[t] for t in here if index[t] == j) / index.count(j) for j in images]
            for e, some in enumerate((by_text, means)):
                subject = max(some, default=-float("inf")) + float(gate.bias[k, e]) - float(gate.threshold[k, e])
                found.append(min(subject, in_scope(number, 2 * when + e)))
        margins.append(max(found))
    return torch.tensor(margins)


def margins(loaded: LoadedModel, eraser: Eraser, inputs: Any, **options: Any) -> Tensor:
    image = loaded.adapter.image_token(loaded.processor)
    if image is not None:  # said by a steered model of random weights, it would ask for an image
        options["suppress_tokens"] = [loaded.processor.tokenizer.convert_tokens_to_ids(image)]
    with steered(loaded, eraser) as steering:
        answer(loaded, inputs, **options)
    reading = steering.readings[0]
    assert reading is not None
    assert torch.equal(reading.fired, (reading.margins >= 0).any(1))
    return reading.margins


def test_margins_are_those_of_an_oracle_alone_and_in_a_batch(loaded: LoadedModel) -> None:
    eraser, asked = subject_eraser(loaded), prompts(loaded)
    batch = margins(loaded, eraser, encode_conversations(loaded, asked))
    for row, prompt in enumerate(asked):
        expected = oracle(loaded, eraser, prompt)
        alone = margins(loaded, eraser, encode_conversations(loaded, [prompt]))[0]
        torch.testing.assert_close(alone, expected, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(batch[row], expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "options", [{"use_cache": False}, {"prefill_chunk_size": 1}, {"prefill_chunk_size": 3}], ids=str
)
def test_margins_do_not_depend_on_how_a_prompt_passes(loaded: LoadedModel, options: dict[str, Any]) -> None:
    chunked = "prefill_chunk_size" in options
    asked = [replace(p, id="t") for p in prompts(loaded) if not (chunked and p.images)]
    inputs = encode_conversations(loaded, asked)
    eraser = subject_eraser(loaded)
    torch.testing.assert_close(
        margins(loaded, eraser, inputs, **options), margins(loaded, eraser, inputs), rtol=1e-3, atol=1e-3
    )


def test_two_requests_side_by_side_decide_as_each_does_alone(loaded: LoadedModel) -> None:
    one, two = subject_eraser(loaded, 5), subject_eraser(loaded, 6)
    inputs = encode_conversations(loaded, prompts(loaded))
    first, second = one.gate, two.gate
    assert isinstance(first, SubjectGate) and isinstance(second, SubjectGate)
    both = margins(loaded, replace(one, gate=first.beside(second)), inputs)
    alone = torch.cat([margins(loaded, one, inputs), margins(loaded, two, inputs)], dim=1)
    torch.testing.assert_close(both, alone, rtol=1e-4, atol=1e-4)
    assert len(first.beside(first).scope.bias) == 2  # shared scopes are kept once


def test_it_is_saved_and_loaded_bit_for_bit(loaded: LoadedModel, tmp_path: Any) -> None:
    eraser = subject_eraser(loaded)
    named = replace(eraser, model={"id": "m", "revision": None, "digest": "sha256:" + "0" * 64})
    named.save_pretrained(tmp_path)
    again = Eraser.from_pretrained(tmp_path).gate
    assert isinstance(again, SubjectGate) and again.layers == READ
    assert all(torch.equal(again.tensors()[name], value) for name, value in eraser.gate.tensors().items())


def test_its_control_fires_on_everything(loaded: LoadedModel) -> None:
    eraser = subject_eraser(loaded)
    assert eraser.gate.latched is True
    inputs = encode_conversations(loaded, prompts(loaded))
    assert bool((margins(loaded, replace(eraser, gate=eraser.gate.always()), inputs) >= 0).all())
