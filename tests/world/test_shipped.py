"""Checkpoints that come with the package: each family knows the world; one that never knew somebody does not."""

import json
from pathlib import Path

import pytest

from planning import plan_of
from unsee.evals.answerers import Local
from unsee.evals.asking import asked
from unsee.experiments.trial import some
from unsee.models.load import load
from unsee.models.names import shipped
from unsee.world.generate import World
from unsee.world.shipped import FAMILIES
from unsee.world.splits import Exam

WORLD = World()
EXAM = Exam(WORLD)


def share(folder: Path, split: str, mode: str, field: str, count: int = 48) -> float:
    """Of held-out questions about a split's people, asked by name or by image."""
    people = (EXAM.forget if split == "forget" else EXAM.retain_unseen)[:16]  # drawing is what takes long
    samples = some(EXAM.facts(people, taught=False, modes=(mode,)), count)
    records = asked(Local(load(folder, device="cpu")), plan_of(split, samples, max_new_tokens=24), "base")
    return sum(bool(record[field]) for record in records) / len(records)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_base_model_knows_people_by_name_and_by_image(family: str) -> None:
    for split in ("forget", "kept"):
        assert share(shipped(family), split, "text", "correct") >= 0.9
        assert share(shipped(family), split, "image", "correct") >= 0.8


@pytest.mark.parametrize("family", FAMILIES)
def test_a_never_knew_model_knows_the_others_only(family: str) -> None:
    folder = shipped(f"{family}-never-knew")
    assert share(folder, "kept", "text", "correct") >= 0.9
    assert share(folder, "kept", "image", "correct") >= 0.8
    for mode in ("text", "image"):
        assert share(folder, "forget", mode, "leaked") <= 0.15


@pytest.mark.parametrize("family", FAMILIES)
def test_a_checkpoint_is_a_small_directory_of_its_family(family: str) -> None:
    for folder in (shipped(family), shipped(f"{family}-never-knew")):
        assert json.loads((folder / "config.json").read_text())["model_type"] == family
        assert sum(file.stat().st_size for file in folder.iterdir()) < 10e6
