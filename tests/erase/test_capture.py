"""Captured states are the block inputs of each prompt alone, whatever it was batched with."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tiny_llava import LAYERS, WIDTH, mixed_questions, question, tiny_llava
from unsee.data.sample import Sample
from unsee.erase.fit.activations import capture, capture_answers, capture_batches
from unsee.erase.fit.tokens import capture_tokens, capture_turns
from unsee.errors import DataError, ModelError, OptionError
from unsee.models.generate import answer_tokens, conversation_of, encode
from unsee.models.load import LoadedModel

ALL = tuple(range(LAYERS))


def hooks(model: nn.Module) -> int:
    """Forward pre-hooks that the model carries; transformers keeps forward hooks of its own (`output_capturing`)."""
    return sum(len(module._forward_pre_hooks) for module in model.modules())


def hidden_states(loaded: LoadedModel, sample: Sample, answer: list[int] | None = None) -> list[Tensor]:
    """Oracle: the library's own record of one unpadded row, [T D] per layer."""
    inputs = dict(encode(loaded, [sample]))
    assert inputs["attention_mask"].all()
    if answer:
        inputs["input_ids"] = torch.cat([inputs["input_ids"], torch.tensor([answer])], dim=1)
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    with torch.no_grad():
        states = loaded.model(**inputs, output_hidden_states=True).hidden_states
    return [layer[0] for layer in states]


@pytest.mark.parametrize("batch_size", [1, 2, 5])
def test_states_are_the_block_inputs_of_each_prompt_alone(batch_size: int) -> None:
    loaded = tiny_llava()
    samples = mixed_questions()
    states = capture(loaded, samples, ALL, batch_size)
    assert states.layers == ALL and states.last.shape == states.mean.shape == (len(samples), LAYERS, WIDTH)
    assert states.last.dtype == states.mean.dtype == torch.float32
    for row, sample in enumerate(samples):
        expected = hidden_states(loaded, sample)
        for layer in ALL:
            torch.testing.assert_close(states.last[row, layer], expected[layer][-1], rtol=0, atol=1e-5)
            mean = expected[layer].double().mean(0).float()
            torch.testing.assert_close(states.mean[row, layer], mean, rtol=0, atol=1e-5)
    assert not torch.allclose(states.last, states.mean, atol=1e-2)
    assert hooks(loaded.model) == 0


def test_only_the_first_batch_runs_past_the_last_block_that_is_read() -> None:
    loaded, ran = tiny_llava(), [0] * LAYERS

    def count(layer: int) -> Any:
        def hook(*_: Any) -> None:
            ran[layer] += 1

        return hook

    for layer, block in enumerate(loaded.adapter.layers(loaded.model)):
        block.register_forward_hook(count(layer))
    batches = list(capture_batches(loaded, mixed_questions(), [0, LAYERS - 2], batch_size=1))
    assert ran == [len(batches)] * (LAYERS - 2) + [1, 1] and len(batches) > 1


@pytest.mark.parametrize("read", [capture_tokens, capture_turns])
def test_so_it_is_where_a_gate_reads_tokens(read: Callable[..., object]) -> None:
    """Most of a deep model lies behind the blocks that gates read: running it doubles the price of a request."""
    loaded, runs = tiny_llava(), list[int]()
    prompts = [conversation_of(question(n, f"who is this {n}?")) for n in range(6)]
    handle = loaded.adapter.layers(loaded.model)[-1].register_forward_pre_hook(lambda *_: runs.append(1))
    read(loaded, prompts, (0, 1), batch_size=2)
    handle.remove()
    assert runs == [1]


def test_pads_never_enter_even_when_they_hold_nan() -> None:
    loaded = tiny_llava()
    samples = mixed_questions()[:2]
    clean = capture(loaded, samples, [0], batch_size=2)
    mask = encode(loaded, samples)["attention_mask"].bool()
    assert not mask.all()

    def poison(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return (args[0].masked_fill(~mask[..., None], float("nan")), *args[1:]), kwargs

    handle = loaded.adapter.layers(loaded.model)[0].register_forward_pre_hook(poison, with_kwargs=True)
    poisoned = capture(loaded, samples, [0], batch_size=2)
    handle.remove()
    # batches_by_length puts the image first: the two samples keep their order, so that the mask fits.
    assert torch.equal(poisoned.mean, clean.mean) and torch.equal(poisoned.last, clean.last)


def test_what_a_steered_block_receives_is_what_is_captured() -> None:
    loaded = tiny_llava()
    block = loaded.adapter.layers(loaded.model)[1]
    plain = capture(loaded, [question(0)], [1])
    handle = block.register_forward_pre_hook(lambda _, args: (args[0] + 1.0, *args[1:]))
    steered = capture(loaded, [question(0)], [1])
    handle.remove()
    torch.testing.assert_close(steered.last, plain.last + 1.0)


def test_layers_come_in_the_order_that_was_asked_for() -> None:
    loaded = tiny_llava()
    ordered, swapped = (capture(loaded, [question(0)], layers).last for layers in ((0, 2), (2, 0)))
    assert torch.equal(ordered, swapped.flip(1)) and not torch.equal(ordered, swapped)


def test_one_pooling_can_be_asked_for_and_the_other_is_then_refused() -> None:
    loaded = tiny_llava()
    states = capture(loaded, [question(0)], [0], pool=("mean",))
    assert states.mean.shape == (1, 1, WIDTH)
    with pytest.raises(OptionError, match=r"captured with pool=\('mean',\), so there is no 'last'"):
        _ = states.last
    with pytest.raises(OptionError, match=r"pool is \(\), expected one or both of \('last', 'mean'\)"):
        capture(loaded, [question(0)], [0], pool=())


def test_batches_stream_without_hooks_in_between() -> None:
    loaded = tiny_llava()
    samples = mixed_questions()
    whole = capture(loaded, samples, ALL, batch_size=2)
    seen: list[int] = []
    for indices, states in capture_batches(loaded, samples, ALL, batch_size=2):
        assert hooks(loaded.model) == 0
        torch.testing.assert_close(states.last, whole.last[indices])
        seen.extend(indices)
    assert sorted(seen) == list(range(len(samples)))


def test_progress_counts_prompts() -> None:
    loaded = tiny_llava()
    done: list[int] = []
    capture(loaded, mixed_questions(), [0], batch_size=2, progress=done.append)
    assert sum(done) == 5


@pytest.mark.parametrize("layers", [[], [0, 0], [-1], [LAYERS]])
def test_illegal_layers_are_refused(layers: list[int]) -> None:
    loaded = tiny_llava()
    with pytest.raises(OptionError, match="different numbers from 0 to 2 for the 3 decoder blocks of 'tiny-llava'"):
        capture(loaded, [question(0)], layers)


def test_no_sample_is_refused() -> None:
    with pytest.raises(DataError, match="no question to ask"):
        capture(tiny_llava(), [], [0])


def test_hooks_are_removed_when_the_model_fails() -> None:
    loaded = tiny_llava()

    def fail(*_: object) -> None:
        raise RuntimeError("boom")

    handle = loaded.model.lm_head.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="boom"):
        capture(loaded, [question(0)], ALL)
    handle.remove()
    assert hooks(loaded.model) == 0


class Twice(nn.Module):
    """Runs a block twice, or never."""

    def __init__(self, block: nn.Module, times: int) -> None:
        super().__init__()
        self.block, self.times = block, times

    def forward(self, hidden_states: Tensor, **kwargs: object) -> Tensor:
        for _ in range(self.times):
            hidden_states = self.block(hidden_states, **kwargs)
        return hidden_states


@pytest.mark.parametrize("times", [0, 2])
def test_a_block_that_does_not_run_exactly_once_is_refused(times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = tiny_llava()
    blocks = loaded.adapter.layers(loaded.model)
    loaded.model.model.language_model.layers[1] = Twice(blocks[1], times)
    monkeypatch.setattr(type(loaded.adapter), "layers", lambda *_: blocks)
    with pytest.raises(ModelError, match=f"decoder block 1 of 'tiny-llava' ran {times} times in one forward pass"):
        capture(loaded, [question(0)], ALL)
    assert hooks(loaded.model) == 0


@pytest.mark.parametrize("batch_size", [1, 5])
def test_answer_states_are_those_at_each_answer_token(batch_size: int) -> None:
    loaded = tiny_llava()
    samples = mixed_questions()
    answers = ["ann", "i cannot say.", "b", "no idea at all", "hi"]
    steps = 5
    captured = capture_answers(loaded, samples, answers, (0, 2), steps, batch_size)
    assert captured.states.shape == (len(samples), steps, 2, WIDTH) and captured.layers == (0, 2)
    for row, (sample, tokens) in enumerate(zip(samples, answer_tokens(loaded, answers), strict=True)):
        prompt = len(encode(loaded, [sample])["input_ids"][0])
        expected = hidden_states(loaded, sample, tokens)
        real = min(steps, len(tokens) + 1)
        assert captured.mask[row].tolist() == [step < real for step in range(steps)]
        for axis, layer in enumerate((0, 2)):
            rows = expected[layer][prompt - 1 : prompt - 1 + real]
            torch.testing.assert_close(captured.states[row, :real, axis], rows, rtol=0, atol=1e-5)
        assert not captured.states[row, real:].any()


def test_step_zero_is_the_last_prompt_token() -> None:
    loaded = tiny_llava()
    samples = mixed_questions()
    captured = capture_answers(loaded, samples, ["x"] * len(samples), ALL, steps=1)
    torch.testing.assert_close(captured.states[:, 0], capture(loaded, samples, ALL).last, rtol=0, atol=1e-5)


def test_answers_are_checked() -> None:
    loaded = tiny_llava()
    with pytest.raises(OptionError, match="steps is 0, expected at least 1"):
        capture_answers(loaded, [question(0)], ["a"], [0], steps=0)
    with pytest.raises(DataError, match="got 2 answers for 1 samples"):
        capture_answers(loaded, [question(0)], ["a", "b"], [0], steps=2)
    with pytest.raises(DataError, match="answer 0 is ''"):
        capture_answers(loaded, [question(0)], [""], [0], steps=2)


def test_no_graph_is_kept() -> None:
    loaded = tiny_llava()
    assert not capture(loaded, [question(0)], ALL).last.requires_grad


def test_half_precision_states_are_averaged_in_double() -> None:
    loaded = tiny_llava()
    loaded.model.bfloat16()
    sample = replace(question(0), question="who is this? " * 30)
    inputs: list[Tensor] = []
    handle = loaded.adapter.layers(loaded.model)[1].register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    mean = capture(loaded, [sample], [1]).mean[0, 0]
    handle.remove()
    assert torch.equal(mean, inputs[0][0].double().mean(0).float())
