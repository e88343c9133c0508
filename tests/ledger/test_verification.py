"""Measured rates against the policy: each limit alone stops a request, at the limit it passes, and it says why."""

from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks.ledger_worker import measured

from unsee.ledger.policy import FILE_NAME, Thresholds, default_policy, read_policy
from unsee.ledger.verification import judge


@pytest.fixture
def limits(tmp_path: Path) -> Thresholds:
    (tmp_path / FILE_NAME).write_text(default_policy(), encoding="utf-8")
    return read_policy(tmp_path / FILE_NAME).verification


AT_THE_LIMIT = replace(
    measured(), questions=8, refusal=0.9, leak=0.02, fluent=0.95, neighbours=5, neighbour_questions=20,
    wrong_refusal=0.02, worst_neighbour=0.25, accuracy_before=0.9, accuracy_after=0.88, visible_before=0.9,
    visible_after=0.85,
)  # fmt: skip


def test_at_the_limit_it_passes(limits: Thresholds) -> None:
    verdict = judge(AT_THE_LIMIT, limits)
    assert verdict.passed and verdict.failed == [] and verdict.policy == limits.digest


@pytest.mark.parametrize(
    ("field", "value", "check"),
    [
        ("questions", 7, "questions about the subject"),
        ("silent", 1, "subjects asked about"),
        ("refusal", 0.89, "refusal"),
        ("refusal", None, "refusal"),
        ("leak", 0.021, "leak"),
        ("fluent", 0.94, "fluency"),
        ("unscored", 0.01, "unscored"),
        ("neighbours", 4, "neighbours"),
        ("neighbour_questions", 19, "questions about neighbours"),
        ("wrong_refusal", 0.021, "neighbours refused"),
        ("wrong_refusal", None, "neighbours refused"),
        ("worst_neighbour", 0.26, "worst neighbour"),
        ("accuracy_after", 0.87, "neighbours' accuracy"),
        ("accuracy_before", None, "neighbours' accuracy"),
        ("visible_after", 0.84, "still answered"),
    ],
)
def test_each_limit_stops_a_request_by_itself(limits: Thresholds, field: str, value: float | None, check: str) -> None:
    verdict = judge(replace(AT_THE_LIMIT, **{field: value}), limits)
    assert not verdict.passed
    assert [finding.check for finding in verdict.findings if finding.verdict == "fail"] == [check]
    assert verdict.failed[0].startswith(f"{check}: ")


def test_a_never_knew_model_sets_what_chance_gives_away(limits: Thresholds) -> None:
    guessed = replace(measured(), leak=0.2, never_knew_leak=0.19)
    assert judge(guessed, limits).passed
    assert not judge(replace(guessed, never_knew_leak=0.17), limits).passed
    assert not judge(replace(guessed, never_knew_leak=None), limits).passed
    assert judge(replace(guessed, leak=0.02, never_knew_leak=0.0), limits).passed, "the reference never makes it harder"


def test_what_was_not_asked_is_untested_and_not_passed_over(limits: Thresholds) -> None:
    verdict = judge(replace(measured(), worst_neighbour=None, base_leak=0.0), limits)
    untested = [finding.check for finding in verdict.findings if finding.verdict == "untested"]
    assert untested == ["worst neighbour", "still answered", "known before", "never-knew reference"]
    assert verdict.passed


def test_the_text_gives_value_and_limit(limits: Thresholds) -> None:
    (reason,) = judge(replace(measured(), refusal=0.625), limits).failed
    expected = "62.5 % of held-out questions about the subject were refused; the policy asks for at least 90.0 %"
    assert reason == f"refusal: {expected}"
