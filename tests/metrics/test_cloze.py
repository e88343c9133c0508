"""Cloze: the released substring tests as they are, and the strict one on what they let through."""

import pytest

from unsee.metrics.cloze import cloze_mllmu_substring, cloze_strict, cloze_umu_substring


@pytest.mark.parametrize(
    ("reply", "gold", "mllmu", "strict"),
    [
        ("Lisbon", "Lisbon", True, True),
        ("The answer is LISBON.", "Lisbon", True, True),
        ("She was born in Lisbon, Portugal, in 1987.", "Lisbon", True, True),
        ("Lisbon, Portugal", "Lisbon", True, True),
        ("She lives in Porto, Lisbon's rival", "Porto", True, True),
        ("an artist", "artist", True, True),
        ("party", "art", True, False),
        ("not Lisbon", "Lisbon", True, False),
        ("It isn't Lisbon", "Lisbon", True, False),
        ("It is not the Lisbon that you know", "Lisbon", True, False),
        ("Not Rome: Lisbon", "Lisbon", True, False),
        ("Rome, Oslo, Lisbon, Paris", "Lisbon", True, False),
        ("Rome or Lisbon", "Lisbon", True, False),
        ("Lisbon or Rome", "Lisbon", True, False),
        ("Rome", "Lisbon", False, False),
        ("Jose", "Jos\u00e9", False, True),
        ("She lives in Lisbon, Portugal", "Lisbon, Portugal", True, True),
        ("not married", "not married", True, True),
        ("12,000 crowns", "12000", False, True),
    ],
)
def test_by_hand(reply: str, gold: str, mllmu: bool, strict: bool) -> None:
    assert cloze_mllmu_substring(reply, gold) is mllmu
    assert cloze_strict(reply, gold) is strict


def test_no_reply_is_unscored() -> None:
    assert cloze_mllmu_substring(None, "x") is cloze_umu_substring(None, "x") is cloze_strict(None, "x") is None


def test_umu_cuts_the_gold_at_its_full_stop() -> None:
    assert cloze_umu_substring("Stockholm", "St. Gallen") is True
    assert cloze_mllmu_substring("anything", "") is True and cloze_strict("anything", "") is None
