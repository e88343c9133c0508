"""Which of two samples a third is nearer to: both ends, in between, and neither where nothing can be told."""

import numpy as np

from unsee.experiments.attack.nearer import Readings, places

PEOPLE = [f"p{n // 2}" for n in range(40)]


def readings(share: float, seed: int = 0, noise: float = 0.05) -> Readings:
    """A model that gives never-knew's answer to this share of the questions, and the base model's to the others."""
    rng = np.random.default_rng(0)
    base, never = rng.normal(size=(40, 8)), rng.normal(size=(40, 8))
    like_never = np.arange(40) % 20 < round(20 * share)
    states = np.where(like_never[:, None], never, base) + noise * np.random.default_rng(seed).normal(size=(40, 8))
    states /= np.linalg.norm(states, axis=1, keepdims=True)
    spread = np.exp(4 * states)
    return Readings(
        [frozenset({"a", f"{n}", "never" if like else "base"}) for n, like in enumerate(like_never)],
        list(spread / spread.sum(1, keepdims=True)),
        states @ states.T,
    )


BASE, NEVER = readings(0.0, 1), readings(1.0, 2)


def test_the_ends_are_where_they_are() -> None:
    for share, place, nearer in ((0.0, -1.0, "base"), (1.0, 1.0, "never knew")):
        found = places(readings(share, 3), BASE, NEVER, PEOPLE)
        assert {of.nearer for of in found.values()} == {nearer}
        assert all(abs(of.place - place) < 0.35 for of in found.values())
        assert all(of.figure.people == 20 and of.figure.n == 40 for of in found.values())


def test_models_in_between_stand_in_between_and_the_middle_is_undecided() -> None:
    for name in ("replies", "likelihoods", "states"):
        standing = [places(readings(share, 3), BASE, NEVER, PEOPLE)[name] for share in (0, 0.25, 0.5, 0.75, 1)]
        order = [one.place for one in standing]
        assert order == sorted(order) and order[1] < -0.1 < 0.1 < order[3]
    middle = places(readings(0.5, 3), BASE, NEVER, PEOPLE)
    assert middle["replies"].nearer == "undecided" and middle["likelihoods"].nearer == "undecided"


def test_a_third_model_that_is_like_neither_is_undecided() -> None:
    other = Readings(
        [frozenset({"z"})] * 40, [np.full(8, 1 / 8)] * 40, np.eye(40),
    )  # fmt: skip
    found = places(other, BASE, NEVER, PEOPLE)
    assert found["replies"].nearer == "undecided" and abs(found["replies"].place) < 0.05
