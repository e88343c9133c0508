"""What steering promises on a whole model: exact, isolated, the same however it is decoded, or an error.

The model is random and so are the erasers; thresholds are set so that some prompts of a batch fire and others do not.
"""

import asyncio
import copy
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from contextvars import copy_context
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import DynamicCache

from tiny_llava import LAYERS, WIDTH, mixed_questions, question, tiny_llava
from unsee.data.samples import Sample
from unsee.erase.eraser import Eraser, HeldGate, LayerGate
from unsee.erase.hooks import Steering, erased
from unsee.errors import MismatchError, OptionError, SteeringError
from unsee.models.encode import encode
from unsee.models.load import LoadedModel, weights_digest

NEW = 5
READ, WRITTEN = (0, 1), (1, 2)
SAMPLES = mixed_questions()
FIRED = [True, False, True, False, False]


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return tiny_llava()


@pytest.fixture(scope="module")
def held(loaded: LoadedModel) -> Eraser:
    """Fires on two of the five mixed questions: a linear gate through features that an oracle has read."""
    generator = torch.Generator().manual_seed(3)
    rows = torch.stack([oracle_features(loaded, sample) for sample in SAMPLES]).double()
    centre = rows.mean(0)
    target = torch.tensor([1.0 if fires else -1.0 for fires in FIRED], dtype=torch.float64)
    target -= target.mean()
    weight = (torch.linalg.pinv((rows - centre).flatten(1)) @ target).view(1, *centre.shape)
    bias = -float((weight * centre).sum())
    weight = torch.cat([weight, weight]).float()  # The second subject of the request asks for more and never gets it.
    gate = HeldGate(READ, weight, torch.tensor([bias, bias]), torch.tensor([0.0, 9.0]))
    trajectory = torch.randn(len(WRITTEN), 3, WIDTH, generator=generator)
    return Eraser({"id": "tiny"}, "llava", WRITTEN, gate, trajectory, 3.0, "held")


@pytest.fixture(scope="module")
def published() -> Eraser:
    generator = torch.Generator().manual_seed(4)
    weight = torch.randn(2, WIDTH, generator=generator) / WIDTH
    trajectory = torch.randn(2, 1, WIDTH, generator=generator)
    return Eraser({"id": "tiny"}, "llava", WRITTEN, LayerGate(weight), trajectory, 2.0, "published")


@pytest.fixture(params=["held", "published"])
def either(request: pytest.FixtureRequest) -> Eraser:
    return request.getfixturevalue(request.param)


def always(eraser: Eraser) -> Eraser:
    assert isinstance(eraser.gate, HeldGate)
    return replace(eraser, gate=replace(eraser.gate, threshold=torch.full((2,), -1e9)))


def never(eraser: Eraser) -> Eraser:
    assert isinstance(eraser.gate, HeldGate)
    return replace(eraser, gate=replace(eraser.gate, threshold=torch.full((2,), 1e9)))


def answer(loaded: LoadedModel, inputs: Any, **options: Any) -> Tensor:
    """New tokens of exactly `NEW` steps."""
    chosen = {"do_sample": False, "max_new_tokens": NEW, "min_new_tokens": NEW, "pad_token_id": 3} | options
    with torch.no_grad():
        return loaded.model.generate(**inputs, **chosen)[:, inputs["input_ids"].shape[1] :]


def logits(loaded: LoadedModel, inputs: Any, **options: Any) -> Tensor:
    with torch.no_grad():
        return loaded.model(**inputs, **options).logits


def hooks(model: nn.Module) -> int:
    """All hooks but the forward hooks that transformers keeps for itself from the first `output_hidden_states` on."""
    return sum(len(m._forward_pre_hooks) + len(m._forward_hooks_always_called) for m in model.modules())


def require_clean(model: nn.Module) -> None:
    assert hooks(model) == 0
    assert not {"generate", "init_continuous_batching"} & model.__dict__.keys()


def oracle_features(loaded: LoadedModel, sample: Sample) -> Tensor:
    """Last prompt token and mean over the prompt of one unpadded row, at the layers read, [R 2 D]."""
    with torch.no_grad():
        states = loaded.model(**encode(loaded, [sample]), output_hidden_states=True).hidden_states
    return torch.stack([torch.stack([states[i][0, -1], states[i][0].mean(0)]) for i in READ])


@contextmanager
def plainly_added(loaded: LoadedModel, eraser: Eraser, prompt: int) -> Iterator[None]:
    """Oracle: one unpadded row, whole sequence, token after token, nothing but torch's own hooks."""

    def hook(index: int) -> Callable[[nn.Module, tuple[Any, ...]], tuple[Any, ...]]:
        def add(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
            states = args[0].clone()
            for column in range(states.shape[1]):
                if isinstance(eraser.gate, LayerGate) and column < prompt:
                    value = args[0][0, prompt - 1] @ eraser.gate.weight[index].to(states)
                    states[0, column] += eraser.strength * value * eraser.trajectory[index, 0].to(states)
                if isinstance(eraser.gate, HeldGate) and column >= prompt - 1:
                    step = min(column - prompt + 1, eraser.trajectory.shape[1] - 1)
                    states[0, column] += eraser.strength * eraser.trajectory[index, step].to(states)
            return (states, *args[1:])

        return add

    blocks = loaded.adapter.layers(loaded.model)
    handles = [blocks[layer].register_forward_pre_hook(hook(i)) for i, layer in enumerate(eraser.layers)]
    yield
    for handle in handles:
        handle.remove()


def oracle_answer(loaded: LoadedModel, sample: Sample, erasers: Sequence[Eraser]) -> tuple[Tensor, Tensor]:
    """Greedy tokens and their logits, the whole sequence fed again for every token."""
    inputs = dict(encode(loaded, [sample]))
    prompt, end = inputs["input_ids"].shape[1], loaded.processor.tokenizer.eos_token_id
    active = []
    for eraser in erasers:
        features = oracle_features(loaded, sample)
        gate = eraser.gate
        fires = isinstance(gate, LayerGate) or any(
            float((gate.weight[k].double() * features.double()).sum() + gate.bias[k]) >= float(gate.threshold[k])
            for k in range(len(gate.bias))
        )
        active += [eraser] if fires else []
    said = []
    for _ in range(NEW):
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        with torch.no_grad():
            managers = [plainly_added(loaded, eraser, prompt) for eraser in active]
            for manager in managers:
                manager.__enter__()
            said.append(loaded.model(**inputs, use_cache=False).logits[0, -1])
            for manager in managers:
                manager.__exit__(None, None, None)
        scores = said[-1].clone()
        scores[end] = -torch.inf
        inputs["input_ids"] = torch.cat([inputs["input_ids"], scores.argmax().view(1, 1)], dim=1)
    return inputs["input_ids"][0, prompt:], torch.stack(said)


# The model outside the block.


def test_nothing_is_left_behind(loaded: LoadedModel, either: Eraser) -> None:
    inputs = encode(loaded, SAMPLES)
    before, said = logits(loaded, inputs), answer(loaded, inputs)
    with erased(loaded.model, either):
        assert not torch.equal(logits(loaded, inputs), before)
        assert not torch.equal(answer(loaded, inputs), said)
        assert weights_digest(loaded.model) == loaded.digest
    require_clean(loaded.model)
    assert torch.equal(logits(loaded, inputs), before) and torch.equal(answer(loaded, inputs), said)
    assert weights_digest(loaded.model) == loaded.digest


def test_nothing_is_left_behind_by_an_exception(loaded: LoadedModel, held: Eraser) -> None:
    inputs = encode(loaded, SAMPLES)
    before = logits(loaded, inputs)

    def interrupt(ids: Tensor, scores: Tensor) -> Tensor:
        if ids.shape[1] > inputs["input_ids"].shape[1]:  # after the first token, so in the middle of an answer
            raise KeyboardInterrupt
        return scores

    with pytest.raises(ZeroDivisionError), erased(loaded.model, held):
        raise ZeroDivisionError
    require_clean(loaded.model)
    with pytest.raises(KeyboardInterrupt), erased(loaded.model, held):
        answer(loaded, inputs, logits_processor=[interrupt])
    require_clean(loaded.model)
    assert torch.equal(logits(loaded, inputs), before)


def test_a_block_goes_on_after_an_exception_inside_it(loaded: LoadedModel, held: Eraser) -> None:
    inputs, other = encode(loaded, SAMPLES), encode(loaded, SAMPLES[:2])

    def fail(ids: Tensor, scores: Tensor) -> Tensor:
        raise ArithmeticError

    with erased(loaded.model, held):
        expected, tokens = logits(loaded, other), answer(loaded, inputs)
    block = loaded.adapter.layers(loaded.model)[1]
    with erased(loaded.model, held):
        with pytest.raises(ArithmeticError):
            answer(loaded, inputs, logits_processor=[fail])
        assert torch.equal(logits(loaded, other), expected)  # not taken for a part of what generate was doing
        handle = block.register_forward_pre_hook(lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            logits(loaded, inputs)
        handle.remove()
        assert torch.equal(answer(loaded, inputs), tokens)


def test_a_foreign_generate_and_output_hooks_survive(loaded: LoadedModel, held: Eraser) -> None:
    calls = []
    own = loaded.model.generate
    loaded.model.__dict__["generate"] = lambda *args, **kwargs: calls.append(1) or own(*args, **kwargs)
    try:
        with erased(loaded.model, held), erased(loaded.model, held):
            answer(loaded, encode(loaded, SAMPLES[:1]))
        assert calls == [1] and not isinstance(loaded.model.__dict__["generate"], type(own))
    finally:
        del loaded.model.__dict__["generate"]
    require_clean(loaded.model)


# Rows.


@pytest.mark.parametrize("beams", [1, 4])
def test_a_mixed_batch_is_each_row_alone(loaded: LoadedModel, either: Eraser, beams: int) -> None:
    inputs = encode(loaded, SAMPLES)
    with erased(loaded.model, either) as steering:
        together = answer(loaded, inputs, num_beams=beams)
        reading = steering.readings[0]
        alone = torch.cat([answer(loaded, encode(loaded, [s]), num_beams=beams) for s in SAMPLES])
    assert torch.equal(together, alone)
    assert reading is not None
    expected = FIRED if isinstance(either.gate, HeldGate) else [True] * len(SAMPLES)
    assert reading.fired.view(len(SAMPLES), beams).tolist() == [[fires] * beams for fires in expected]


@pytest.mark.parametrize("beams", [1, 4])
def test_rows_that_do_not_fire_are_bit_for_bit_those_of_the_base_model(
    loaded: LoadedModel, held: Eraser, beams: int
) -> None:
    inputs, kept = encode(loaded, SAMPLES), ~torch.tensor(FIRED)
    base, said = logits(loaded, inputs), answer(loaded, inputs, num_beams=beams)
    with erased(loaded.model, held):
        steered, tokens = logits(loaded, inputs), answer(loaded, inputs, num_beams=beams)
    assert torch.equal(steered[kept], base[kept]) and torch.equal(tokens[kept], said[kept])
    for row in (~kept).nonzero().flatten():
        # The prompt before its last token is as it was, so a prefix cache of it stays valid.
        assert torch.equal(steered[row, :-1], base[row, :-1]) and not torch.equal(steered[row, -1], base[row, -1])
        assert not torch.equal(tokens[row], said[row])


def test_pads_never_enter_a_gate(loaded: LoadedModel, either: Eraser) -> None:
    samples = SAMPLES[:2]
    inputs = encode(loaded, samples)
    pads = ~inputs["attention_mask"].bool()
    assert pads.any()

    def poison(value: float) -> Callable[..., Any]:
        return lambda _, args: (args[0].masked_fill(pads[..., None], value), *args[1:])

    margins = []
    for value in (0.0, 1e3, float("nan")):
        handle = loaded.adapter.layers(loaded.model)[0].register_forward_pre_hook(poison(value))
        with erased(loaded.model, either) as steering:
            logits(loaded, inputs)
        handle.remove()
        reading = steering.readings[0]
        assert reading is not None
        margins.append(reading.margins)
    assert torch.equal(margins[0], margins[1])
    if isinstance(either.gate, HeldGate):  # It reads first what was poisoned; attention then spreads NaN on its own.
        alone = [oracle_features(loaded, sample) for sample in samples]
        torch.testing.assert_close(margins[0], either.gate.margins(torch.stack(alone)), rtol=0, atol=1e-4)


def test_right_padding_is_left_padding(loaded: LoadedModel, either: Eraser) -> None:
    texts = [sample for sample in SAMPLES if sample.picture is None]
    left = encode(loaded, texts)
    lengths = left["attention_mask"].sum(1).tolist()
    assert lengths[0] != lengths[1]
    width = max(lengths)
    ids, mask = torch.full((2, width), 3), torch.zeros(2, width, dtype=torch.long)
    for row, length in enumerate(lengths):
        ids[row, :length], mask[row, :length] = left["input_ids"][row, width - length :], 1
    with erased(loaded.model, either) as steering:
        steered = logits(loaded, {"input_ids": ids, "attention_mask": mask})
        right_reading = steering.readings[0]
        expected = logits(loaded, left)
        left_reading = steering.readings[0]
    assert right_reading is not None and left_reading is not None
    torch.testing.assert_close(right_reading.margins, left_reading.margins)
    for row, length in enumerate(lengths):
        torch.testing.assert_close(steered[row, :length], expected[row, width - length :], rtol=1e-4, atol=1e-4)


# Ways of decoding.


def test_steered_answers_are_those_of_an_independent_oracle(either: Eraser, held: Eraser) -> None:
    loaded = tiny_llava()
    loaded.model.double()
    erasers = [either] if either is held else [either, held]
    inputs = encode(loaded, SAMPLES)
    with erased(loaded.model, *erasers), torch.no_grad():
        got = loaded.model.generate(
            **inputs, do_sample=False, max_new_tokens=NEW, min_new_tokens=NEW, pad_token_id=3,
            output_logits=True, return_dict_in_generate=True,
        )  # fmt: skip
    said = torch.stack(got.logits, dim=1)
    assert said.dtype == torch.float32
    for row, sample in enumerate(SAMPLES):
        tokens, expected = oracle_answer(loaded, sample, erasers)
        assert torch.equal(got.sequences[row, inputs["input_ids"].shape[1] :], tokens)
        torch.testing.assert_close(said[row].double(), expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("options", [{"use_cache": False}, {"cache_implementation": "static"}], ids=str)
def test_caches_do_not_matter(loaded: LoadedModel, either: Eraser, options: dict[str, Any]) -> None:
    inputs = encode(loaded, SAMPLES)
    with erased(loaded.model, either) as steering:
        cached, count = answer(loaded, inputs), steering.positions
        assert torch.equal(answer(loaded, inputs, **options), cached)
        assert count > 0 and (steering.positions == 2 * count) == (options.get("use_cache") is None)
        beams = answer(loaded, inputs, num_beams=3)
        assert torch.equal(answer(loaded, inputs, num_beams=3, use_cache=False), beams)


@pytest.mark.parametrize("chunk", [1, 4, 7])
def test_chunked_prefill_is_whole_prefill(loaded: LoadedModel, held: Eraser, chunk: int) -> None:
    texts = [question(i, text, picture=False) for i, text in enumerate(("who?", "where does ann lee live, and why?"))]
    inputs = encode(loaded, texts)
    margins = held_margins(loaded, held, inputs)
    assert isinstance(held.gate, HeldGate)
    between = replace(held, gate=replace(held.gate, threshold=held.gate.threshold + margins[:, 0].mean()))
    with erased(loaded.model, between) as steering:
        whole, first = answer(loaded, inputs), steering.readings[0]
        chunked = answer(loaded, inputs, prefill_chunk_size=chunk)
        second = steering.readings[0]
    assert first is not None and second is not None and sorted(first.fired.tolist()) == [False, True]
    torch.testing.assert_close(second.margins, first.margins, rtol=1e-4, atol=1e-4)
    assert torch.equal(chunked, whole)


def held_margins(loaded: LoadedModel, held: Eraser, inputs: Any) -> Tensor:
    with erased(loaded.model, held) as steering:
        logits(loaded, inputs)
    reading = steering.readings[0]
    assert reading is not None
    return reading.margins


def test_the_published_gate_refuses_chunked_prefill(loaded: LoadedModel, published: Eraser) -> None:
    inputs = encode(loaded, [SAMPLES[1]])
    with erased(loaded.model, published), pytest.raises(SteeringError, match="needs the prompt in one call"):
        answer(loaded, inputs, prefill_chunk_size=4)


def test_prompt_lookup_is_greedy(loaded: LoadedModel, either: Eraser) -> None:
    eraser = always(either) if isinstance(either.gate, HeldGate) else either
    widths: list[int] = []
    length = {"max_new_tokens": 40, "min_new_tokens": 40}  # long enough for a random model to repeat itself
    block = loaded.adapter.layers(loaded.model)[0]
    handle = block.register_forward_pre_hook(lambda _, args: widths.append(args[0].shape[1]))
    try:
        # Text only: with a picture transformers itself may look up its placeholder as the next token, and fail.
        for sample in (SAMPLES[1], question(9, "aaaa aaaa aaaa aaaa", picture=False)):
            inputs = encode(loaded, [sample])
            with erased(loaded.model, eraser):
                greedy = answer(loaded, inputs, **length)
                assert torch.equal(answer(loaded, inputs, prompt_lookup_num_tokens=3, **length), greedy)
    finally:
        handle.remove()
    assert any(1 < width < 9 for width in widths)  # Several answer tokens did come in one call.


def test_an_assistant_model_changes_nothing(loaded: LoadedModel, held: Eraser) -> None:
    inputs = encode(loaded, [SAMPLES[1]])
    assistant = tiny_llava(seed=1).model
    with erased(loaded.model, always(held)):
        assert torch.equal(answer(loaded, inputs, assistant_model=assistant), answer(loaded, inputs))


def test_samples_of_one_prompt_share_its_decision(loaded: LoadedModel, held: Eraser) -> None:
    inputs = encode(loaded, SAMPLES)
    torch.manual_seed(0)
    base = answer(loaded, inputs, do_sample=True, num_return_sequences=3).view(len(SAMPLES), 3, NEW)
    torch.manual_seed(0)
    with erased(loaded.model, held) as steering:
        drawn = answer(loaded, inputs, do_sample=True, num_return_sequences=3).view(len(SAMPLES), 3, NEW)
    reading = steering.readings[0]
    assert reading is not None and reading.fired.tolist() == [fires for fires in FIRED for _ in range(3)]
    assert steering.positions == 2 * 3 * sum(FIRED) * NEW
    assert torch.equal(base[:, :, 0][~torch.tensor(FIRED)], drawn[:, :, 0][~torch.tensor(FIRED)])


def test_embeddings_as_prompt(loaded: LoadedModel, held: Eraser) -> None:
    inputs = encode(loaded, [SAMPLES[1]])
    embedded = loaded.model.get_input_embeddings()(inputs["input_ids"]).detach()
    options = {"do_sample": False, "max_new_tokens": NEW, "min_new_tokens": NEW, "pad_token_id": 3}
    with erased(loaded.model, always(held)), torch.no_grad():
        got = loaded.model.generate(inputs_embeds=embedded, attention_mask=inputs["attention_mask"], **options)
        both = loaded.model.generate(inputs["input_ids"], inputs_embeds=embedded, **options)
        expected = answer(loaded, inputs)
    assert torch.equal(got, expected) and torch.equal(both[:, inputs["input_ids"].shape[1] :], expected)


def test_a_loop_of_forwards_is_generate(loaded: LoadedModel, either: Eraser) -> None:
    inputs = dict(encode(loaded, SAMPLES))
    with erased(loaded.model, either), torch.no_grad():
        expected = answer(loaded, inputs)
        positions = (inputs["attention_mask"].cumsum(1) - 1).clamp(min=0)
        output = loaded.model(**inputs, position_ids=positions, use_cache=True)
        for step in range(NEW - 1):
            mask = torch.ones(len(SAMPLES), 1, dtype=torch.long)
            inputs["attention_mask"] = torch.cat([inputs["attention_mask"], mask], dim=1)
            output = loaded.model(
                input_ids=expected[:, step : step + 1], attention_mask=inputs["attention_mask"],
                position_ids=inputs["attention_mask"].sum(1, keepdim=True) - 1, past_key_values=output.past_key_values,
            )  # fmt: skip
            scores = output.logits[:, -1].index_fill(1, torch.tensor(2), -torch.inf)
            assert torch.equal(scores.argmax(-1), expected[:, step + 1])


def test_prompt_tokens_tell_a_prompt_from_its_answer(loaded: LoadedModel, either: Eraser) -> None:
    inputs = dict(encode(loaded, SAMPLES))
    lengths = inputs["attention_mask"].sum(1).tolist()
    with erased(loaded.model, either), torch.no_grad():
        said = answer(loaded, inputs)
        steps = loaded.model.generate(
            **inputs, do_sample=False, max_new_tokens=NEW, min_new_tokens=NEW, pad_token_id=3,
            output_logits=True, return_dict_in_generate=True,
        ).logits  # fmt: skip
    started = inputs | {
        "input_ids": torch.cat([inputs["input_ids"], said[:, :-1]], dim=1),
        "attention_mask": torch.nn.functional.pad(inputs["attention_mask"], (0, NEW - 1), value=1),
    }
    with erased(loaded.model, either, prompt_tokens=lengths) as steering:
        forced = logits(loaded, started, logits_to_keep=NEW)
        assert steering.readings[0] is not None
        # An answer that was begun for the model: the prompt still ends where the user's turn ended.
        short = {"input_ids": started["input_ids"][:, :-2], "attention_mask": started["attention_mask"][:, :-2]}
        assert torch.equal(answer(loaded, started | short)[:, :2], said[:, -3:-1])
    torch.testing.assert_close(forced, torch.stack(steps, dim=1), rtol=1e-3, atol=1e-3)
    for wrong in ([0] * 5, [1] * 4, [10_000] * 5):
        with (
            erased(loaded.model, either, prompt_tokens=wrong),
            pytest.raises(SteeringError, match="one number per row"),
        ):
            logits(loaded, inputs)


def test_positions_are_those_counted_by_hand(loaded: LoadedModel, held: Eraser, published: Eraser) -> None:
    inputs = encode(loaded, SAMPLES)
    real = int(inputs["attention_mask"].sum())
    with erased(loaded.model, held) as steering:
        logits(loaded, inputs)
        assert steering.positions == 2 * 2  # two rows fire, two layers are steered, one last prompt token each
        answer(loaded, inputs)
        assert steering.positions == 4 + 2 * 2 * NEW  # the last of NEW tokens is not fed any more; step 0 is
        answer(loaded, inputs, num_beams=3)
        assert steering.positions == 4 + 2 * 2 * NEW + 3 * 2 * 2 * NEW
    with erased(loaded.model, published) as steering:
        answer(loaded, inputs)
        assert steering.positions == 2 * real
    with erased(loaded.model, held, published) as both:
        answer(loaded, inputs)
        assert both.positions == 2 * 2 * NEW + 2 * real
    with erased(loaded.model, never(held)) as steering:
        answer(loaded, inputs)
        assert steering.positions == 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_kept(held: Eraser, published: Eraser, dtype: torch.dtype) -> None:
    loaded = tiny_llava()
    loaded.model.to(dtype)
    inputs = encode(loaded, SAMPLES)
    base, kept = logits(loaded, inputs), ~torch.tensor(FIRED)
    with erased(loaded.model, held):
        steered = logits(loaded, inputs)
    assert steered.dtype == dtype and torch.equal(steered[kept], base[kept])
    assert not torch.equal(steered[~kept], base[~kept])
    with erased(loaded.model, published):
        assert logits(loaded, inputs).dtype == dtype and answer(loaded, inputs).shape == (len(SAMPLES), NEW)
    assert torch.equal(logits(loaded, inputs), base)


def test_gradients_flow_through_steering(loaded: LoadedModel, either: Eraser) -> None:
    embedded = loaded.model.get_input_embeddings()(encode(loaded, [SAMPLES[1]])["input_ids"]).detach()
    eraser = always(either) if isinstance(either.gate, HeldGate) else either
    seen = []
    for block in (erased(loaded.model, eraser), nullcontext()):
        leaf = embedded.clone().requires_grad_()
        with block:
            loaded.model(inputs_embeds=leaf).logits[0, -1, 7].backward()
        assert leaf.grad is not None and leaf.grad.isfinite().all() and leaf.grad.abs().sum() > 0
        seen.append(leaf.grad)
    assert not torch.equal(*seen)
    loaded.model.zero_grad()


# Several erasers, blocks, threads and tasks.


def test_nested_blocks_are_one_block_with_both(loaded: LoadedModel, held: Eraser, published: Eraser) -> None:
    inputs = encode(loaded, SAMPLES)
    other = replace(held.with_random_direction(1), gate=always(held).gate)
    for first, second in ((held, other), (held, published)):
        with erased(loaded.model, first, second) as both:
            together, tokens = logits(loaded, inputs), answer(loaded, inputs)
        with erased(loaded.model, first) as outer:
            alone = logits(loaded, inputs)
            with erased(loaded.model, second) as inner:
                assert torch.equal(logits(loaded, inputs), together) and torch.equal(answer(loaded, inputs), tokens)
            assert torch.equal(logits(loaded, inputs), alone)
        with erased(loaded.model, second), erased(loaded.model, first):
            assert torch.equal(logits(loaded, inputs), together)
        assert outer.positions + inner.positions == both.positions + 2 * 2 * 2  # `alone` twice
        for one, two in zip(both.readings, (inner, inner), strict=True):
            assert one is not None and two.readings[0] is not None
    require_clean(loaded.model)


def test_threads_do_not_see_each_other(loaded: LoadedModel, held: Eraser, published: Eraser) -> None:
    inputs = encode(loaded, SAMPLES)
    erasers = [held, published, always(held), always(held).with_random_direction(7)]
    expected = []
    for eraser in erasers:
        with erased(loaded.model, eraser):
            expected.append(answer(loaded, inputs))
    expected.append(answer(loaded, inputs))
    assert len({str(tokens) for tokens in expected}) == 5
    failures: list[str] = []
    start = threading.Barrier(5)

    def work(index: int) -> None:
        start.wait()
        for _ in range(6):
            try:
                if index == 4:
                    got = answer(loaded, inputs)
                else:
                    with erased(loaded.model, erasers[index]):
                        got = answer(loaded, inputs)
            except Exception as error:  # noqa: BLE001 - a thread's error would be lost
                failures.append(repr(error))
                return
            if not torch.equal(got, expected[index]):
                failures.append(f"thread {index} got another's answer")

    threads = [threading.Thread(target=work, args=(index,)) for index in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    require_clean(loaded.model)


def test_a_worker_that_takes_the_context_along_is_steered(loaded: LoadedModel, held: Eraser) -> None:
    inputs = encode(loaded, SAMPLES)
    base = answer(loaded, inputs)
    got: dict[str, Tensor] = {}

    def work(name: str) -> None:
        got[name] = answer(loaded, inputs)

    with erased(loaded.model, held) as steering:
        expected = answer(loaded, inputs)
        along = threading.Thread(target=copy_context().run, args=(work, "along"))
        for thread in (along, threading.Thread(target=work, args=("stranger",))):
            thread.start()
            thread.join()
        assert steering.positions == 2 * 2 * 2 * NEW
    assert torch.equal(got["along"], expected) and torch.equal(got["stranger"], base)


def test_tasks_of_one_thread_do_not_see_each_other(loaded: LoadedModel, held: Eraser, published: Eraser) -> None:
    inputs = encode(loaded, SAMPLES)

    async def ask(*erasers: Eraser) -> Tensor:
        with ExitStack() as blocks:
            for eraser in erasers:
                blocks.enter_context(erased(loaded.model, eraser))
            await asyncio.sleep(0)
            said = answer(loaded, inputs)
            await asyncio.sleep(0)
            assert torch.equal(answer(loaded, inputs), said)
        return said

    async def ask_all() -> list[Tensor]:
        return await asyncio.gather(ask(), ask(held), ask(published), ask(held, published))

    together = asyncio.run(ask_all())
    assert len({str(tokens) for tokens in together}) == 4
    for tokens, erasers in zip(together, ((), (held,), (published,), (held, published)), strict=True):
        assert torch.equal(tokens, asyncio.run(ask(*erasers)))
    require_clean(loaded.model)


def test_two_threads_cannot_share_one_block_at_once(loaded: LoadedModel, held: Eraser) -> None:
    inputs = encode(loaded, SAMPLES)
    errors: list[str] = []

    def intrude(act: Callable[..., Tensor]) -> None:
        try:
            act(loaded, inputs)
        except SteeringError as error:
            errors.append(str(error))

    def during(ids: Tensor, scores: Tensor) -> Tensor:
        for act in (answer, logits):  # the one must not open the door to the other
            thread = threading.Thread(target=copy_context().run, args=(intrude, act))
            thread.start()
            thread.join()
        return scores

    with erased(loaded.model, held):
        expected = answer(loaded, inputs)
        assert torch.equal(answer(loaded, inputs, logits_processor=[during]), expected)
        thread = threading.Thread(target=copy_context().run, args=(intrude, answer))  # one after the other is fine
        thread.start()
        thread.join()
    assert len(errors) == 2 * NEW and all("two threads" in error for error in errors)


# What is refused.


def refused(loaded: LoadedModel, match: str, act: Callable[[Steering], object], *erasers: Eraser) -> None:
    with erased(loaded.model, *erasers) as steering, pytest.raises(SteeringError, match=match):
        act(steering)
    require_clean(loaded.model)


def test_a_cache_from_elsewhere_is_refused(loaded: LoadedModel, either: Eraser) -> None:
    inputs = dict(encode(loaded, [SAMPLES[1]]))
    with torch.no_grad():
        foreign = loaded.model(**inputs, use_cache=True).past_key_values
    longer = {
        "input_ids": torch.cat([inputs["input_ids"], torch.tensor([[7]])], dim=1),
        "attention_mask": torch.nn.functional.pad(inputs["attention_mask"], (0, 1), value=1),
    }
    more = {"input_ids": torch.tensor([[7]]), "past_key_values": foreign}
    refused(loaded, "seen another prompt: none", lambda _: logits(loaded, more), either)
    continued = longer | {"past_key_values": copy.deepcopy(foreign)}
    refused(loaded, "seen another prompt", lambda _: answer(loaded, continued), either)

    def own_prompt_first(_: Steering) -> None:
        kept = loaded.model(**inputs, use_cache=True)  # as many rows and columns as the other has
        logits(loaded, more)
        del kept

    refused(loaded, "seen another prompt: 1 row", own_prompt_first, either)

    def two_prompts_at_once(_: Steering) -> None:
        first = loaded.model(**inputs, use_cache=True)
        loaded.model(**inputs, use_cache=True)
        logits(loaded, {"input_ids": torch.tensor([[7]]), "past_key_values": first.past_key_values})

    refused(loaded, "finish one prompt before the next", two_prompts_at_once, either)


def test_a_conversation_goes_on_only_without_the_old_cache(loaded: LoadedModel, held: Eraser) -> None:
    inputs = dict(encode(loaded, [SAMPLES[1]]))
    cache = DynamicCache(config=loaded.model.config.get_text_config())
    with erased(loaded.model, held):
        answer(loaded, inputs, past_key_values=cache)
        longer = {"input_ids": torch.cat([inputs["input_ids"], torch.full((1, 9), 7)], dim=1)}
        with pytest.raises(SteeringError, match="has not read"):
            answer(loaded, longer, past_key_values=cache)
        answer(loaded, longer)


def test_unmarked_pads_are_refused(loaded: LoadedModel, either: Eraser) -> None:
    inputs = encode(loaded, SAMPLES[:2])
    bare = {name: value for name, value in inputs.items() if name != "attention_mask"}
    refused(loaded, "hold pad tokens but no attention_mask", lambda _: answer(loaded, bare), either)
    refused(loaded, "hold pad tokens but no attention_mask", lambda _: logits(loaded, bare), either)
    refused(loaded, "does not say which tokens are pads", lambda _: logits(loaded, four_d(inputs)), either)
    with erased(loaded.model, either):  # Without pads a mask is not needed.
        one = encode(loaded, SAMPLES[:1])
        expected = answer(loaded, one)
        assert torch.equal(answer(loaded, {k: v for k, v in one.items() if k != "attention_mask"}), expected)


def four_d(inputs: Any) -> dict[str, Tensor]:
    width = inputs["input_ids"].shape[1]
    return {**inputs, "attention_mask": torch.zeros(inputs["input_ids"].shape[0], 1, width, width)}


def test_classifier_free_guidance_is_refused(loaded: LoadedModel, either: Eraser) -> None:
    inputs = encode(loaded, [SAMPLES[1]])
    refused(loaded, "seen another prompt", lambda _: answer(loaded, inputs, guidance_scale=2.0), either)


def test_packed_rows_are_refused(loaded: LoadedModel, either: Eraser) -> None:
    ids = encode(loaded, [SAMPLES[1]])["input_ids"]
    packed = {
        "input_ids": torch.cat([ids, ids], dim=1),
        "position_ids": torch.cat([torch.arange(ids.shape[1])] * 2).unsqueeze(0),
    }
    refused(loaded, "packed into one row", lambda _: logits(loaded, packed), either)


def test_rows_without_a_token_or_prompt_are_refused(loaded: LoadedModel, either: Eraser) -> None:
    inputs = dict(encode(loaded, [SAMPLES[1]]))
    empty = inputs | {"attention_mask": torch.zeros_like(inputs["input_ids"])}
    refused(loaded, "one number per row", lambda _: logits(loaded, empty), either)
    refused(loaded, "without a prompt", lambda _: loaded.model.generate(), either)


def test_continuous_batching_copies_and_compiled_models_are_refused(loaded: LoadedModel, either: Eraser) -> None:
    ids = encode(loaded, [SAMPLES[1]])["input_ids"].tolist()
    refused(loaded, "continuous batching", lambda _: loaded.model.generate_batch(ids), either)
    refused(loaded, "cannot be copied", lambda _: copy.deepcopy(loaded.model), either)
    other = tiny_llava()
    other.adapter.layers(other.model)[1].compile(backend="eager")
    with pytest.raises(SteeringError, match="compiled"), erased(other.model, either):
        pass
    require_clean(other.model)


def test_an_eraser_for_another_model_is_refused(loaded: LoadedModel, held: Eraser) -> None:
    assert isinstance(held.gate, HeldGate)
    wide = replace(
        held, gate=replace(held.gate, weight=torch.zeros(2, 2, 2, 2 * WIDTH)), trajectory=torch.zeros(2, 1, 2 * WIDTH)
    )
    for eraser, text in (
        (wide, f"residual stream {2 * WIDTH} wide, this model's is {WIDTH}"),
        (replace(held, layers=(1, LAYERS)), rf"decoder layers \[{LAYERS}\] among others, this model has layers 0 to 2"),
        (replace(held, family="qwen3_vl"), "family 'qwen3_vl', this one's is 'llava'"),
    ):
        with pytest.raises(MismatchError, match=text), erased(loaded.model, held, eraser):
            pass
        require_clean(loaded.model)
    with pytest.raises(OptionError, match="at least one"), erased(loaded.model):
        pass


# Fail closed.


@pytest.mark.parametrize("layer", range(LAYERS))
def test_a_skipped_block_is_an_error(loaded: LoadedModel, either: Eraser, layer: int) -> None:
    inputs = encode(loaded, SAMPLES)
    blocks = loaded.adapter.text_model(loaded.model).get_submodule("layers")
    assert isinstance(blocks, nn.ModuleList)
    whole = blocks[layer]

    def without(act: Callable[[], object]) -> Callable[[Steering], None]:
        def run(_: Steering) -> None:
            blocks[layer] = nn.Identity()
            blocks[layer].forward = lambda states, **_: states
            try:
                act()
            finally:
                blocks[layer] = whole

        return run

    refused(loaded, "to run once each and in order|not been decided", without(lambda: logits(loaded, inputs)), either)
    refused(loaded, "to run once each and in order|not been decided", without(lambda: answer(loaded, inputs)), either)


def test_a_bypassed_decoder_is_an_error(loaded: LoadedModel, either: Eraser) -> None:
    inputs = encode(loaded, SAMPLES)
    model = loaded.model.model
    decoder = model.language_model

    def run(_: Steering) -> None:
        unhooked = copy.copy(decoder)  # the same blocks and weights
        unhooked._forward_pre_hooks, unhooked._forward_hooks = OrderedDict(), OrderedDict()
        model.language_model = unhooked
        try:
            answer(loaded, inputs)
        finally:
            model.language_model = decoder

    refused(loaded, "ran outside a call of the decoder", run, either)

    def unhooked(_: Steering) -> None:
        hidden = [(module, module._forward_pre_hooks.copy()) for module in loaded.model.modules()]
        for module, _hooks in hidden:
            module._forward_pre_hooks.clear()
        try:
            answer(loaded, inputs)
        finally:
            for module, kept in hidden:
                module._forward_pre_hooks.update(kept)

    refused(loaded, "were to pass through the steered decoder, 0 did", unhooked, either)


def test_a_removed_hook_is_an_error(loaded: LoadedModel, either: Eraser) -> None:
    inputs = encode(loaded, SAMPLES)
    decoder = loaded.adapter.text_model(loaded.model)
    blocks = loaded.adapter.layers(loaded.model)
    for hooked, text in (
        (blocks[2]._forward_pre_hooks, "to run once each and in order"),
        (decoder._forward_pre_hooks, "ran outside a call of the decoder"),
        (decoder._forward_hooks, "has seen another prompt: 5 row.s., 0 columns so far"),
    ):
        with (
            pytest.raises(SteeringError, match="removed from the model inside the block"),
            erased(loaded.model, either),
        ):
            hooked.popitem()
            with pytest.raises(SteeringError, match=text):
                answer(loaded, inputs)
        require_clean(loaded.model)
    with pytest.raises(ZeroDivisionError), erased(loaded.model, either):  # the first error is the one to see
        blocks[0]._forward_pre_hooks.popitem()
        raise ZeroDivisionError
    require_clean(loaded.model)
