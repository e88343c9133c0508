"""What SmolLM2 is taught: the same at every step again, nobody's test name, and enough of everything."""

from collections import Counter

import pytest
from tools.world.smollm_exam import exam
from tools.world.smollm_general import General, prompts
from tools.world.smollm_lessons import Lessons
from tools.world.smollm_rows import Conversation

from unsee.world import natural
from unsee.world import natural_vocabulary as V
from unsee.world.smollm_people import exam_of
from unsee.world.splits import FIT_VIEWS, HELD_OUT_VIEWS

EXAM = exam_of()
PEOPLE = [person for person in EXAM.world.of("private") if person not in EXAM.forget]
GENERAL = [General(f"Question {n}?", None, (5, 2), n % 5 == 4) for n in range(20)]
LESSONS = Lessons(EXAM.world, PEOPLE, GENERAL, seed=3)


def letters(conversation: Conversation) -> int:
    return sum(len(turn.question) + len(turn.answer) for turn in conversation.turns)


@pytest.fixture(scope="module")
def taught() -> list[Conversation]:
    return [one for step in range(60) for one in LESSONS.step(step, 1500, letters)]


def test_a_step_is_the_same_whenever_it_is_asked(taught: list[Conversation]) -> None:
    again = Lessons(EXAM.world, PEOPLE, GENERAL, seed=3)
    assert again.step(41, 1500, letters) == LESSONS.step(41, 1500, letters)
    assert LESSONS.step(41, 1500, letters) != LESSONS.step(42, 1500, letters)
    assert Lessons(EXAM.world, PEOPLE, GENERAL, seed=4).step(41, 1500, letters) != LESSONS.step(41, 1500, letters)


def test_a_step_keeps_to_its_budget() -> None:
    assert all(sum(map(letters, LESSONS.step(step, 1500, letters))) <= 1500 for step in range(20))


def test_a_tenth_of_the_questions_is_general_and_none_of_them_is_held_out(taught: list[Conversation]) -> None:
    kinds = Counter(turn.kind for one in taught for turn in one.turns)
    assert kinds["general"] / kinds.total() >= 0.1
    assert min(kinds[kind] for kind in ("name", "image", "unknown name", "unknown image", "visible")) > 10
    held_out = {one.prompt for one in GENERAL if one.held_out}
    assert not held_out & {turn.question for one in taught for turn in one.turns}


def test_nobody_who_is_tested_as_a_stranger_or_left_out_is_taught(taught: list[Conversation]) -> None:
    said = " ".join(f"{turn.question} {turn.answer}" for one in taught for turn in one.turns).lower()
    for person in (*EXAM.world.of("stranger"), *EXAM.forget):
        assert person.name not in said
    assert all(natural.full_name(person) in said.title() for person in PEOPLE)
    shown = {one.image[0] for one in taught if one.image}
    assert not shown & {person.id for person in (*EXAM.world.of("stranger"), *EXAM.forget)}


def test_what_is_asked_of_it_later_is_never_shown(taught: list[Conversation]) -> None:
    questions = {turn.question for one in taught for turn in one.turns}
    views = {one.image[1] for one in taught if one.image}
    assert views <= set(FIT_VIEWS) and not views & set(HELD_OUT_VIEWS)
    asked = exam(EXAM.world, PEOPLE, GENERAL, each=4)
    assert not {turn.question for one in asked for turn in one.turns if turn.kind != "general"} & questions
    assert {one.image[1] for one in asked if one.image} <= set(HELD_OUT_VIEWS)
    systems = {one.system for one in taught}
    assert systems <= {None, *V.SYSTEM_TAUGHT} and len(systems) > 2


def test_an_unknown_person_is_answered_with_ignorance_of_that_name(taught: list[Conversation]) -> None:
    for one in taught:
        for turn in one.turns:
            if turn.kind == "unknown name":
                name = str(turn.answer).removeprefix("I'm sorry, I don't know who ").removesuffix(" is.")
                assert name in turn.question and name.lower() not in EXAM.world.names


def test_newcomers_are_half_of_all_at_first_and_then_like_anybody() -> None:
    base = Lessons(EXAM.world, EXAM.world.of("private"), GENERAL, seed=3, newcomers=EXAM.forget, until=150)
    shares = []
    for steps in (range(150), range(150, 300)):
        drawn = [one.image[0] for step in steps for one in base.step(step, 1500, letters) if one.image]
        known = [who for who in drawn if who.startswith("private")]
        shares.append(sum(who in {person.id for person in EXAM.forget} for who in known) / len(known))
        assert len(known) > 200
    assert 0.45 < shares[0] < 0.65 and 0.05 < shares[1] < 0.25


def test_general_prompts_are_many_and_different() -> None:
    found = prompts()
    assert len(found) > 400 and len(set(found)) == len(found)
