"""Splits share no person, held-out questions share no wording and no view, and every word is one the model knows."""

import itertools

import pytest
from tools.world.recipe import FINISHING, TEACHING
from tools.world.tiny import build_processor

from unsee.data.sample import subjects
from unsee.experiments.trial import gather
from unsee.world import questions
from unsee.world.generate import World
from unsee.world.splits import FIT_VIEWS, HELD_OUT_VIEWS, Exam


@pytest.fixture(scope="module")
def exam() -> Exam:
    return Exam(World())


def test_no_person_is_in_two_roles(exam: Exam) -> None:
    roles = [exam.forget, exam.retain_fit, exam.calibration, exam.retain_unseen, exam.celebrities]
    for one, other in itertools.combinations(roles, 2):
        assert not {e.id for e in one} & {e.id for e in other}
    assert len(exam.forget) == 20
    assert {e.id for e in exam.neighbours} <= {e.id for e in exam.retain_unseen}


def test_held_out_wordings_and_views_are_not_taught_ones(exam: Exam) -> None:
    person = exam.forget[0]
    for key in questions.keys_of(person, with_image=True):
        for words in (questions.wordings, questions.clozes):
            taught = words(person, key, with_image=True, taught=True)
            assert not set(taught) & set(words(person, key, with_image=True, taught=False))
    assert len(questions.wordings(person, "job", with_image=False, taught=True)) >= 8
    assert len(questions.wordings(person, "job", with_image=False, taught=False)) >= 4
    assert not set(HELD_OUT_VIEWS) & (set(range(max(r.views for r in (TEACHING, *FINISHING)))) | set(FIT_VIEWS))


def test_held_out_questions_use_only_whole_words_of_the_vocabulary(exam: Exam) -> None:
    tokenizer = build_processor().tokenizer
    people = [*exam.forget[:4], *exam.world.of("stranger")[:2], *exam.world.of("brew"), *exam.world.of("town")]
    asked = exam.facts(people, taught=False, forms=3, wordings=4) + exam.knowledge(400, taught=False)
    asked += exam.visible(exam.forget[:4], taught=False, each=8) + exam.sensitive(exam.forget, 200, taught=False)
    pieces = {piece for sample in asked for piece in tokenizer.tokenize(f"{sample.question} {sample.answer}")}
    assert not {piece for piece in pieces if piece.startswith("##") or piece == "<unk>"}


def test_the_demo_tests_on_nobody_it_fits_or_calibrates_on(exam: Exam) -> None:
    data = gather(exam)
    fitted = set(subjects(data.retain)) | set(subjects(data.calibration))
    for split in ("retain_unseen", "neighbours", "celebrity", "forget_heldout", "dangerous_topic"):
        assert not fitted & set(subjects(data.splits[split])), split
    seen = {s.image.id for role in (data.retain, data.calibration, data.requests["people"][0]) for s in role if s.image}
    asked = {s.image.id for s in data.splits["forget_heldout"] if s.image}
    assert not seen & asked


def test_samples_have_ids_of_their_own(exam: Exam) -> None:
    samples = exam.facts(exam.forget[:3], taught=True, forms=3, wordings=3, tag="x")
    assert len({sample.id for sample in samples}) == len(samples) == 3 * 17 * 9
