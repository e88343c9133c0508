"""Bounds against an independent computation, and verdicts that rest on them rather than on points."""

from pathlib import Path

import pytest
from scipy.stats import binom, binomtest

from unsee.ledger.errors import PolicyError
from unsee.ledger.policy import DEFAULT, Thresholds, read_policy
from unsee.ledger.verification import Count, Finding, Verification, questions_needed

LIMITS = Thresholds(
    confidence=0.95, max_leak=0.05, max_attack_leak=0.1, min_refusal=0.9, max_wrong_refusal=0.05, min_fluent=0.95,
    max_listed=1.0,
)  # fmt: skip


def judged(limit: str, k: int, n: int, check: str = "one") -> Finding:
    return Finding.of(check, "did it", Count(k=k, n=n), LIMITS, limit)


@pytest.mark.parametrize(("k", "n"), [(0, 8), (0, 59), (1, 93), (4, 200), (8, 200), (200, 200), (7, 7), (0, 1)])
def test_bounds_are_those_of_scipys_exact_test(k: int, n: int) -> None:
    count = Count(k=k, n=n)
    assert count.upper(0.95) == pytest.approx(binomtest(k, n, alternative="less").proportion_ci(0.95).high)
    assert count.lower(0.95) == pytest.approx(binomtest(k, n, alternative="greater").proportion_ci(0.95).low)
    if k < n:
        assert binom.cdf(k, n, count.upper(0.95)) == pytest.approx(0.05)


@pytest.mark.parametrize("leaks", range(6))
@pytest.mark.parametrize("limit", [0.01, 0.05, 0.3, 0.999])
def test_how_many_questions_it_takes(limit: float, leaks: int) -> None:
    needed = questions_needed(limit, 0.95, leaks)
    assert needed is not None
    assert Count(k=leaks, n=needed).upper(0.95) <= limit < Count(k=leaks, n=needed - 1).upper(0.95)
    assert (questions_needed(0.05, 0.95), questions_needed(0.0, 0.95), questions_needed(1.0, 0.95)) == (59, None, 1)
    assert Count(k=0, n=8).upper(0.95) > 0.31, "no leak in 8 questions is compatible with one in three"


@pytest.mark.parametrize(("limit", "k", "n", "verdict"), [
    ("max_leak", 0, 58, "fail"), ("max_leak", 0, 59, "pass"), ("max_leak", 5, 200, "fail"), ("max_leak", 0, 0, "fail"),
    ("max_attack_leak", 0, 28, "fail"), ("max_attack_leak", 0, 29, "pass"),
    ("min_refusal", 187, 200, "fail"), ("min_refusal", 188, 200, "pass"), ("min_refusal", 0, 0, "fail"),
    ("max_wrong_refusal", 5, 200, "fail"), ("min_fluent", 0, 9, "fail"), ("max_listed", 9, 9, "pass"),
    ("", 9, 9, "told"), ("", 0, 0, "told"),
])  # fmt: skip
def test_each_limit_is_met_by_the_bound(limit: str, k: int, n: int, verdict: str) -> None:
    assert judged(limit, k, n).verdict == verdict


def test_what_failed_comes_first_and_a_verification_comes_back_from_the_log_as_it_went_in() -> None:
    findings = (judged("max_leak", 1, 93, "a"), judged("", 1, 2, "told"), judged("max_leak", 1, 60, "b"))
    done = Verification(content_id="sha256:0", findings=findings, policy=LIMITS.digest, context={"seed": 1})
    assert [f.check for f in done.findings] == ["b", "told", "a"] and not done.passed
    assert "93 questions without" in done.failed[0] and Verification(**done.as_json()) == done


@pytest.mark.parametrize(("limit", "k", "n", "says"), [
    ("max_wrong_refusal", 0, 3, "59 questions without another miss would show it: 'unsee ledger verify' with --neigh"),
    ("max_attack_leak", 3, 56, "76 questions without another miss would show it: 'unsee ledger verify' with --quest"),
    ("max_attack_leak", 9, 56, "more names and images, or change max_attack_leak in policy.toml"),
])  # fmt: skip
def test_what_stays_off_says_what_to_do_next(limit: str, k: int, n: int, says: str) -> None:
    assert says in judged(limit, k, n).text


@pytest.mark.parametrize(("old", "new"), [
    ("max_leak = 0.05", "max_leak = 1.5"), ("max_leak = 0.05", 'max_leak = "a"'), ("max_leak = 0.05", ""),
    ("max_leak = 0.05", "max_leaks = 0.05"), ("months = 1", "months = true"), ("zone = \"UTC\"", "zone = \"Mars\""),
    ("version = 5", "version = 4"), ("[steering]", "[steering]\nat = 2026-01-01"), ("version = 5", "="),
    ("holidays = []", 'holidays = ["soon"]'), ("max_leak = 0.05", "max_leak = nan"),
])  # fmt: skip
def test_a_wrong_policy_is_refused_by_its_field(tmp_path: Path, old: str, new: str) -> None:
    text = DEFAULT.read_text()
    assert old in text
    (tmp_path / "policy.toml").write_text(text.replace(old, new, 1))
    with pytest.raises(PolicyError):
        read_policy(tmp_path / "policy.toml")
    (tmp_path / "policy.toml").write_text(text.replace("holidays = []", "holidays = [2026-12-25]"))
    assert len(read_policy(tmp_path / "policy.toml").deadlines.holidays) == 1
