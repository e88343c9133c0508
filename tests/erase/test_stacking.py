"""The joint fit is a balanced ridge per subject; adding and taking back is fitting without, in any order."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles import Array, float64, weighted_ridge
from unsee.erase.fit.joint import Share, Stack
from unsee.erase.fit.moments import Moments
from unsee.erase.fit.ridge import ridge_gate
from unsee.errors import CalibrationError, DataError, OptionError
from unsee.shapes import Tensor

WIDTH, GAMMA = 24, 0.01
NONE = Moments.empty(WIDTH)


def states(seed: int, count: int, shift: float = 0.0) -> Tensor:
    """States with unequal feature scales around a mean of their own, as people have."""
    generator = torch.Generator().manual_seed(seed)
    scales = torch.logspace(0.5, -1, WIDTH, dtype=torch.float64)
    own = torch.randn(WIDTH, generator=generator, dtype=torch.float64) * shift
    return (torch.randn(count, WIDTH, generator=generator, dtype=torch.float64) + own) * scales + 0.2


RETAIN = states(0, 300)
PEOPLE = [states(100 + i, 12 + i, shift=1.0) for i in range(6)]
KEPT_ABOUT = [states(200 + i, 4, shift=0.5) for i in range(6)]
ONES_KEPT_BEFORE = [RETAIN[7 * i : 7 * i + 5] for i in range(6)]


def share(i: int) -> Share:
    """Request i; the even ones have two subjects, and every third has somebody whom the profile kept."""
    forget = (PEOPLE[i], states(300 + i, 9, shift=1.0)) if i % 2 == 0 else (PEOPLE[i],)
    retained = Moments.of(ONES_KEPT_BEFORE[i]) if i % 3 == 0 else NONE
    return Share(tuple(map(Moments.of, forget)), Moments.of(KEPT_ABOUT[i]), retained)


SHARES = {f"r{i}": share(i) for i in range(6)}


def oracle(forget: list[Tensor], retain: Tensor, keep: Tensor | None, gamma: float) -> list[tuple[Array, float]]:
    """Gate by gate, each with a matrix of its own, as the docstring has it; numpy's covariances and solver."""
    kept = [retain] if keep is None else [retain, keep]
    centre = np.mean([float64(group).mean(0) for group in kept], axis=0)
    around = [(float64(g) - centre).T @ (float64(g) - centre) / len(g) for g in kept]
    within = np.mean([np.cov(float64(one), rowvar=False, bias=True) for one in forget], axis=0)
    deltas = [float64(one).mean(0) - centre for one in forget]
    spreads = [within / 2 + np.mean(around, axis=0) / 2 + np.outer(delta, delta) / 4 for delta in deltas]
    rho = gamma * float(np.mean([np.trace(spread) for spread in spreads])) / WIDTH
    gates = [np.linalg.solve(s + rho * np.eye(WIDTH), d / 4) for s, d in zip(spreads, deltas, strict=True)]
    return [(w, 0.5 - float(w @ (d / 2 + centre))) for w, d in zip(gates, deltas, strict=True)]


@pytest.mark.parametrize("with_keep", [False, True])
def test_the_joint_fit_is_a_balanced_ridge_per_subject_with_pooled_spread(with_keep: bool) -> None:
    keep = torch.cat(KEPT_ABOUT[:3]) if with_keep else None
    shares = {
        f"r{i}": Share((Moments.of(PEOPLE[i]),), Moments.of(KEPT_ABOUT[i]) if with_keep else NONE, NONE)
        for i in range(3)
    }
    weight, bias = Stack.of(Moments.of(RETAIN), shares).gates(GAMMA)
    for k, (expected, intercept) in enumerate(oracle(PEOPLE[:3], RETAIN, keep, GAMMA)):
        assert np.abs(float64(weight[k]) - expected).max() < 1e-9 * np.abs(expected).max()
        assert abs(float(bias[k]) - intercept) < 1e-9


def test_one_subject_alone_gets_the_gate_of_a_request_alone() -> None:
    alone = Stack.of(Moments.of(RETAIN), {"r": Share((Moments.of(PEOPLE[1]),), NONE, NONE)})
    weight, bias = alone.gates(GAMMA)
    expected, intercept = ridge_gate(Moments.of(PEOPLE[1]), Moments.of(RETAIN), GAMMA)
    assert torch.allclose(weight[0], expected, rtol=1e-9, atol=0) and torch.allclose(bias[0], intercept, rtol=1e-9)
    truth, _ = weighted_ridge(PEOPLE[1], RETAIN, GAMMA)
    assert np.abs(float64(weight[0]) - truth).max() < 1e-9 * np.abs(truth).max()


moves = st.lists(st.integers(0, 5), min_size=1, max_size=24)


@given(moves)
@settings(max_examples=60, deadline=None)
def test_adding_and_taking_back_in_any_order_is_a_fit_of_what_is_left(way: list[int]) -> None:
    now, on = Stack.of(Moments.of(RETAIN)), set[str]()
    for i in way:
        name = f"r{i}"
        now = now.without(name, SHARES[name]) if name in on else now.with_request(name, SHARES[name])
        on ^= {name}
    fresh = Stack.of(Moments.of(RETAIN), {name: SHARES[name] for name in on})
    assert now.owners == fresh.owners and now.retain.count == fresh.retain.count
    assert torch.allclose(now.retain.second, fresh.retain.second, rtol=1e-9, atol=1e-9)
    if not on:
        assert not now.second.any() and now.keep.count == 0, "nothing is left of what was taken back"
        return
    (weight, bias), (expected, intercept) = now.gates(GAMMA), fresh.gates(GAMMA)
    assert float((weight - expected).abs().max()) < 1e-6 * float(expected.abs().max())
    assert float((bias - intercept).abs().max()) < 1e-6


def test_the_same_set_gives_the_same_bits_in_any_order() -> None:
    one = Stack.of(Moments.of(RETAIN), SHARES).gates(GAMMA)
    other = Stack.of(Moments.of(RETAIN), dict(reversed(SHARES.items()))).gates(GAMMA)
    assert torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])


def test_whom_a_request_is_about_is_kept_no_longer_by_any_gate() -> None:
    with_them = Stack.of(Moments.of(RETAIN), {"r0": SHARES["r0"], "r1": SHARES["r1"]})
    never_kept = Moments.of(torch.cat([RETAIN[5:]]))
    shares = {"r0": Share(SHARES["r0"].forget, SHARES["r0"].keep, NONE), "r1": SHARES["r1"]}
    expected, _ = Stack.of(never_kept, shares).gates(GAMMA)
    weight, _ = with_them.gates(GAMMA)
    assert with_them.retain.count == len(RETAIN) - 5
    assert float((weight - expected).abs().max()) < 1e-9 * float(expected.abs().max())
    kept_still, _ = Stack.of(Moments.of(RETAIN), shares).gates(GAMMA)
    assert float((weight - kept_still).abs().max()) > 1e-6 * float(expected.abs().max()), "so the test could fail"


def test_gates_know_their_own_subject_best() -> None:
    stack = Stack.of(Moments.of(RETAIN), {f"r{i}": Share((Moments.of(PEOPLE[i]),), NONE, NONE) for i in range(6)})
    weight, bias = stack.gates(GAMMA)
    right = [int((person @ weight.mT + bias).mean(0).argmax()) == i for i, person in enumerate(PEOPLE)]
    assert all(right)
    assert stack.owners == tuple(f"r{i}" for i in range(6))


def test_what_cannot_be_fitted_is_refused() -> None:
    stack = Stack.of(Moments.of(RETAIN), {"r0": SHARES["r0"]})
    with pytest.raises(OptionError, match="'r0' is in the stack already"):
        stack.with_request("r0", SHARES["r0"])
    with pytest.raises(OptionError, match="'r1' is not in the stack, which holds 1"):
        stack.without("r1", SHARES["r1"])
    with pytest.raises(OptionError, match="expected a finite ridge"):
        stack.gates(-1.0)
    with pytest.raises(DataError, match="holds no request"):
        Stack.of(Moments.of(RETAIN)).gates(GAMMA)
    with pytest.raises(DataError, match="hold no state"):
        Stack.of(NONE, {"r1": SHARES["r1"]}).gates(GAMMA)
    with pytest.raises(DataError, match="has no subject"):
        Share((), NONE, NONE)
    with pytest.raises(CalibrationError, match="singular at gamma 0"):
        Stack.of(
            Moments.of(torch.ones(9, WIDTH)), {"r": Share((Moments.of(torch.zeros(3, WIDTH)),), NONE, NONE)}
        ).gates(0)
