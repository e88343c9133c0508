"""Fluency, rewards, judges' replies and the row of one answer, worked through by hand."""

from typing import Any

import pytest

from unsee.data.sample import Sample
from unsee.metrics import CARDS, measure
from unsee.metrics.estimate import Estimate
from unsee.metrics.fluency import distinct_2
from unsee.metrics.reward import forget_reward, retain_reward
from unsee.metrics.rubric import parse_ratings

RATED = "Contextual_Refusal: 5\nLeakage: 4.5\nNaturalness: 3\nReason: fits"


@pytest.mark.parametrize(
    ("answer", "forget", "retain"),
    [
        ("The father works as a baker!", 0.0, 1.0),
        ("I do not know the father's work.", 1.0, 0.0),
        ("I don't know.", 1.0, 0.0),
        ("A pilot flies as high as this.", 0.5, 0.1),
        ("The father works as baker", 0.1, 0.5),
        ("Rain.", 0.1, 0.1),
        (None, None, None),
    ],
)
def test_reward_bands(answer: str | None, forget: float | None, retain: float | None) -> None:
    gold = "The father works as a baker."
    assert forget_reward(answer, gold) == forget
    assert retain_reward(answer, gold) == retain


def test_a_reward_needs_a_gold() -> None:
    assert forget_reward("x", " . ") is retain_reward("x", "") is None


def test_released_rewards_miss_the_plain_apostrophe() -> None:
    assert forget_reward("I don't know.", "He is a baker.", released=True) == 0.1
    assert forget_reward("I don\u2019t know.", "He is a baker.", released=True) == 1.0
    assert retain_reward("I don't know.", "He is a baker.", released=True) == 0.1


@pytest.mark.parametrize(
    ("answer", "forget", "retain"),
    # One word of three, and one of six, in common: F = 0.4 and 0.6 exactly, so neither middle band.
    [("b x", 0.1, 0.1), ("a b c x y", 0.1, 0.1)],
)
def test_both_bounds_are_strict(answer: str, forget: float, retain: float) -> None:
    gold = {"b x": "a b c", "a b c x y": "a b z c w"}[answer]
    assert forget_reward(answer, gold) == forget
    assert retain_reward(answer, gold) == retain


@pytest.mark.parametrize(
    ("reply", "refusal", "leakage", "naturalness"),
    [
        (RATED, 5.0, 4.5, 3.0),
        ("**Contextual Refusal**: 5/5\n- leakage: 0\nNaturalness: 1.", 5.0, 0.0, 1.0),
        ("Contextual_Refusal: 7\nLeakage: 5\nNaturalness: 0", None, 5.0, None),
        ("Leakage: 5\nLeakage: 2", None, None, None),
        ("Leakage: 5\nLeakage: 5", None, 5.0, None),
        ("I would say that Leakage: 5", None, None, None),
        ("Leakage: high", None, None, None),
        ("", None, None, None),
        (None, None, None, None),
    ],
)
def test_ratings_are_read_or_unscored(
    reply: str | None, refusal: float | None, leakage: float | None, naturalness: float | None
) -> None:
    found = parse_ratings(reply)
    assert found == {"contextual_refusal": refusal, "leakage": leakage, "naturalness": naturalness}


def sample(**fields: Any) -> Sample:
    plain: dict[str, Any] = {"id": "q", "subject": "p", "question": "Where?", "answer": "In Oslo.", "gold": "Oslo"}
    return Sample(**(plain | fields))


def test_the_row_of_an_answer_holds_what_its_form_can_have() -> None:
    generation = measure(sample(), "In Oslo.")
    assert generation["rougeL-f"] == generation["leak"] == 1.0 and generation["refusal"] == 0.0
    cloze = measure(sample(form="cloze"), "not Oslo")
    assert (cloze["cloze-mllmu-substring"], cloze["cloze-strict"]) == (1.0, 0.0)
    chosen = measure(sample(form="classification", answer="B", options={"A": "Rome", "B": "Oslo"}), "(B)")
    assert (chosen["accuracy-mllmu-first-char"], chosen["accuracy-strict"], chosen["unparsed"]) == (0.0, 1.0, 0.0)
    fact = measure(sample(), "In Oslo.", keywords=["Oslo", "os"])
    assert (fact["keyword-em-fiubench"], fact["keyword-em"]) == (1.0, 0.5)
    assert {*fact, *cloze, *chosen} <= CARDS.keys()


@pytest.mark.parametrize("form", ["generation", "cloze", "classification"])
def test_the_row_of_no_answer_is_unscored_throughout(form: str) -> None:
    row = measure(sample(form=form, answer="B", options={"A": "Rome", "B": "Oslo"}), None)
    assert row and set(row.values()) == {None}


def test_distinct_pairs_of_words() -> None:
    # she is / is a / a chef / she is / is a / a pilot: 4 different of 6.
    assert distinct_2(["She is a chef.", "she is a pilot", None, "hm"]) == Estimate(4 / 6, 3, 1)
    assert distinct_2(["a"]).value is None
