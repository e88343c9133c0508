"""Gates against dense oracles: the published matrix is the rank-1 gate, the ridge is weighted least squares."""

from functools import reduce
from operator import add

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import TypeCheckError

from oracles import auc_by_pairs, dense_null_space_matrix, float64, weighted_ridge
from unsee.erase.fit.moments import Moments
from unsee.erase.fit.ridge import ridge_gate, ridge_gates
from unsee.erase.gates.null_space import (
    RELEASED_LLAVA,
    RELEASED_QWEN,
    NullSpace,
    gate_of_components,
    null_components,
    null_space_gate,
)
from unsee.errors import CalibrationError, DataError, OptionError


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def draw(generator: torch.Generator, count: int, width: int, shift: float = 0.0) -> torch.Tensor:
    """States with unequal feature scales and a common mean, as a residual stream has."""
    scales = torch.logspace(0.5, -1, width, dtype=torch.float64)
    return (torch.randn(count, width, generator=generator, dtype=torch.float64) + shift) * scales + 0.2


@pytest.mark.parametrize(("ratio", "gamma"), [(0.3, 0.1), (0.4, 1.0), (0.6, 0.1), (1.0, 10.0)])
@pytest.mark.parametrize("forgotten", [1, 7, 90], ids=["one", "fewer than R", "more than D"])
def test_rank_one_gate_is_the_published_matrix(
    generator: torch.Generator, ratio: float, gamma: float, forgotten: int
) -> None:
    retain, forget = draw(generator, 200, 40), draw(generator, forgotten, 40, shift=1.0)
    direction = torch.randn(40, generator=generator, dtype=torch.float64)
    matrix = dense_null_space_matrix(retain, forget, direction, ratio, gamma)
    gate = null_space_gate(retain, forget, NullSpace(ratio, gamma))

    spectrum = np.linalg.svd(matrix, compute_uv=False)
    assert spectrum[1] < 1e-9 * spectrum[0]
    prompts = torch.cat([retain[:20], forget, draw(generator, 20, 40, shift=-1.0)])
    steered = float64(prompts) @ matrix
    rank_one = float64((prompts @ gate).unsqueeze(1) * direction)
    assert np.abs(steered - rank_one).max() < 1e-6 * np.abs(steered).max()


@pytest.mark.parametrize("retained", [1, 20, 27, 28], ids=["one", "half", "one to spare", "exactly D - R"])
def test_few_retained_states_give_the_published_matrix_of_some_null_basis(
    generator: torch.Generator, retained: int
) -> None:
    """Of the exact null space the published rule takes any R dimensions; of 28 in 40 there are only 12."""
    retain, forget = draw(generator, retained, 40), draw(generator, 9, 40, shift=1.0)
    gate = null_space_gate(retain, forget, NullSpace(0.3, 0.1))
    assert (retain @ gate).abs().max() < 1e-10 * (forget @ gate).abs().max()
    null = np.linalg.svd(float64(retain))[2][retained:].T
    # Its first dimensions are made those of the forgotten states; the published steps follow, written out.
    turned = np.linalg.qr(np.concatenate([null @ null.T @ float64(forget).T, null], axis=1))[0][:, :12]
    inside = float64(forget) @ turned
    primal = turned @ np.linalg.solve(inside.T @ inside + 0.1 * np.eye(12), inside.T @ np.ones(9))
    np.testing.assert_allclose(float64(gate), primal, rtol=1e-8, atol=1e-10 * np.abs(primal).max())


def test_few_retained_states_of_very_unequal_energy_are_left_out_as_well(generator: torch.Generator) -> None:
    """One dimension a thousand times the others, as some models have; the span by SVD is the oracle."""
    scales = torch.ones(700, dtype=torch.float64)
    scales[7] = 1000
    retain, forget = draw(generator, 400, 700) * scales, draw(generator, 5, 700, shift=1.0)
    inside, _ = null_components(retain, forget, 0.3)
    span = np.linalg.svd(float64(retain), full_matrices=False)[2]
    expected = float64(forget) - float64(forget) @ span.T @ span
    np.testing.assert_allclose(float64(inside), expected, rtol=0, atol=1e-9 * np.abs(expected).max())


def test_retained_states_that_repeat_leave_the_forgotten_ones_a_gate(generator: torch.Generator) -> None:
    retain, forget = draw(generator, 3, 40).repeat(8, 1), draw(generator, 5, 40, shift=1.0)
    inside, residual = null_components(retain, forget, 0.3)
    assert residual == 0
    assert (inside @ retain.mT).abs().max() < 1e-10
    torch.testing.assert_close(inside @ forget.mT, inside @ inside.mT)  # it is a projection
    assert (forget @ gate_of_components(inside, 1e-6)).min() > 0.99


def test_components_are_a_projection_on_the_least_energy(generator: torch.Generator) -> None:
    retain = draw(generator, 100, 20)
    inside, residual = null_components(retain, torch.eye(20, dtype=torch.float64), 0.3)
    torch.testing.assert_close(inside @ inside, inside, rtol=0, atol=1e-12)
    torch.testing.assert_close(inside.mT, inside, rtol=0, atol=1e-12)
    assert float(inside.trace()) == pytest.approx(6)
    spectrum = np.linalg.svd(float64(retain), compute_uv=False) ** 2
    assert residual == pytest.approx(spectrum[-6:].sum() / spectrum.sum(), rel=1e-9)
    assert null_components(retain, retain, 1.0)[1] == pytest.approx(1.0)


@pytest.mark.parametrize(("ratio", "size"), [(0.1, 1), (0.19, 1), (0.35, 3), (1.0, 10)])
def test_null_space_size_is_truncated_as_released(ratio: float, size: int) -> None:
    eye = torch.eye(10, dtype=torch.float64)
    assert float(null_components(eye.repeat(2, 1), eye, ratio)[0].trace()) == pytest.approx(size)


def test_released_settings() -> None:
    assert NullSpace(0.3, 0.1) == RELEASED_LLAVA
    assert NullSpace(0.4, 1.0) == RELEASED_QWEN


@pytest.mark.parametrize("ratio", [0.0, -0.1, 1.01, float("nan")])
def test_ratio_outside_its_range_is_refused(ratio: float) -> None:
    with pytest.raises(OptionError, match=r"null space ratio is .*, expected a share of the width in \(0, 1\]"):
        null_components(torch.eye(4), torch.eye(4), ratio)


@pytest.mark.parametrize("gamma", [-0.1, float("nan"), float("inf")])
def test_gamma_outside_its_range_is_refused(gamma: float) -> None:
    moments, eye = Moments.of(torch.eye(4)), torch.eye(4, dtype=torch.float64)
    for attempt in (
        lambda: gate_of_components(eye, gamma),
        lambda: ridge_gate(moments, moments, gamma),
    ):
        with pytest.raises(OptionError, match=r"gamma is .*, expected a finite ridge of at least 0"):
            attempt()


def test_a_ratio_that_keeps_nothing_is_refused() -> None:
    with pytest.raises(OptionError, match=r"ratio 0.2 keeps no dimension of a width of 4; expected at least 0.25"):
        null_components(torch.eye(4), torch.eye(4), 0.2)


def test_null_space_gate_refuses_sets_without_states(generator: torch.Generator) -> None:
    retain, forget = draw(generator, 20, 5), draw(generator, 3, 5)
    for sets, name in (
        ((retain, forget[:0]), "forget"),
        ((retain[:0], forget), "retain"),
        ((retain * 0, forget), "retain"),
    ):
        with pytest.raises(DataError, match=rf"the {name} states are empty or all zero.*would fire on any prompt"):
            null_components(*sets, 0.5)


def test_null_space_gate_refuses_nan_and_another_width(generator: torch.Generator) -> None:
    retain, forget = draw(generator, 20, 5), draw(generator, 3, 5)
    # With shapes enforced at run time the annotation speaks first, and then names the parameter.
    message = r"forget states are 4 wide but retain states 5|parameter 'forget'"
    with pytest.raises((DataError, TypeCheckError), match=message):
        null_components(retain, forget[:, :4], 0.5)
    forget[0, 0] = float("nan")
    with pytest.raises(DataError, match=r"forget states contain 1 non-finite of 15"):
        null_components(retain, forget, 0.5)
    retain[0, 0] = float("inf")
    with pytest.raises(DataError, match=r"retain states contain 1 non-finite of 100"):
        null_components(retain, forget[1:], 0.5)


@pytest.mark.parametrize("repeated", [1, 20], ids=["few", "many"])
def test_forget_states_inside_the_retained_span_cannot_be_gated(generator: torch.Generator, repeated: int) -> None:
    retain = draw(generator, 3, 10)
    inside, _ = null_components(retain.repeat(repeated, 1), torch.cat([retain[:2] * 2, draw(generator, 1, 10)]), 0.5)
    with pytest.raises(CalibrationError, match=r"no component in the null .*Raise the null space ratio"):
        gate_of_components(inside[:2], 0.1)
    assert gate_of_components(inside, 0.1).any()


def test_without_ridge_a_singular_system_is_refused(generator: torch.Generator) -> None:
    retain, forget = draw(generator, 50, 10), draw(generator, 9, 10)
    with pytest.raises(CalibrationError, match=r"singular at gamma 0\.0: .*repeat.*larger gamma"):
        null_space_gate(retain, forget, NullSpace(0.5, 0.0))


@pytest.mark.parametrize("seed", range(20))
def test_a_singular_system_is_refused_even_if_rounding_makes_it_solvable(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    forget, retain = draw(generator, 3, 7, shift=1.0), draw(generator, 4, 7)
    with pytest.raises(CalibrationError, match=r"singular at gamma 0\.0"):
        ridge_gate(Moments.of(forget), Moments.of(retain), 0.0)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    forgotten=st.integers(1, 40),
    retained=st.integers(1, 80),
    width=st.integers(1, 24),
    gamma=st.sampled_from([1e-3, 1e-2, 1.0, 30.0]),
)
def test_ridge_gate_is_weighted_least_squares(
    seed: int, forgotten: int, retained: int, width: int, gamma: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    forget, retain = draw(generator, forgotten, width, shift=1.0), draw(generator, retained, width)
    weight, bias = ridge_gate(Moments.of(forget), Moments.of(retain), gamma)
    expected_weight, expected_bias = weighted_ridge(forget, retain, gamma)
    np.testing.assert_allclose(weight, expected_weight, rtol=1e-6, atol=1e-8 * np.abs(expected_weight).max())
    assert bias.item() == pytest.approx(expected_bias, rel=1e-6, abs=1e-8)


def test_ridge_gate_without_ridge_is_plain_least_squares(generator: torch.Generator) -> None:
    forget, retain = draw(generator, 30, 6, shift=1.0), draw(generator, 90, 6)
    weight, bias = ridge_gate(Moments.of(forget), Moments.of(retain), 0.0)
    expected_weight, expected_bias = weighted_ridge(forget, retain, 0.0)
    np.testing.assert_allclose(weight, expected_weight, rtol=1e-8)
    assert bias.item() == pytest.approx(expected_bias, rel=1e-8)


def test_ridge_gate_reads_one_on_forgotten_and_zero_on_retained(generator: torch.Generator) -> None:
    forget, retain = draw(generator, 40, 60, shift=1.5), draw(generator, 200, 60)
    weight, bias = ridge_gate(Moments.of(forget[:20]), Moments.of(retain[:100]), 0.01)
    unseen_forget, unseen_retain = forget[20:] @ weight + bias, retain[100:] @ weight + bias
    assert unseen_forget.mean().item() == pytest.approx(1.0, abs=0.15)
    assert unseen_retain.mean().item() == pytest.approx(0.0, abs=0.15)
    assert auc_by_pairs(unseen_forget, unseen_retain) > 0.95


def test_ridge_gate_ignores_how_many_states_a_class_has(generator: torch.Generator) -> None:
    forget, retain = draw(generator, 5, 8, shift=1.0), draw(generator, 30, 8)
    once = ridge_gate(Moments.of(forget), Moments.of(retain), 0.1)
    repeated = ridge_gate(Moments.of(forget.repeat(7, 1)), Moments.of(retain), 0.1)
    torch.testing.assert_close(once, repeated, rtol=1e-10, atol=1e-12)


def test_ridge_gate_does_not_depend_on_the_unit(generator: torch.Generator) -> None:
    forget, retain = draw(generator, 5, 8, shift=1.0), draw(generator, 30, 8)
    weight, bias = ridge_gate(Moments.of(forget), Moments.of(retain), 0.1)
    scaled_weight, scaled_bias = ridge_gate(Moments.of(forget * 1000), Moments.of(retain * 1000), 0.1)
    torch.testing.assert_close(scaled_weight * 1000, weight, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(scaled_bias, bias, rtol=1e-9, atol=1e-12)


def test_swapping_the_classes_mirrors_the_score(generator: torch.Generator) -> None:
    one, other = Moments.of(draw(generator, 5, 8, shift=1.0)), Moments.of(draw(generator, 30, 8))
    weight, bias = ridge_gate(one, other, 0.1)
    mirrored_weight, mirrored_bias = ridge_gate(other, one, 0.1)
    torch.testing.assert_close(mirrored_weight, -weight, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(mirrored_bias, 1 - bias, rtol=1e-10, atol=1e-12)


def test_a_revoked_shard_leaves_the_gate_that_never_saw_it(generator: torch.Generator) -> None:
    forget = Moments.of(draw(generator, 6, 20, shift=1.0))
    kept, revoked = (Moments.of(draw(generator, 40, 20)) for _ in range(2))
    never = ridge_gate(forget, kept, 0.01)
    torch.testing.assert_close(ridge_gate(forget, (kept + revoked) - revoked, 0.01), never, rtol=1e-9, atol=1e-10)


def test_leading_dimensions_are_independent_gates(generator: torch.Generator) -> None:
    forget = torch.stack([draw(generator, 6, 9, shift=shift) for shift in (1.0, 2.0, 3.0)], dim=1)
    retain = torch.stack([draw(generator, 20, 9) for _ in range(3)], dim=1)
    weights, biases = ridge_gate(Moments.of(forget), Moments.of(retain), 0.1)
    assert (weights.shape, biases.shape) == ((3, 9), (3,))
    for i in range(3):
        weight, bias = ridge_gate(Moments.of(forget[:, i]), Moments.of(retain[:, i]), 0.1)
        torch.testing.assert_close(weights[i], weight, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(biases[i], bias, rtol=1e-9, atol=1e-12)


def test_ridge_gates_against_the_retained_only(generator: torch.Generator) -> None:
    people = [draw(generator, 4, 7, shift=shift) for shift in (1.0, -2.0, 3.0)]
    retain = draw(generator, 25, 7)
    weights, biases = ridge_gates([Moments.of(person) for person in people], Moments.of(retain), 0.1)
    assert (weights.shape, biases.shape) == ((3, 7), (3,))
    for i, person in enumerate(people):
        expected_weight, expected_bias = weighted_ridge(person, retain, 0.1)
        np.testing.assert_allclose(weights[i], expected_weight, rtol=1e-6)
        assert biases[i].item() == pytest.approx(expected_bias, rel=1e-6)


def test_ridge_gates_against_the_other_forgotten_too(generator: torch.Generator) -> None:
    people = [draw(generator, 4, 7, shift=shift) for shift in (1.0, -2.0, 3.0)]
    retain = draw(generator, 25, 7)
    weights, biases = ridge_gates([Moments.of(person) for person in people], Moments.of(retain), 0.1, others=True)
    for i, person in enumerate(people):
        rest = torch.cat([retain, *(other for j, other in enumerate(people) if j != i)])
        expected_weight, expected_bias = weighted_ridge(person, rest, 0.1)
        np.testing.assert_allclose(weights[i], expected_weight, rtol=1e-6)
        assert biases[i].item() == pytest.approx(expected_bias, rel=1e-6)


def test_classes_that_are_each_one_point_are_told_apart() -> None:
    forget, retain = torch.full((5, 6), 2.0), torch.full((9, 6), 1.0)
    weight, bias = ridge_gate(Moments.of(forget), Moments.of(retain), 0.01)
    assert (forget[0].double() @ weight + bias).item() == pytest.approx(1.0, abs=0.01)
    assert (retain[0].double() @ weight + bias).item() == pytest.approx(0.0, abs=0.01)


@pytest.mark.parametrize("width", [1, 6, 200])
def test_equal_states_cannot_be_told_apart(width: int) -> None:
    forget, retain = torch.full((50, width), 1234.567), torch.full((900, width), 1234.567)
    with pytest.raises(CalibrationError, match=r"all forget and retain states are equal.*after the first block"):
        ridge_gate(Moments.of(forget), Moments.of(retain), 0.1)


def test_ridge_gates_need_states_on_both_sides(generator: torch.Generator) -> None:
    some, nothing = Moments.of(draw(generator, 4, 5)), Moments.empty(5)
    with pytest.raises(DataError, match=r"forget moments hold no state, expected at least one"):
        ridge_gate(nothing, some, 0.1)
    with pytest.raises(DataError, match=r"retain moments hold no state"):
        ridge_gate(some, nothing, 0.1)
    with pytest.raises(DataError, match=r"retain moments hold no state"):
        ridge_gates([some], nothing, 0.1, others=True)
    with pytest.raises(DataError, match=r"no forgotten subject"):
        ridge_gates([], some, 0.1)
    with pytest.raises(DataError, match=r"cannot combine moments of shape \(5,\) with \(6,\)"):
        ridge_gate(some, Moments.empty(6) + Moments.of(draw(generator, 4, 6)), 0.1)


def test_the_same_states_in_any_shards_give_the_same_gate(generator: torch.Generator) -> None:
    forget, retain = draw(generator, 12, 10, shift=1.0), draw(generator, 60, 10)
    whole = ridge_gate(Moments.of(forget), Moments.of(retain), 0.01)
    sharded = ridge_gate(
        reduce(add, map(Moments.of, forget.split(5))), reduce(add, map(Moments.of, retain.split(7))), 0.01
    )
    torch.testing.assert_close(whole, sharded, rtol=1e-9, atol=1e-11)


def test_new_tensors_follow_the_device_of_the_input(generator: torch.Generator) -> None:
    """Under another default device, a tensor made without naming one would not combine with the input."""
    retain, forget = draw(generator, 30, 8), draw(generator, 4, 8, shift=1.0)
    positive, negative = Moments.of(forget), Moments.of(retain)
    with torch.device("meta"):
        found = (null_space_gate(retain, forget, NullSpace(0.5, 0.1)), *ridge_gate(positive, negative, 0.1))
        emptied = positive - positive
    assert {tensor.device.type for tensor in (*found, emptied.total, emptied.second)} == {"cpu"}
