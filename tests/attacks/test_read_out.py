"""What states hold is read off the model that was taught a fact, and not off its twin that never was."""

from collections.abc import Sequence

import pytest
import torch

from unsee.attacks.base import Tries, Victim
from unsee.attacks.guessing import best_guess
from unsee.attacks.known import names_of
from unsee.attacks.read_out import behind_blocks
from unsee.data.benchmarks import benchmark_task
from unsee.data.sample import Sample, spread
from unsee.data.task import Task
from unsee.evals.answerers import How, Local
from unsee.models.load import load
from unsee.registry import ATTACKS


@pytest.fixture(scope="module")
def task() -> Task:
    return benchmark_task("world", "")


def victim(name: str, task: Task) -> tuple[Victim, list[Sample]]:
    every = task.sets["forget_by_name_free"].samples
    others = [one for of in task.of_role("retain").values() if of.use == "test" for one in of.samples]
    others = [one for one in others if one.form == "generation" and not one.shown]
    return Victim(
        Local(load(name)), How(8), tries=3, questions=every, names=names_of(every), others=others
    ), spread(every, 40)  # fmt: skip


def recovered(questions: Sequence[Sample], found: Tries) -> int:
    return sum(
        tries is not None and tries[best_guess(tries)] == one.gold for one, tries in zip(questions, found, strict=True)
    )


@pytest.fixture(scope="module")
def victims(task: Task) -> dict[str, tuple[Victim, list[Sample]]]:
    return {"falls": victim("world:llava", task), "holds": victim("world:llava-never-knew", task)}


@pytest.mark.parametrize("name", ["logit-lens", "probe", "patching", "membership"])
def test_the_fact_is_read_off_who_knows_it(name: str, victims: dict[str, tuple[Victim, list[Sample]]]) -> None:
    counts = {kind: recovered(asked, ATTACKS.named(name).make(of, asked, 0)) for kind, (of, asked) in victims.items()}
    assert counts["falls"] >= counts["holds"] + 10, counts  # of 40


def test_a_state_put_where_it_was_changes_nothing_and_another_does(
    victims: dict[str, tuple[Victim, list[Sample]]],
) -> None:
    of, asked = victims["falls"]
    states, plain = behind_blocks(of, asked), behind_blocks(of, asked, logits=True)
    again = behind_blocks(of, asked, patch=(1, states[:, 1]), logits=True)
    assert torch.allclose(again, plain, atol=1e-4)
    other = behind_blocks(of, asked, patch=(1, states[:, 1].roll(1, 0)), logits=True)
    assert (other - plain).abs().max() > 0.1
    assert not any(block._forward_hooks for block in of.loaded.adapter.layers(of.loaded.model))
