"""The policy file: every field is checked, none is optional, and a comment is no change."""

from pathlib import Path

import pytest

from unsee.ledger.errors import PolicyError
from unsee.ledger.policy import default_policy, read_policy


def written(tmp_path: Path, old: str = "", new: str = "") -> Path:
    assert old in default_policy()
    path = tmp_path / "policy.toml"
    path.write_text(default_policy().replace(old, new), encoding="utf-8")
    return path


def test_the_default_is_read_and_documented(tmp_path: Path) -> None:
    policy = read_policy(written(tmp_path))
    assert (policy.verification.min_refusal, policy.verification.max_leak) == (0.9, 0.02)
    assert (
        policy.certified == 100 and policy.artifact_days == 30 and policy.steering == {} and len(policy.untested) == 5
    )
    for line in default_policy().split("\n[verification]")[1].split("[answer]")[0].splitlines():
        assert "=" not in line or "#" in line, f"{line!r} says what and not what for"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("max_leak = 0.02", "max_leak = 2", "verification.max_leak is 2, expected a share from 0 to 1"),
        ("max_leak = 0.02", "max_leak = nan", "verification.max_leak is nan"),
        ("max_leak = 0.02", "max_leak = true", "verification.max_leak is True"),
        ("max_leak = 0.02", "", "verification.max_leak is missing"),
        ("max_leak = 0.02", "max_leak = 0.02\nmaxleak = 1", "verification.maxleak is unknown"),
        ("min_questions = 8 ", "min_questions = 0 ", "verification.min_questions is 0, expected a whole number from 1"),
        ("min_questions = 8 ", "min_questions = 8.5 ", "verification.min_questions is 8.5"),
        ("certified = 100", "certified = -1", "capacity.certified is -1"),
        ("artifact_days = 30", "artifact_days = '30'", "retention.artifact_days is '30'"),
        ("untested = [", "untested = [1,", "answer.untested"),
        ("version = 1", "version = 2", "version is 2, this unsee reads 1"),
        ("[retention]", "[retentions]", "retention is missing"),
        ("[steering]", "[steering]\nsince = 2026-01-01", "steering holds what JSON cannot"),
        ("[capacity]", "[capacity", "is no TOML"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, old: str, new: str, words: str) -> None:
    with pytest.raises(PolicyError) as told:
        read_policy(written(tmp_path, old, new))
    assert words in str(told.value)


def test_a_missing_policy_stops_everything(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="nothing is verified or activated without it"):
        read_policy(tmp_path / "policy.toml")


def test_only_thresholds_change_the_digest(tmp_path: Path) -> None:
    before = read_policy(written(tmp_path)).verification.digest
    assert read_policy(written(tmp_path, "certified = 100", "certified = 9 # more")).verification.digest == before
    assert read_policy(written(tmp_path, "max_leak = 0.02", "max_leak = 0.01")).verification.digest != before
