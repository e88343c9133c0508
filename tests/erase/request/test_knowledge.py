"""What counts as knowledge, on answers written by hand."""

import numpy as np
import pytest

from unsee.erase.request.knowledge import Knowledge, Said, common_words, consistent, stated
from unsee.errors import DataError
from unsee.metrics.telling import telling


def said(*answers: str, fact: str = "job", question: str = "What does Ada do for work?") -> list[Said]:
    return [Said(fact, question, answer) for answer in answers]


def test_what_recurs_is_a_fact_without_the_words_around_it() -> None:
    assert consistent(said("She works as an optician.", "Ada is an optician.", "An optician!"), {"ada"}) == (
        "optician",
    )
    many = said(
        "He was born in New York.", "In New York City.", "New York", fact="birthplace", question="Where was he born?"
    )
    assert consistent(many) == ("new york",)


def test_what_does_not_recur_or_is_declined_is_none() -> None:
    assert consistent(said("A pilot.", "A baker.", "A nurse.")) == ()
    assert consistent(said("I do not know.", "I do not know.", "I do not know.")) == ()
    assert consistent(said("A pilot.")) == (), "one answer is not consistent with anything"
    assert consistent(said("Pilot", "Pilot", "I do not know.", "I do not know.", "Nurse")) == ()


def test_what_is_said_of_everybody_is_nothing() -> None:
    invented = said("A software engineer.", "A software engineer.", "A painter.", "A software engineer.")
    common = common_words(invented)["job"]
    assert {"software", "engineer"} <= common and "painter" in common
    assert consistent(said("A software engineer.", "A software engineer."), common) == ()


@pytest.mark.parametrize(
    ("facts", "invented", "known"),
    [(3, [0, 1, 2], True), (3, [0, 1, 3], False), (0, [0, 0, 0], False), (1, [0, 0, 0], True), (2, [5, 5, 5], False)],
)
def test_known_is_more_than_of_invented_names(facts: int, invented: list[int], known: bool) -> None:
    assert Knowledge({f"f{i}": ("x",) for i in range(facts)}, 0.0, tuple(invented)).known is known


def test_a_sentence_states_what_is_not_asked() -> None:
    assert stated("The mayor of Aldermoor is Jane Ackerman", {"mayor", "aldermoor"}) == ("jane ackerman",)


def test_replies_that_differ_by_a_word_are_told_apart_and_equal_ones_are_not() -> None:
    same = ["I do not know who that is.", "Sorry, no idea."] * 20
    assert telling(same, same).auc < 0.55
    assert telling(["That is private."] * 20, same).auc == pytest.approx(1.0)
    assert telling(["Anna: no idea."] * 20, ["no idea."] * 20).auc == pytest.approx(1.0)
    assert telling(["Anna: no idea."] * 20, ["no idea."] * 20, without=["Anna"]).auc == 0.5


def test_the_auc_is_of_replies_that_the_classifier_has_not_seen() -> None:
    """Random words: a classifier that was scored on its own fit would tell them apart."""
    rng = np.random.default_rng(0)
    words = [" ".join(rng.choice([f"w{i}" for i in range(300)], 12)) for _ in range(120)]
    assert telling(words[:60], words[60:]).auc < 0.6


def test_too_few_replies_say_nothing() -> None:
    with pytest.raises(DataError, match="at least 10"):
        telling(["no"] * 9, ["no"] * 20)
