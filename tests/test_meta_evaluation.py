"""Which metric tells models that knew from models that never did: on readings whose answer is known."""

import itertools
from collections.abc import Mapping
from pathlib import Path

import pytest
from benchmarks.meta_evaluation import KINDS, STATES, By, Kind, State, area, comes_back, draw, interval, trust
from scipy.stats import mannwhitneyu

Model = tuple[Kind, Mapping[State, By]]


def model(kind: Kind) -> Model:
    """`true` tells what was known; `asked` what is said, which refusing hides and relearning brings back."""

    def by(said: bool) -> By:
        return {
            name: dict.fromkeys(("a", "b"), float(value))
            for name, value in (("true", kind.knew), ("asked", kind.knew and said), ("start", kind.start != "never"))
        }

    return kind, {state: by(state == "relearnt" or not kind.refused) for state in STATES}


MODELS = [model(kind) for kind in KINDS]


def test_both_sides_are_as_many_and_the_first_twenty_hold_some_of_each() -> None:
    assert sum(kind.knew for kind in KINDS) == 12 == len(KINDS) / 2
    assert len({kind.name for kind in KINDS}) == len(KINDS)
    assert 8 <= sum(kind.knew for kind in KINDS[:20]) <= 12


def test_the_area_is_mann_and_whitneys() -> None:
    knew, never = [0.1, 0.4, 0.4, 0.9], [0.0, 0.4, 0.2]
    wanted = mannwhitneyu(knew, never).statistic / (len(knew) * len(never))
    assert area(knew, never) == pytest.approx(wanted)


def test_limits_hold_the_area_stay_open_at_the_ends_and_close_with_more_models() -> None:
    for found, (knew, never) in itertools.product((0.0, 0.3, 0.5, 1.0), ((3, 4), (12, 12), (200, 200))):
        low, high = interval(found, knew, never)
        assert 0 <= low <= found <= high <= 1 and high - low > 0
    assert interval(1.0, 12, 12)[0] < interval(1.0, 200, 200)[0] < 1
    # At the lower limit, Newcombe's equation by hand: (1 - A)^2 = z^2 V(A).
    low = interval(1.0, 12, 12)[0]
    variance = low * (1 - low) / 144 * (1 + 11 * (1 - low) / (2 - low) + 11 * low / (1 + low))
    assert (1 - low) ** 2 == pytest.approx(1.96**2 * variance, rel=0.02)


def test_what_refusing_hides_is_unfaithful_and_what_relearning_brings_back_is_counted() -> None:
    lines = {line.metric: line for line in trust(MODELS)}
    assert lines["true"].auc["all"][0] == lines["true"].auc["refusing"][0] == 1
    assert lines["asked"].auc["refusing"][0] == 0.5 and lines["asked"].auc["refusing none"][0] == 1
    assert lines["asked"].auc["relearnt"][0] == 1
    assert lines["asked"].back == {"rounded": 0.0, "relearnt": 1.0}
    assert lines["true"].back == {"rounded": 0.0, "relearnt": 0.0}
    assert next(iter(lines)) != "asked", "the most faithful first"
    assert comes_back(MODELS[:1], "true", "rounded") is None


def test_it_is_drawn(tmp_path: Path) -> None:
    assert draw(trust(MODELS), tmp_path / "a.png").stat().st_size > 1000
