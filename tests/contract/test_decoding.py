"""However an answer is decoded, steering is the same, and equal to an oracle that feeds everything again each time."""

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tiny_families import (
    FIRED,
    NEW,
    always,
    answer,
    block_inputs,
    fresh,
    logits,
    longer,
    never,
    oracle_answer,
    samples,
    steered,
)
from tiny_llava import question
from unsee.erase.eraser import Eraser
from unsee.erase.gates.prompt_ridge import PromptRidgeGate
from unsee.errors import SteeringError
from unsee.models.generate import encode
from unsee.models.load import LoadedModel


def test_steered_answers_are_those_of_an_independent_oracle(loaded: LoadedModel, either: Eraser, held: Eraser) -> None:
    loaded = fresh(loaded)
    loaded.model.double()
    erasers = [either] if either is held else [either, held]
    inputs = encode(loaded, samples(loaded))
    with steered(loaded, *erasers), torch.no_grad():
        got = loaded.model.generate(
            **inputs, do_sample=False, max_new_tokens=NEW, min_new_tokens=NEW, pad_token_id=3,
            output_logits=True, return_dict_in_generate=True,
        )  # fmt: skip
    said = torch.stack(got.logits, dim=1)
    assert said.dtype == torch.float32
    for row, sample in enumerate(samples(loaded)):
        tokens, expected = oracle_answer(loaded, encode(loaded, [sample]), erasers)
        assert torch.equal(got.sequences[row, inputs["input_ids"].shape[1] :], tokens)
        torch.testing.assert_close(said[row].double(), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("options", [{"use_cache": False}, {"cache_implementation": "static"}], ids=str)
def test_caches_do_not_matter(loaded: LoadedModel, either: Eraser, options: dict[str, Any]) -> None:
    inputs = encode(loaded, samples(loaded))
    with steered(loaded, either) as steering:
        cached, count = answer(loaded, inputs), steering.positions
        assert torch.equal(answer(loaded, inputs, **options), cached)
        assert count > 0 and (steering.positions == 2 * count) == (options.get("use_cache") is None)
        beams = answer(loaded, inputs, num_beams=3)
        assert torch.equal(answer(loaded, inputs, num_beams=3, use_cache=False), beams)


@pytest.mark.parametrize("chunk", [1, 4, 7])
def test_chunked_prefill_is_whole_prefill(loaded: LoadedModel, held: Eraser, chunk: int) -> None:
    texts = [question(i, text, image=False) for i, text in enumerate(("who?", "where does ann lee live, and why?"))]
    inputs = encode(loaded, texts)
    margins = held_margins(loaded, held, inputs)
    assert isinstance(held.gate, PromptRidgeGate)
    between = replace(held, gate=replace(held.gate, threshold=held.gate.threshold + margins[:, 0].mean()))
    with steered(loaded, between) as steering:
        whole, first = answer(loaded, inputs), steering.readings[0]
        chunked = answer(loaded, inputs, prefill_chunk_size=chunk)
        second = steering.readings[0]
    assert first is not None and second is not None and sorted(first.fired.tolist()) == [False, True]
    torch.testing.assert_close(second.margins, first.margins, rtol=1e-4, atol=1e-4)
    assert torch.equal(chunked, whole)


def held_margins(loaded: LoadedModel, held: Eraser, inputs: Any) -> Tensor:
    with steered(loaded, held) as steering:
        logits(loaded, inputs)
    reading = steering.readings[0]
    assert reading is not None
    return reading.margins


def test_the_published_gate_refuses_chunked_prefill(loaded: LoadedModel, published: Eraser) -> None:
    inputs = encode(loaded, [samples(loaded)[1]])
    with steered(loaded, published), pytest.raises(SteeringError, match="needs the prompt in one call"):
        answer(loaded, inputs, prefill_chunk_size=4)


def test_prompt_lookup_is_greedy(loaded: LoadedModel, either: Eraser) -> None:
    eraser = always(either) if isinstance(either.gate, PromptRidgeGate) else either
    widths: list[int] = []
    length = {"max_new_tokens": 20, "min_new_tokens": 20}  # long enough for a random model to repeat itself
    block = loaded.adapter.layers(loaded.model)[0]
    handle = block.register_forward_pre_hook(lambda _, args: widths.append(args[0].shape[1]))
    try:
        # Text only: with an image transformers itself may look up its placeholder as the next token, and fail.
        for sample in (samples(loaded)[1], question(9, "aaaa aaaa aaaa aaaa", image=False)):
            inputs = encode(loaded, [sample])
            with steered(loaded, eraser):
                greedy = answer(loaded, inputs, **length)
                assert torch.equal(answer(loaded, inputs, prompt_lookup_num_tokens=3, **length), greedy)
    finally:
        handle.remove()
    assert any(1 < width < 9 for width in widths)  # Several answer tokens did come in one call.


def test_an_assistant_model_changes_nothing(loaded: LoadedModel, held: Eraser) -> None:
    inputs = encode(loaded, [samples(loaded)[1]])
    assistant = fresh(loaded, seed=1).model
    with steered(loaded, always(held)):
        assert torch.equal(answer(loaded, inputs, assistant_model=assistant), answer(loaded, inputs))


def test_samples_of_one_prompt_share_its_decision(loaded: LoadedModel, held: Eraser) -> None:
    inputs = encode(loaded, samples(loaded))
    torch.manual_seed(0)
    base = answer(loaded, inputs, do_sample=True, num_return_sequences=3).view(len(samples(loaded)), 3, NEW)
    torch.manual_seed(0)
    with steered(loaded, held) as steering:
        drawn = answer(loaded, inputs, do_sample=True, num_return_sequences=3).view(len(samples(loaded)), 3, NEW)
    reading = steering.readings[0]
    assert reading is not None and reading.fired.tolist() == [fires for fires in FIRED for _ in range(3)]
    assert steering.positions == 2 * 3 * sum(FIRED) * NEW
    assert torch.equal(base[:, :, 0][~torch.tensor(FIRED)], drawn[:, :, 0][~torch.tensor(FIRED)])


def test_embeddings_as_prompt(loaded: LoadedModel, held: Eraser) -> None:
    inputs = encode(loaded, [samples(loaded)[1]])
    embedded = loaded.model.get_input_embeddings()(inputs["input_ids"]).detach()
    options = {"do_sample": False, "max_new_tokens": NEW, "min_new_tokens": NEW, "pad_token_id": 3}
    with steered(loaded, always(held)), torch.no_grad():
        got = loaded.model.generate(inputs_embeds=embedded, attention_mask=inputs["attention_mask"], **options)
        both = loaded.model.generate(inputs["input_ids"], inputs_embeds=embedded, **options)
        expected = answer(loaded, inputs)
    assert torch.equal(got, expected) and torch.equal(both[:, inputs["input_ids"].shape[1] :], expected)


def test_a_loop_of_forwards_is_generate(loaded: LoadedModel, either: Eraser) -> None:
    inputs = dict(encode(loaded, samples(loaded)))
    with steered(loaded, either), torch.no_grad():
        expected = answer(loaded, inputs)
        positions = (inputs["attention_mask"].cumsum(1) - 1).clamp(min=0)
        # M-RoPE counts for itself, from the kinds of the tokens.
        own = {} if "mm_token_type_ids" in inputs else {"position_ids": positions}
        output = loaded.model(**inputs, **own, use_cache=True)
        for step in range(NEW - 1):
            mask = torch.ones(len(samples(loaded)), 1, dtype=torch.long)
            inputs["attention_mask"] = torch.cat([inputs["attention_mask"], mask], dim=1)
            positions = inputs["attention_mask"].sum(1, keepdim=True) - 1
            if not own:  # an image takes fewer positions than tokens
                positions = (positions + loaded.model.model.rope_deltas).expand(3, -1, -1)
            output = loaded.model(
                input_ids=expected[:, step : step + 1], attention_mask=inputs["attention_mask"],
                position_ids=positions, past_key_values=output.past_key_values,
            )  # fmt: skip
            scores = output.logits[:, -1].index_fill(1, torch.tensor(2), -torch.inf)
            assert torch.equal(scores.argmax(-1), expected[:, step + 1])


def test_refusing_begins_after_an_answer_that_was_begun_for_the_model(loaded: LoadedModel, held: Eraser) -> None:
    """The gate reads the prompt alone; what follows is as if it had read all, wherever it is open for both."""
    inputs = dict(encode(loaded, samples(loaded)))
    lengths = inputs["attention_mask"].sum(1).tolist()
    begun = longer(inputs, torch.full((len(lengths), 3), 7))
    with steered(loaded, always(held)):
        whole = answer(loaded, begun)
    with steered(loaded, always(held), prompt_tokens=lengths) as steering:
        assert torch.equal(answer(loaded, begun), whole)
        [reading] = steering.readings
    with steered(loaded, always(held)) as steering:
        logits(loaded, inputs)
        [alone] = steering.readings
    assert reading is not None and alone is not None
    torch.testing.assert_close(reading.margins, alone.margins)


def test_prompt_tokens_tell_a_prompt_from_its_answer(loaded: LoadedModel, either: Eraser) -> None:
    inputs = dict(encode(loaded, samples(loaded)))
    lengths = inputs["attention_mask"].sum(1).tolist()
    with steered(loaded, either), torch.no_grad():
        said = answer(loaded, inputs)
        steps = loaded.model.generate(
            **inputs, do_sample=False, max_new_tokens=NEW, min_new_tokens=NEW, pad_token_id=3,
            output_logits=True, return_dict_in_generate=True,
        ).logits  # fmt: skip
    started = longer(inputs, said[:, :-1])
    with steered(loaded, either, prompt_tokens=lengths) as steering:
        forced = logits(loaded, started, logits_to_keep=NEW)
        assert steering.readings[0] is not None
    torch.testing.assert_close(forced, torch.stack(steps, dim=1), rtol=1e-3, atol=1e-3)
    for wrong in ([0] * 5, [1] * 4, [10_000] * 5):
        with (
            steered(loaded, either, prompt_tokens=wrong),
            pytest.raises(SteeringError, match="one number per row"),
        ):
            logits(loaded, inputs)


def test_positions_are_those_counted_by_hand(loaded: LoadedModel, held: Eraser, published: Eraser) -> None:
    inputs = encode(loaded, samples(loaded))
    real = int(inputs["attention_mask"].sum())
    with steered(loaded, held) as steering:
        logits(loaded, inputs)
        assert steering.positions == 2 * 2  # two rows fire, two layers are steered, one last prompt token each
        answer(loaded, inputs)
        assert steering.positions == 4 + 2 * 2 * NEW  # the last of NEW tokens is not fed any more; step 0 is
        answer(loaded, inputs, num_beams=3)
        assert steering.positions == 4 + 2 * 2 * NEW + 3 * 2 * 2 * NEW
    with steered(loaded, published) as steering:
        answer(loaded, inputs)
        assert steering.positions == 2 * real
    with steered(loaded, held, published) as both:
        answer(loaded, inputs)
        assert both.positions == 2 * 2 * NEW + 2 * real
    with steered(loaded, never(held)) as steering:
        answer(loaded, inputs)
        assert steering.positions == 0


def test_gradients_flow_through_steering(loaded: LoadedModel, either: Eraser) -> None:
    embedded = loaded.model.get_input_embeddings()(encode(loaded, [samples(loaded)[1]])["input_ids"]).detach()
    eraser = always(either) if isinstance(either.gate, PromptRidgeGate) else either
    seen = []
    for block in (steered(loaded, eraser), nullcontext()):
        leaf = embedded.clone().requires_grad_()
        with block:
            # Positions, because a Qwen would take those that it remembers of the prompt before.
            positions = torch.arange(leaf.shape[1]).unsqueeze(0)
            loaded.model(inputs_embeds=leaf, position_ids=positions).logits[0, -1, 7].backward()
        assert leaf.grad is not None and leaf.grad.isfinite().all() and leaf.grad.abs().sum() > 0
        seen.append(leaf.grad)
    assert not torch.equal(*seen)
    loaded.model.zero_grad()


def test_hidden_states_are_told_as_they_are(loaded: LoadedModel, either: Eraser) -> None:
    """They differ from what blocks are given by as much as without steering: nothing, or the features of DeepStack."""
    inputs = encode(loaded, samples(loaded))
    told: list[tuple[Tensor, ...]] = []

    def run() -> None:
        with torch.no_grad():
            told.append(loaded.model(**inputs, output_hidden_states=True).hidden_states)

    base = block_inputs(loaded, run)
    with steered(loaded, either):
        moved = block_inputs(loaded, run)
    assert len(told[0]) == len(told[1]) == len(base) + 1
    for layer in range(len(base)):
        torch.testing.assert_close(moved[layer] - told[1][layer], base[layer] - told[0][layer], rtol=0, atol=1e-5)
        changed = not torch.equal(told[1][layer], told[0][layer])
        assert changed == (layer >= either.layers[0]), layer
    assert torch.equal(told[1][0], told[0][0]) and not torch.equal(told[1][-1], told[0][-1])
    with steered(loaded, either), torch.no_grad():
        step = loaded.model.generate(
            **inputs, max_new_tokens=2, do_sample=False, pad_token_id=3, output_hidden_states=True,
            return_dict_in_generate=True,
        ).hidden_states[0]  # fmt: skip
    for layer in range(len(base) + 1):
        torch.testing.assert_close(step[layer], told[1][layer], rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("reentrant", [True, False])
def test_gradient_checkpointing_changes_nothing(loaded: LoadedModel, held: Eraser, reentrant: bool) -> None:
    loaded = fresh(loaded)
    inputs = encode(loaded, samples(loaded))
    seen = []
    for checkpointed in (False, True):
        loaded.model.train()
        if checkpointed:
            loaded.model.gradient_checkpointing_enable({"use_reentrant": reentrant})
        with steered(loaded, held) as steering:
            output = loaded.model(**inputs, use_cache=False).logits
            output[:, -1, 7].sum().backward()
        assert steering.positions == 2 * sum(FIRED)
        seen.append([output.detach(), *(p.grad for p in loaded.model.parameters() if p.grad is not None)])
        loaded.model.zero_grad()
    assert len(seen[0]) == len(seen[1]) > 10
    for plain, again in zip(*seen, strict=True):
        torch.testing.assert_close(again, plain)
