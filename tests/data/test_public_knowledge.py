"""The public-knowledge set is as large, varied and disjoint as it says."""

import json
import re
from pathlib import Path

import pytest

from unsee.data.benchmarks.public_knowledge import Subject, known_to, public_knowledge, public_knowledge_task
from unsee.data.task import Task
from unsee.erase.detectors import leaks
from unsee.errors import DataError, OptionError

KNOWN = public_knowledge()


def of(name: str) -> Subject:
    return next(one for one in KNOWN.subjects if one.name == name)


def test_it_has_enough_of_everything() -> None:
    assert len(KNOWN.subjects) >= 120
    assert len({one.kind for one in KNOWN.subjects}) >= 4
    assert len({one.id for one in KNOWN.subjects}) == len(KNOWN.subjects)
    for one in KNOWN.subjects:
        assert len(one.facts) >= 6 and all(value.strip() for values in one.facts.values() for value in values)
    assert sum(map(len, KNOWN.general.values())) >= 100


@pytest.mark.parametrize("subject", [KNOWN.subjects[0], KNOWN.subjects[-1]], ids=lambda one: one.id)
def test_held_out_wordings_are_of_other_families(subject: Subject) -> None:
    fit, heldout = KNOWN.about(subject, "fit"), KNOWN.about(subject, "heldout")
    per_fact = len(fit) / len(subject.facts), len(heldout) / len(subject.facts)
    assert sum(per_fact) >= 8 and per_fact[1] >= 3

    def families(items: list) -> set[str]:  # pyright: ignore[reportMissingTypeArgument]
        return {re.sub(r"\d+$", "", item.sample.id.rsplit("/", 1)[1]) for item in items}

    assert not families(fit) & families(heldout)
    questions = [item.sample.question for item in (*fit, *heldout)]
    assert len(set(questions)) == len(questions) and all(subject.name in question for question in questions)
    assert not any("{" in question for question in questions)


def test_no_question_gives_its_own_answer_away() -> None:
    told = [
        item.sample.id
        for one in KNOWN.subjects
        for item in (*KNOWN.about(one, "fit"), *KNOWN.about(one, "heldout"))
        if leaks(item.sample.question, item.sample.accepted)
    ]
    assert told == []


def test_accepted_variants_and_other_facts_are_told_apart() -> None:
    items = {item.sample.id: item for item in KNOWN.about(of("Wolfgang Amadeus Mozart"), "fit", ["country"])}
    item = items["person/wolfgang-amadeus-mozart/country/plain0"]
    references = item.references
    assert item.sample.accepted == ("Austria", "Austrian")
    assert {"Salzburg", "1756", "composer"} <= set(references.volunteered)
    assert not set(item.sample.accepted) & set(references.volunteered)
    with pytest.raises(OptionError, match="has no fact 'height'"):
        KNOWN.about(of("Paris"), "fit", ["height"])


def test_neighbours_are_the_most_alike() -> None:
    brother, composer, city = of("Louis Armstrong"), of("Joseph Haydn"), of("Vienna")
    near = [one.name for one in KNOWN.neighbours(composer, KNOWN.subjects, 3)]
    assert {"Wolfgang Amadeus Mozart", "Franz Schubert", "Johann Strauss II"} == set(near)
    assert KNOWN.neighbours(brother, KNOWN.subjects, 1)[0].name == "Neil Armstrong"
    assert composer.likeness(city) == 0 == composer.likeness(composer)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_split_is_disjoint_by_subject(seed: int) -> None:
    task = public_knowledge_task("", ratio=10, seed=seed)
    people = {name: {item.sample.subject for item in one.items} for name, one in task.sets.items()}
    assert people.pop("forget_fit") == people["forget_heldout"]
    everyone = [subject for subjects in people.values() for subject in subjects]
    assert len(everyone) == len(set(everyone))
    used = {name: one.use for name, one in task.sets.items() if one.use != "test"}
    assert used == {"forget_fit": "fit", "retain_fit": "fit", "calibration": "calibration"}
    assert (
        drawn(task) == drawn(public_knowledge_task("", ratio=10, seed=seed)) != drawn(public_knowledge_task("", seed=9))
    )


def drawn(task: Task) -> list[str]:
    return [sample.id for sample in task.samples()["forget_heldout"]]


def test_names_of_nobody_are_nobodys() -> None:
    names = {name for one in KNOWN.subjects for name in (one.name, one.short)}
    assert not names & {name for unknown in KNOWN.unknown.values() for name in unknown}
    assert len(KNOWN.unknown_samples()) == len(KNOWN.refused_samples()) >= 100
    assert all("{" not in sample.question for sample in (*KNOWN.unknown_samples(), *KNOWN.refused_samples()))


def test_another_protocol_is_refused() -> None:
    with pytest.raises(OptionError, match="one protocol, 'honest'"):
        public_knowledge_task("", "official")


def test_what_a_model_does_not_know_is_not_asked(tmp_path: Path) -> None:
    known = known_to("real:smollm2")
    task = public_knowledge_task("real:smollm2")
    asked = {name: {tuple(item.sample.id.rsplit("/", 2)[:2]) for item in of.items} for name, of in task.sets.items()}
    facts = {(subject, fact) for subject, mine in known.items() for fact in mine}
    assert set().union(*(of for name, of in asked.items() if name != "general")) <= facts
    for subject in {subject for subject, _ in asked["forget_heldout"]}:
        assert sum(one == subject for one, _ in asked["forget_heldout"]) == len(known[subject]) >= 3
    file = tmp_path / "known.json"
    file.write_text(json.dumps({"facts": known, "answers": {}}))
    assert public_knowledge_task(file) == task != public_knowledge_task("")


@pytest.mark.parametrize("content", [None, "no json", "[]", '{"answers": {}}'])
def test_a_source_that_does_not_say_what_is_known_is_refused(content: str | None, tmp_path: Path) -> None:
    file = tmp_path / "known.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(DataError, match=r"does not say what a model knows.*real:smollm2.*unsee models know"):
        public_knowledge_task(file)


def test_a_model_that_knows_too_little_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "known.json"
    file.write_text(json.dumps({"facts": {"city/paris": ["country", "language", "landmark"]}}))
    with pytest.raises(DataError, match="3 facts or more of 1 subjects, expected at least 9"):
        public_knowledge_task(file)
