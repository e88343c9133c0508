"""Multiple choice: released parsers on replies worked through by hand, the strict one on what it may not guess."""

import pytest

from unsee.errors import OptionError
from unsee.metrics.choice import PARSERS, choice_correct, strict_letter

CITIES = {"A": "Rome", "B": "Oslo", "C": "Lisbon", "D": "Paris"}


@pytest.mark.parametrize(
    ("reply", "mllmu", "alphanumeric", "offside"),
    [
        ("C", "C", "C", "C"),
        ("c) lisbon", "C", "C", None),
        ("(A)", None, "A", None),
        ("The answer is A", None, None, "A"),
        ("the answer is B.", None, None, "B"),
        ("Actually not", "A", "A", None),
        ("  D: Paris", "D", "D", None),
        ("", None, None, None),
        ("E", None, None, None),
    ],
)
def test_released_parsers(reply: str, mllmu: str | None, alphanumeric: str | None, offside: str | None) -> None:
    assert PARSERS["mllmu-first-char"](reply, CITIES) == mllmu
    assert PARSERS["mmunlearner-first-alphanumeric"](reply, CITIES) == alphanumeric
    assert PARSERS["offside-pattern"](reply, CITIES) == offside


def test_umu_takes_the_text_most_like_the_reply() -> None:
    closest = PARSERS["umu-closest-option"]
    assert closest("She was born in Lisbon.", CITIES) == "C"
    assert closest("oslo", CITIES) == "B"
    assert closest("", CITIES) == "A"


@pytest.mark.parametrize(
    ("reply", "letter"),
    [
        ("C", "C"),
        ("c", "C"),
        ("(b)", "B"),
        ("**D**", "D"),
        ("B.", "B"),
        ("A: Rome", "A"),
        ("C. Lisbon", "C"),
        ("The answer is A", "A"),
        ("The answer is A.", "A"),
        ("I think it is B, Oslo", "B"),
        ("Option D is right", "D"),
        ("Lisbon", "C"),
        ("She was born in Lisbon.", "C"),
        ("Answer: C", "C"),
        ("Actually not", None),
        ("A dog", None),
        ("A or B", None),
        ("Rome, Oslo, Lisbon or Paris", None),
        ("not A", None),
        ("It isn't C", None),
        ("A: Lisbon", None),
        ("I cannot answer. C", None),
        ("Cannot say.", None),
        ("E", None),
        ("", None),
        ("Neither.", None),
    ],
)
def test_strict_reads_what_is_committed_to(reply: str, letter: str | None) -> None:
    assert strict_letter(reply, CITIES) == letter


def test_strict_takes_the_longer_of_two_options_that_contain_each_other() -> None:
    assert strict_letter("New York City", {"A": "New York", "B": "New York City"}) == "B"
    assert strict_letter("It is New York.", {"A": "New York", "B": "New York City"}) == "A"


def test_a_negation_inside_an_option_is_not_a_negation_of_it() -> None:
    assert strict_letter("B: not married", {"A": "married", "B": "not married"}) == "B"


def test_each_parser_counts_what_its_release_counts() -> None:
    def counts(name: str) -> list[bool | None]:
        return [choice_correct(name, reply, CITIES, "C") for reply in ("C", "The answer is C", "A or C", None, "")]

    assert counts("mllmu-first-char") == [True, False, False, None, False]
    assert counts("strict") == [True, True, None, None, None]
    assert counts("offside-pattern") == [True, True, False, None, None]
    with pytest.raises(OptionError, match=r"parser is 'first', expected one of \['mllmu-first-char'"):
        choice_correct("first", "A", CITIES, "A")
