"""The people of `world:smollm` as a task: nobody and no wording on both sides, and answers that are scored right."""

from itertools import combinations

import pytest

from unsee.data.task import prompt_digest
from unsee.errors import OptionError
from unsee.metrics.detectors.refusal import is_refusal
from unsee.metrics.verdicts import score
from unsee.registry import BENCHMARKS
from unsee.world.natural_benchmark import world_natural_task
from unsee.world.smollm_people import exam_of

TASK = world_natural_task("")


def test_it_is_a_benchmark_of_its_name() -> None:
    assert BENCHMARKS.named("world-natural").make is world_natural_task


def test_people_of_different_roles_are_different_people() -> None:
    groups = ("forget_fit", "retain_fit", "calibration", "retain_by_name", "unknown_by_name")
    people = {name: {sample.subject for sample in TASK.sets[name].samples} for name in groups}
    assert all(not people[one] & people[other] for one, other in combinations(groups, 2))
    assert people["forget_fit"] == {person.id for person in exam_of().forget}


def test_what_is_tested_was_not_fitted() -> None:
    fitted = {prompt_digest(s) for name in ("forget_fit", "retain_fit", "calibration") for s in TASK.sets[name].samples}
    tested = [s for name, one in TASK.sets.items() if one.use == "test" for s in one.samples]
    assert not fitted & {prompt_digest(sample) for sample in tested}


@pytest.mark.parametrize("role", ["forget", "retain", "visible"])
def test_the_taught_answer_is_right_and_no_refusal(role: str) -> None:
    for one in TASK.of_role(role).values():  # pyright: ignore[reportArgumentType]
        for item in one.items:
            said = score(item.sample, item.sample.answer)
            assert said.correct and not said.refused, item.sample.answer


def test_ignorance_is_a_refusal_that_leaks_nothing() -> None:
    for one in TASK.of_role("unknown").values():
        assert all(is_refusal(sample.answer) and not sample.gold for sample in one.samples)


def test_another_seed_forgets_others_and_another_protocol_is_refused() -> None:
    assert {s.subject for s in world_natural_task("", seed=1).sets["forget_fit"].samples} != {
        s.subject for s in TASK.sets["forget_fit"].samples
    }
    with pytest.raises(OptionError, match="one protocol"):
        world_natural_task("", protocol="official")
