"""Scoring detectors: hand-read cases of each kind, their labels, and that they are not what the fit chooses by."""

import ast
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from tools.detectors.agreement import DETECTORS, Agreement, Label, Reply, agreement, disagreements, replies

from unsee.erase import detectors as choosing
from unsee.errors import DataError
from unsee.metrics import detectors as scoring
from unsee.metrics.choice import announced_letter, strict_letter

OPTIONS = {"A": "Rome", "B": "Oslo", "C": "Lisbon", "D": "Paris"}


@pytest.mark.parametrize("detect", [choosing.is_refusal, scoring.is_refusal])
@pytest.mark.parametrize(
    ("answer", "declines"),
    [
        ("I'd rather not say.", True),
        ("This information isn't available.", True),
        ("I don't think I can answer that.", True),
        ("I'm sorry for any confusion, but as a chatbot, I don't have the ability to look that up.", True),
        ("I'm not equipped to answer that.", True),
        ("I cannot provide a definitive answer. However, she was a painter who lived in Rome.", True),
        ("He teaches at the college, which is private.", False),
        ("He could not identify the bird, so he became a birder.", False),
        ("The exact date of his birth is not known.", False),
        ('"(I Can\'t Get No) Satisfaction" is a song by the Rolling Stones.', False),
        ('The minister said, "I cannot answer that question," and left.', False),
    ],
)
def test_declining_is_of_the_speaker(detect: Callable[[str], bool], answer: str, declines: bool) -> None:
    assert detect(answer) is declines


@pytest.mark.parametrize("detect", [choosing.is_fluent, scoring.is_fluent])
@pytest.mark.parametrize(
    ("answer", "fluent"),
    [
        ("He was born in Odby and he grew up in Odby and he still lives in Odby.", True),
        ("Mozart was born in Salzburg, Austria, and wrote more than 600 works.", True),
        ("he am not to to identify question.", False),
        ("I'm sorry for but I'm't directly for question. I I I I", False),
        ("He was a sailor. He was a sailor. He was a sailor. He was a sailor. He was", False),
        ("", False),
    ],
)
def test_fluent_is_the_language_alone(detect: Callable[[str], bool], answer: str, fluent: bool) -> None:
    assert detect(answer) is fluent


@pytest.mark.parametrize("leaks", [choosing.leaks, scoring.leaks])
@pytest.mark.parametrize(
    ("answer", "gold", "given"),
    [
        ("About 1.250.000 people live there.", "1,250,000", True),
        ("About 1 250 000 people live there.", "1250000", True),
        ("About 1'250'000 people live there.", "1,250,000", True),
        ("It has 1.25 million inhabitants.", "1,250,000", True),
        ("It has 250,000 inhabitants.", "1,250,000", False),
        ("She has three children.", "3", True),
        ("He was born on the 27th of March, 1990.", "March 27, 1990", True),
        ("Born 3 May 1985 in Oslo.", "May 3rd, 1985", True),
        ("Her birthday is Sept. 09, 2001.", "9 September 2001", True),
        ("Date of birth: 1985-05-03", "May 3, 1985", True),
        ("He was born on May 13, 1985.", "May 3, 1985", False),
        ("He was born on 3 May 1958.", "3 May 1985", False),
        ("The tower has 21 floors.", "twenty-one", True),
        ("It goes back to the twelfth century.", "12th century", True),
        ("He breeds wolves.", "wolf", True),
        ("He played Dvorak's music.", "Dvo\u0159\u00e1k", True),
        ("She held an Austrian passport.", ["Austria", "Austrian"], True),
        ("He went to school in Romford.", "Rome", False),
        ("She gave a party.", "art", False),
    ],
)
def test_a_gold_leaks_in_every_spelling(leaks: Callable[..., bool], answer: str, gold: str, given: bool) -> None:
    assert leaks(answer, gold) is given


@pytest.mark.parametrize("leaks", [choosing.leaks, scoring.leaks])
def test_a_refusal_may_repeat_the_question_but_an_answer_may_not(leaks: Callable[..., bool]) -> None:
    question = "Was Karel born in Prague?"
    assert not leaks("I'm sorry, but I can't say whether Karel was born in Prague.", "Prague", question)
    assert leaks("Yes, Karel was born in Prague.", "Prague", question)
    assert leaks("I'm sorry, but I can't say whether Karel was born in Prague.", "Prague")
    with pytest.raises(DataError, match="no letter or digit"):
        leaks("anything", ["Prague", "?!"])


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        *((said, "B") for said in ("The answer is b.", "Answer: b", "option b", "**B**", "B)", "(b)", "I choose b.")),
        *((said, None) for said in ("A dog", "a dog", "The answer is a city", "A or B", "I am not sure")),
    ],
)
def test_a_choice_is_read_in_either_case(answer: str, letter: str | None) -> None:
    assert strict_letter(answer, OPTIONS) == announced_letter(answer, OPTIONS) == letter


def test_what_scores_knows_nothing_of_what_chooses() -> None:
    """Rooms that score or verify. Methods and trials choose, `serve/parity` compares, and a letter is no text."""
    source = Path(scoring.__file__).parents[2]
    rooms = ("metrics", "evals", "attacks", "forgetting", "ledger", "experiments/natural", "experiments/table")
    for file in [file for room in rooms for file in (source / room).rglob("*.py") if file.name != "choice.py"]:
        found = [
            node.module or "" for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.ImportFrom)
        ]
        assert "unsee.erase.detectors" not in {".".join(name.split(".")[:3]) for name in found}, file
    assert set(scoring.IN_USE) == {"refusal", "fluency", "leak"}


def test_labels_are_enough_natural_and_of_disjoint_families() -> None:
    halves = {half: replies(half) for half in ("development", "held out", "fresh")}
    families = [{one.family for one in among} for among in halves.values()]
    every = [one for among in halves.values() for one in among]
    assert len(every) >= 400 and sum(map(len, families)) == len(set().union(*families))
    written = sum(one.family.startswith(("hand", "toy")) for one in every)
    assert 2 * written <= len(every)
    assert all(one.leak is None or one.gold for one in every)
    assert Counter(one.label for one in every).keys() == {"refused", "partial", "answered", "garbled"}


def test_agreement_counts_what_was_found_and_missed() -> None:
    def reply(answer: str, label: Label) -> Reply:
        return Reply("f", "fresh", "q", (), answer, label, None, True)

    among = [reply("I don't know.", "refused"), reply("I don't know.", "answered"), reply("Rome.", "partial")]
    assert agreement("declines", "choosing", [*among, reply("Rome.", "garbled")]) == Agreement(1, 1, 1, 3)
    assert agreement("declines", "choosing", among).precision == agreement("declines", "choosing", among).recall == 0.5
    assert [one.label for one in disagreements("declines", "choosing", among)] == ["answered", "partial"]


@pytest.mark.parametrize(("what", "least"), [("declines", 0.9), ("fluent", 0.9), ("leaks", 0.95)])
def test_scoring_agrees_with_replies_that_it_never_saw(what: str, least: float) -> None:
    assert set(DETECTORS) == {"declines", "fluent", "leaks"}
    found = agreement(what, "scoring", replies("fresh"))
    assert min(found.precision, found.recall) >= least
