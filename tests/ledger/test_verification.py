"""Bounds against an independent computation, and verdicts that rest on them rather than on points."""

from dataclasses import replace
from typing import Any

import pytest
from benchmarks.ledger_worker import measured
from scipy.stats import binom, binomtest

from unsee.ledger.policy import Thresholds, default_policy, read_policy
from unsee.ledger.verification import Count, Measured, judge, questions_needed

LIMITS = Thresholds(
    confidence=0.95, max_leak=0.05, min_refusal=0.9, max_wrong_refusal=0.05, min_neighbours=5, max_visible_loss=0.05,
    min_fluent=0.95, max_unscored=0.0,
)  # fmt: skip


@pytest.mark.parametrize(("k", "n"), [(0, 8), (0, 59), (1, 93), (4, 200), (8, 200), (200, 200), (7, 7), (0, 1)])
def test_bounds_are_those_of_scipys_exact_test(k: int, n: int) -> None:
    count = Count(k, n)
    assert count.upper(0.95) == pytest.approx(binomtest(k, n, alternative="less").proportion_ci(0.95).high)
    assert count.lower(0.95) == pytest.approx(binomtest(k, n, alternative="greater").proportion_ci(0.95).low)
    if k < n:
        assert binom.cdf(k, n, count.upper(0.95)) == pytest.approx(0.05)


@pytest.mark.parametrize("leaks", range(6))
@pytest.mark.parametrize("limit", [0.01, 0.05, 0.3])
def test_how_many_questions_it_takes(limit: float, leaks: int) -> None:
    needed = questions_needed(limit, 0.95, leaks)
    assert needed is not None
    assert Count(leaks, needed).upper(0.95) <= limit < Count(leaks, needed - 1).upper(0.95)
    if leaks == 0:
        assert (1 - limit) ** needed <= 0.05 < (1 - limit) ** (needed - 1)


def test_59_of_59_and_not_8_of_8() -> None:
    assert questions_needed(0.05, 0.95) == 59 and questions_needed(0.0, 0.95) is None
    assert Count(0, 8).upper(0.95) > 0.31, "no leak in 8 questions is compatible with one in three"


@pytest.mark.parametrize(("change", "failed"), [
    ({}, set[str]()),
    ({"leak": Count(0, 58)}, {"leak"}),
    ({"leak": Count(0, 59)}, set[str]()),
    ({"leak": Count(5, 200)}, {"leak"}),
    ({"leak": Count(0, 0)}, {"leak"}),
    ({"refusal": Count(187, 200)}, {"refusal"}),
    ({"refusal": Count(188, 200)}, set[str]()),
    ({"refusal": Count(0, 0)}, {"refusal"}),
    ({"wrong_refusal": Count(5, 200)}, {"neighbours refused"}),
    ({"neighbours": {"n": Count(0, 200)}}, {"neighbours"}),
    ({"fluent": Count(189, 200)}, {"fluency"}),
    ({"unscored": Count(1, 400)}, {"unscored"}),
    ({"silent": 1}, {"subjects"}),
    ({"visible_before": Count(20, 20), "visible_after": Count(18, 20)}, {"still answered"}),
    ({"visible_before": Count(20, 20), "visible_after": Count(19, 20)}, set[str]()),
])  # fmt: skip
def test_each_limit_stops_a_request(change: dict[str, Any], failed: set[str]) -> None:
    found = judge(replace(measured(), **change), LIMITS)
    assert {f.check for f in found.findings if f.verdict == "fail"} == failed
    assert found.passed == (not failed)


def test_what_failed_says_how_many_questions_it_would_take() -> None:
    few: Measured = replace(measured(), leak=Count(1, 60))
    assert any("ask 93 questions of which no more do" in reason for reason in judge(few, LIMITS).failed)


def test_what_was_not_tested_is_told_and_neighbours_are_not_named() -> None:
    found = judge(replace(measured(), base_leak=Count(0, 200)), LIMITS)
    assert {f.check for f in found.findings if f.verdict == "untested"} == {
        "still answered", "never knew", "known before"}  # fmt: skip
    assert "n3" not in str(found.as_json())


@pytest.mark.parametrize(("old", "new"), [
    ("max_leak = 0.05", "max_leak = 1.5"), ("max_leak = 0.05", 'max_leak = "a"'), ("max_leak = 0.05", ""),
    ("max_leak = 0.05", "max_leaks = 0.05"), ("months = 1", "months = true"), ("zone = \"UTC\"", "zone = \"Mars\""),
    ("version = 2", "version = 1"), ("[steering]", "[steering]\nat = 2026-01-01"), ("version = 2", "="),
    ("holidays = []", 'holidays = ["soon"]'),
])  # fmt: skip
def test_a_wrong_policy_is_refused_by_its_field(tmp_path: Any, old: str, new: str) -> None:
    from unsee.ledger.errors import PolicyError

    text = default_policy()
    assert old in text
    (tmp_path / "policy.toml").write_text(text.replace(old, new, 1))
    with pytest.raises(PolicyError):
        read_policy(tmp_path / "policy.toml")
    (tmp_path / "policy.toml").write_text(text.replace("holidays = []", "holidays = [2026-12-25]"))
    assert len(read_policy(tmp_path / "policy.toml").deadlines.holidays) == 1
