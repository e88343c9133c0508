"""The arithmetic of steering against slow loops over rows and tokens."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from unsee.erase.eraser import Eraser
from unsee.erase.gates.null_space import NullSpaceGate
from unsee.erase.gates.prompt_ridge import PromptRidgeGate
from unsee.erase.steer.policy import LatchedPolicy, ProportionalPolicy, strongest
from unsee.erase.steer.positions import Steps, added, along_trajectory, number_steps, pooled
from unsee.errors import ArtifactError, SteeringError

D = 4


@st.composite
def batches(draw: st.DrawFn) -> tuple[list[list[bool]], list[int], int, int]:
    """Masks with pads anywhere, prompt lengths, and a window that may reach beyond the mask."""
    rows, known = draw(st.integers(1, 3)), draw(st.integers(1, 7))
    masks = [draw(st.lists(st.booleans(), min_size=known, max_size=known).filter(any)) for _ in range(rows)]
    prompts = [draw(st.integers(1, sum(mask))) for mask in masks]
    first = draw(st.integers(0, known))
    return masks, prompts, first, draw(st.integers(1, known + 3))


@given(batches())
@settings(max_examples=60, deadline=None)
def test_steps_count_real_tokens_from_the_last_prompt_token(case: tuple[list[list[bool]], list[int], int, int]) -> None:
    masks, prompts, first, width = case
    steps = number_steps(torch.tensor(masks), torch.tensor(prompts), first, width)
    assert steps.step.shape == steps.real.shape == (len(masks), width)
    for row, mask in enumerate(masks):
        seen = 0
        for column in range(first + width):
            real = mask[column] if column < len(mask) else True
            seen += real
            if column < first:
                continue
            at = (row, column - first)
            assert bool(steps.real[at]) == real
            if real:
                assert int(steps.step[at]) == seen - prompts[row]
            assert bool(steps.in_prompt[at]) == (real and seen <= prompts[row])
            assert bool(steps.last[at]) == (real and seen == prompts[row])
            assert bool(steps.answering[at]) == (real and seen >= prompts[row])


@given(batches(), st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_refusing_begins_after_what_was_begun(case: tuple[list[list[bool]], list[int], int, int], given: int) -> None:
    masks, prompts, first, width = case
    begun = [given + row for row in range(len(masks))]
    steps = number_steps(torch.tensor(masks), torch.tensor(prompts), first, width, torch.tensor(begun))
    plain = number_steps(torch.tensor(masks), torch.tensor(prompts), first, width)
    longer = number_steps(torch.tensor(masks), torch.tensor(prompts) + torch.tensor(begun), first, width)
    assert torch.equal(steps.in_prompt, plain.in_prompt) and torch.equal(steps.last, plain.last)
    assert torch.equal(steps.answering, longer.answering), "as if the prompt had ended there"
    trajectory, strength = torch.randn(3, D), torch.arange(1.0, len(masks) + 1)
    assert torch.equal(along_trajectory(strength, trajectory, steps), along_trajectory(strength, trajectory, longer))


@given(batches())
@settings(max_examples=40, deadline=None)
def test_what_is_added_follows_the_trajectory_and_then_holds(
    case: tuple[list[list[bool]], list[int], int, int],
) -> None:
    masks, prompts, first, width = case
    steps = number_steps(torch.tensor(masks), torch.tensor(prompts), first, width)
    trajectory = torch.randn(3, D)
    strength = torch.arange(1.0, len(masks) + 1)
    got = along_trajectory(strength, trajectory, steps)
    tail = steps.from_first_answering()
    start = width - tail.step.shape[1]
    assert torch.equal(along_trajectory(strength, trajectory, tail), got[:, start:])
    assert not got[:, :start].any()
    assert start == width or bool(tail.answering[:, 0].any())
    for row in range(len(masks)):
        for column in range(width):
            step = int(steps.step[row, column])
            if not bool(steps.real[row, column]) or step < 0:
                assert not got[row, column].any()
            else:
                assert torch.equal(got[row, column], strength[row] * trajectory[min(step, 2)])


@given(batches(), st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_pooled_over_any_chunks_is_the_feature_of_the_prompt(
    case: tuple[list[list[bool]], list[int], int, int], chunk: int
) -> None:
    masks, prompts, _, _ = case
    columns = len(masks[0])
    states = torch.randn(len(masks), columns, D, dtype=torch.float64)
    states[~torch.tensor(masks)] = torch.nan  # What a pad holds is nobody's business.
    total = torch.zeros(len(masks), 2, D)
    for first in range(0, columns, chunk):
        part = states[:, first : first + chunk]
        total += pooled(part, number_steps(torch.tensor(masks), torch.tensor(prompts), first, part.shape[1]))
    for row, mask in enumerate(masks):
        prompt = [states[row, column] for column in range(columns) if mask[column]][: prompts[row]]
        torch.testing.assert_close(total[row, 0], prompt[-1].float())
        torch.testing.assert_close(total[row, 1], torch.stack(prompt).mean(0).float(), rtol=1e-5, atol=1e-6)


def test_parts_are_aligned_with_the_last_column_and_summed_before_they_are_rounded() -> None:
    states = torch.full((1, 3, 1), 256.0, dtype=torch.bfloat16)
    wide, narrow = torch.full((1, 3, 1), 0.5), torch.full((1, 1, 1), 0.5)
    # In bfloat16 256 + 0.5 is 256, and 256 + 1 is 256 as well (ties to even), but 256 + 2 is 258.
    assert added(states, [wide, narrow, 3 * narrow]).flatten().tolist() == [256.0, 256.0, 258.0]
    assert torch.equal(added(states, [wide, narrow]), added(states, [narrow, wide]))
    assert added(states, [wide]).dtype == torch.bfloat16


def held(layers: tuple[int, ...] = (1,), threshold: float = 0.0, read: tuple[int, ...] = (0, 1)) -> Eraser:
    weight = torch.zeros(1, len(read), 2, D)
    weight[0, -1, 0, 0] = 1.0  # The first coordinate of the last prompt token at the last layer read.
    gate = PromptRidgeGate(read, weight, torch.zeros(1), torch.tensor([threshold]))
    return Eraser({"id": "m"}, "llava", layers, gate, torch.ones(len(layers), 2, D), 2.0, "test")


def policy(eraser: Eraser, prompts: Tensor) -> LatchedPolicy:
    assert isinstance(eraser.gate, PromptRidgeGate)
    return LatchedPolicy(eraser, eraser.gate.rule(prompts))


def pass_by(one: LatchedPolicy, layer: int, states: Tensor, steps: Steps) -> Tensor | None:
    """One policy by itself at one layer."""
    one.read(layer, states, steps)
    return one.at(layer, states, steps, strongest([one], layer))


def required(one: LatchedPolicy, steps: Steps) -> int:
    return one.required(steps, [strongest([one], layer) for layer in range(3)])


def test_a_held_gate_decides_each_row_where_its_own_prompt_ends() -> None:
    mask, prompts = torch.tensor([[True, True, False], [True, True, True]]), torch.tensor([2, 3])
    states = torch.zeros(2, 3, D)
    states[0, 1, 0], states[1, 2, 0] = 1.0, -1.0
    whole = policy(held(), prompts)
    steps = number_steps(mask, prompts, 0, 3)
    assert pass_by(whole, 0, states, steps) is None and whole.reading() is None
    part = pass_by(whole, 1, states, steps)
    reading = whole.reading()
    assert reading is not None and reading.fired.tolist() == [True, False]
    assert reading.margins.tolist() == [[1.0], [-1.0]]
    assert part is not None and part[:, :, 0].tolist() == [[2.0, 0.0], [0.0, 0.0]]  # columns 1 and 2
    assert whole.steered == required(whole, steps) == 1
    chunked = policy(held(), prompts)
    for first, width in ((0, 2), (2, 1)):
        steps = number_steps(mask, prompts, first, width)
        for layer in (0, 1):
            pass_by(chunked, layer, states[:, first : first + width], steps)
        assert chunked.steered == 1  # Row 0 is decided in the first chunk, row 1 in the second: it does not fire.
        assert (chunked.reading() is None) == (first == 0)
    again = chunked.reading()
    assert again is not None and torch.equal(again.margins, reading.margins)


def test_a_held_gate_never_decides_twice() -> None:
    prompts = torch.tensor([2])
    one = policy(held(), prompts)
    states = torch.ones(1, 2, D)
    for layer in (0, 1):
        pass_by(one, layer, states, number_steps(torch.ones(1, 2, dtype=torch.bool), prompts, 0, 2))
    for layer in (0, 1):  # Without a cache the prompt comes again; now it would say no.
        pass_by(one, layer, -torch.ones(1, 3, D), number_steps(torch.ones(1, 2, dtype=torch.bool), prompts, 0, 3))
    reading = one.reading()
    assert reading is not None and reading.fired.tolist() == [True] and one.steered == 1 + 2


def test_a_held_gate_refuses_to_act_undecided() -> None:
    prompts, mask = torch.tensor([2]), torch.ones(1, 2, dtype=torch.bool)
    states = torch.ones(1, 2, D)
    late = policy(held(layers=(1, 2)), prompts)
    with pytest.raises(SteeringError, match="layer 2 is to be steered but the gate has not been decided"):
        pass_by(late, 2, states, number_steps(mask, prompts, 0, 2))
    partial = policy(held(), prompts)
    steps = number_steps(mask, prompts, 1, 1)
    pass_by(partial, 0, states[:, 1:], steps)
    with pytest.raises(SteeringError, match=r"has read \[1\] tokens of prompts that have \[2\]"):
        pass_by(partial, 1, states[:, 1:], steps)


def test_a_held_gate_that_reads_nan_is_refused() -> None:
    prompts, states = torch.tensor([2]), torch.full((1, 2, D), torch.nan)
    one, steps = policy(held(), prompts), number_steps(torch.ones(1, 2, dtype=torch.bool), prompts, 0, 2)
    pass_by(one, 0, states, steps)
    with pytest.raises(SteeringError, match="a gate read NaN"):
        pass_by(one, 1, states, steps)


@given(st.lists(st.lists(st.sampled_from([-1.0, 0.0, 0.5, 2.0]), min_size=3, max_size=3), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_each_row_is_steered_by_the_first_of_those_that_fire_most(margins: list[list[float]]) -> None:
    """Rows x erasers, the gates of which read the first coordinate of the last prompt token; every second steers 2."""
    prompts, mask = torch.ones(3, dtype=torch.long), torch.ones(3, 1, dtype=torch.bool)
    steps = number_steps(mask, prompts, 0, 1)
    published = Eraser({}, "llava", (1,), NullSpaceGate(torch.ones(1, D)), torch.ones(1, 1, D), 1.0, "published")
    policies = [policy(held(layers=(1, 2) if k % 2 else (1,)), prompts) for k in range(len(margins))]
    for one, own in zip(policies, margins, strict=True):
        states = torch.zeros(3, 1, D)
        states[:, 0, 0] = torch.tensor(own)
        for layer in (0, 1):
            one.read(layer, states, steps)
    assert isinstance(published.gate, NullSpaceGate)
    for layer, able in ((0, []), (1, range(len(margins))), (2, range(1, len(margins), 2))):
        won = strongest([*policies, ProportionalPolicy(published, published.gate.rule(prompts))], layer)
        assert set(won) == {policies[k] for k in able}
        for row in range(3):
            firing = sorted((-margins[k][row], k) for k in able if margins[k][row] >= 0)
            assert [k for k in able if bool(won[policies[k]][row])] == [k for _, k in firing[:1]]


def test_the_published_gate_adds_to_every_prompt_token_in_proportion() -> None:
    weight = torch.randn(2, D)
    eraser = Eraser({}, "llava", (0, 2), NullSpaceGate(weight), torch.randn(2, 1, D), 0.5, "published")
    mask, prompts = torch.tensor([[False, True, True], [True, True, True]]), torch.tensor([2, 2])
    one = ProportionalPolicy(eraser, NullSpaceGate(weight).rule(prompts))
    states, steps = torch.randn(2, 3, D), number_steps(mask, prompts, 0, 3)
    assert one.at(1, states, steps, {}) is None and one.reading() is None
    for index, layer in enumerate((0, 2)):
        part = one.at(layer, states, steps, {})
        assert part is not None
        for row, (first, last) in enumerate(((1, 2), (0, 1))):
            value = float(states[row, last] @ weight[index])
            for column in range(3):
                chosen = first <= column <= last
                expected = 0.5 * value * eraser.trajectory[index, 0] * chosen
                torch.testing.assert_close(part[row, column], expected)
    assert one.steered == one.required(steps, []) == 2 * (2 + 2)
    reading = one.reading()
    assert reading is not None and reading.margins.shape == (2, 2) and reading.fired.all()
    assert one.at(0, states[:, :1], number_steps(mask, prompts, 3, 1), {}) is None  # an answer token
    with pytest.raises(SteeringError, match="needs the prompt in one call"):
        one.at(0, states[:, :2], number_steps(mask, prompts, 0, 2), {})


def test_an_eraser_that_contradicts_itself_is_refused() -> None:
    with pytest.raises(ArtifactError, match="steers layer 0 before its gate has read layer 1"):
        held(layers=(0, 1))
    with pytest.raises(ArtifactError, match="expected them ascending"):
        held(layers=(2, 1))
    with pytest.raises(ArtifactError, match="expected them ascending"):
        held(read=(1, 0))
    with pytest.raises(ArtifactError, match="one entry per layer"):
        Eraser({}, "llava", (0,), NullSpaceGate(torch.ones(2, D)), torch.ones(2, 1, D), 1.0, "test")
    with pytest.raises(ArtifactError, match="nothing empty"):
        Eraser({}, "llava", (), NullSpaceGate(torch.ones(0, D)), torch.ones(0, 1, D), 1.0, "test")
    with pytest.raises(ArtifactError, match="one width"):
        Eraser({}, "llava", (0,), NullSpaceGate(torch.ones(1, D + 1)), torch.ones(1, 1, D), 1.0, "test")
