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

READ, SUBJECTS = (0, 1), 3


def subject_eraser(loaded: LoadedModel, seed: int = 5) -> Eraser:
    """Three random subjects, the second without images, and two random scopes."""
    draw = torch.Generator().manual_seed(seed)
    weight = torch.randn(SUBJECTS, 2, len(READ), WIDTH, generator=draw)
    weight[1, 1] = 0.0
    scope = Scope(torch.randn(2, 2, len(READ), 2, WIDTH, generator=draw), torch.randn(2, 2, generator=draw))
    threshold = torch.tensor([0.0, 0.3, -0.2])
    gate = SubjectGate(
        READ, weight, torch.randn(SUBJECTS, 2, generator=draw), threshold, scope, torch.tensor([1, 0, 1])
    )
    trajectory = torch.randn(len(WRITTEN), 3, WIDTH, generator=draw)
    return Eraser({"id": "tiny"}, loaded.adapter.family, WRITTEN, gate, trajectory, 3.0, "subject")


def prompts(loaded: LoadedModel) -> list[Conversation]:
    """Of unequal length, with no image, one, and two."""
    mixed = [conversation_of(sample) for sample in samples(loaded)]
    if not sees(loaded):
        return mixed
    parts: Any = [{"type": "image"}, {"type": "text", "text": "and"}, {"type": "image"}, {"type": "text", "text": "?"}]
    return [*mixed, Conversation("two", [Message(role="user", content=parts)], [noise_image(7), noise_image(8)])]


def oracle(loaded: LoadedModel, eraser: Eraser, prompt: Conversation) -> Tensor:
    """Margins of one unpadded row, token by token in Python."""
    inputs = encode_conversations(loaded, [prompt])
    received = [states[0].double() for states in block_inputs(loaded, lambda: logits(loaded, inputs))]
    index = loaded.adapter.image_index(loaded.model, inputs["input_ids"])[0].tolist()
    gate: Any = eraser.gate
    features = []
    for layer in READ:
        unit = received[layer] / received[layer].norm(dim=1, keepdim=True)
        text = torch.stack([unit[t] for t, image in enumerate(index) if not image])
        features.append(torch.stack([unit[-1], text.mean(0)]))
    margins = []
    for k in range(SUBJECTS):
        scores = [
            sum(
                float(gate.weight[k, int(image > 0), r].double() @ received[layer][t] / received[layer][t].norm())
                for r, layer in enumerate(READ)
            )
            for t, image in enumerate(index)
        ]
        by_text = max(score for score, image in zip(scores, index, strict=True) if not image)
        means = [
            sum(s for s, image in zip(scores, index, strict=True) if image == j) / index.count(j)
            for j in range(1, max(index) + 1)
        ]
        found = []
        for e, best in enumerate((by_text, max(means, default=-float("inf")))):
            number = int(gate.scope_of[k])
            scope = float((gate.scope.weight[number, e].double() * torch.stack(features)).sum())
            subject = best + float(gate.bias[k, e]) - float(gate.threshold[k])
            found.append(min(subject, scope + float(gate.scope.bias[number, e])))
        margins.append(max(found))
    return torch.tensor(margins)


def margins(loaded: LoadedModel, eraser: Eraser, inputs: Any, **options: Any) -> Tensor:
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
