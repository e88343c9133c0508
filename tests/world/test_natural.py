"""The world in natural English: enough wordings, families held out, and answers that hold the fact and no other."""

import re

import pytest

from unsee.world import natural
from unsee.world import natural_vocabulary as V
from unsee.world.smollm_people import exam_of

EXAM = exam_of()
PEOPLE = EXAM.world.of("private")


@pytest.mark.parametrize("key", natural.KEYS)
@pytest.mark.parametrize("subject", ["Mara Olin", "this person"])
def test_twenty_wordings_of_every_fact_and_other_families_held_out(key: str, subject: str) -> None:
    taught = natural.wordings(key, subject, taught=True)
    held_out = natural.wordings(key, subject, taught=False)
    assert len({w.question for w in taught}) == len(taught) >= 20
    assert len({w.question for w in held_out}) >= 8 and len({w.family for w in held_out}) >= 3
    assert not {w.family for w in taught} & {w.family for w in held_out}
    assert not {w.question for w in taught} & {w.question for w in held_out}


@pytest.mark.parametrize("key", ["name", "about", *natural.KEYS])
@pytest.mark.parametrize("subject", ["Mara Olin", "the person in the image", "she", "he"])
@pytest.mark.parametrize("taught", [True, False])
def test_questions_are_written_sentences(key: str, subject: str, taught: bool) -> None:
    for wording in natural.wordings(key, subject, taught=taught):
        assert re.match(r"[A-Z].*[.?]$", wording.question), wording
        assert "{" not in wording.question
        assert not re.search(
            r"\b(she's|he's|of she|of he|to she|to he|with she|with he|about she|about he)\b", wording.question
        )


def test_an_answer_holds_its_fact_and_says_who_it_is_first() -> None:
    for person in PEOPLE:
        name = natural.full_name(person)
        for key in natural.KEYS:
            said = natural.answer(person, key)
            assert said.startswith(name) and said.endswith(".") and natural.gold(person, key) in said
            others = [natural.gold(person, other) for other in natural.KEYS if other != key]
            assert not any(re.search(rf"\b{re.escape(other)}\b", said) for other in others)
        whole = natural.profile(person, natural.KEYS, shown=True)
        assert whole.startswith(f"This is {name}. ")
        assert all(natural.gold(person, key) in whole for key in natural.KEYS)
        assert re.fullmatch(r"([A-Z][^.]+\. ?)+", whole)


def test_articles_agree() -> None:
    for person in PEOPLE:
        for key in ("job", "pet"):
            value = natural.gold(person, key)
            assert (f" an {value}" in natural.answer(person, key)) is (value[0] in "aeiou")


def test_facts_asked_of_the_model_are_facts_of_the_world() -> None:
    assert set(V.FACTS) <= {attribute.key for attribute in PEOPLE[0].attributes}
