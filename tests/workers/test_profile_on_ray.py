"""A profile that workers read has the bytes of one that this process reads, however it is cut and whoever is lost."""

import os
import signal
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from on_workers import Lent, pid
from unsee.data.sample import Sample
from unsee.erase.config import Settings
from unsee.erase.fit.activations import capture_batches
from unsee.erase.fit.moments import Moments
from unsee.erase.fit_profile import fit_profile
from unsee.experiments.trial import gather
from unsee.models.load import LoadedModel, load
from unsee.progress import Progress, silent
from unsee.workers import Workers
from unsee.workers.cluster import Cluster
from unsee.workers.ray import RayWorkers
from unsee.world.export import recall, refusal
from unsee.world.generate import World
from unsee.world.splits import Exam

MODEL, KEY = "world:llava", bytes(range(32))
SETTINGS = Settings(adversarial=False, steps=1, strengths=(3.0,), calibration_prompts=4, answer_tokens=12, batch_size=5)


@pytest.fixture(scope="module")
def loaded() -> Iterator[LoadedModel]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as many as a worker has: the last bits of a sum depend on it
    yield load(MODEL)
    torch.set_num_threads(threads)


@cache
def there() -> LoadedModel:
    return load(MODEL)


@pytest.fixture
def three(workers: RayWorkers[Any]) -> Lent:
    return Lent(workers, there)


@pytest.fixture(scope="module")
def exam() -> Exam:
    return Exam(World(0), 0, 0.1)


def some(samples: list[Sample], count: int) -> list[Sample]:
    return samples[:: max(1, len(samples) // count)][:count]


def profile(loaded: LoadedModel, exam: Exam, out: Path, workers: Any = None, stages: Any = silent) -> str:
    data = gather(exam)
    made = fit_profile(
        loaded,
        retain=some(data.retain, 10),
        calibration=some(data.calibration, 6),
        recall=some(recall(exam), 6),
        refusal=some(refusal(exam), 6),
        others=some(data.others, 4),
        settings=SETTINGS,
        subject_key=KEY,
        workers=workers,
        stages=stages,
    )
    return made.save_pretrained(out)


def first(workers: RayWorkers[Any], count: int) -> Lent:
    """The same workers, but only so many of them."""
    fewer = RayWorkers(workers._ray, workers._make, workers._about, 0, Cluster(count))
    fewer._workers = workers._workers[:count]
    return Lent(fewer, there)


def killing(workers: Lent, stage: str) -> Callable[[str, int], Progress]:
    """Ends one of the workers once the first batch of a stage has been read."""
    victims = [n for _, n in workers.map(pid, range(1))]

    def stages(name: str, total: int) -> Progress:
        def told(done: int) -> None:
            if name == stage and victims:
                os.kill(victims.pop(), signal.SIGKILL)

        return told

    return stages


def test_one_two_and_three_workers_and_one_that_is_killed(
    loaded: LoadedModel, workers: RayWorkers[Any], three: Lent, exam: Exam, tmp_path: Path
) -> None:
    here = profile(loaded, exam, tmp_path / "here")
    for count in (1, 2, 3):
        assert profile(loaded, exam, tmp_path / str(count), first(workers, count)) == here, f"{count} workers"
    before = {n for _, n in three.map(pid, range(12))}
    killed = profile(loaded, exam, tmp_path / "killed", three, killing(three, "retained prompts"))
    assert killed == here
    assert {n for _, n in three.map(pid, range(12))} != before, "one was really lost"


def test_moments_of_batches_add_up_to_the_same_bits(loaded: LoadedModel, workers: RayWorkers[Any], exam: Exam) -> None:
    samples = some(gather(exam).retain, 17)

    def summed(workers: Workers[LoadedModel] | None) -> Moments:
        total = Moments.empty(loaded.adapter.hidden_size(loaded.model), (2,))
        for _, states in capture_batches(loaded, samples, (1, 2), 4, workers=workers):
            total += Moments.of(states.last)
        return total

    here = summed(None)
    for count in (1, 2, 3):
        there = summed(first(workers, count))
        assert there.count == here.count == 17
        assert torch.equal(there.total, here.total) and torch.equal(there.second, here.second)
