"""An evaluation that workers share writes the bytes of one that this process does by itself, whoever is lost."""

import os
import signal
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest

from on_workers import Lent, pid
from planning import plan_of
from tiny_llava import question, tiny_llava
from unsee.errors import DataError
from unsee.evals.answerers import Local
from unsee.evals.evaluate import evaluate
from unsee.evals.held import Condition, Held, settings_of
from unsee.evals.plan import Plan
from unsee.evals.scoring import Judges
from unsee.evals.store import rows_of
from unsee.progress import Progress
from unsee.workers import WorkerError

SAMPLES = [question(n, "who is this" + "?" * n, image=n % 2 == 0) for n in range(11)]
FILES = ("answers.jsonl", "metrics.json", "settings.json")


def plan() -> Plan:
    return plan_of(
        "forget_heldout", SAMPLES, max_new_tokens=3, batch_size=2, measures=["rougeL-f", "leak"], attacks=["sampling"]
    )


@cache
def made() -> Held:
    """As every worker makes it: the weights are those of a seed; one condition cannot be had."""
    conditions = [Condition.of(name, Local(tiny_llava(seed))) for seed, name in enumerate(("base", "other"))]
    return Held([*conditions, Condition("failing", {"model": "tiny"}, cannot)], plan(), Judges())


def elsewhere() -> Any:
    raise AssertionError("the workers have it")


def cannot() -> Any:
    raise DataError("not for this model")


@pytest.fixture
def asking(workers: Any) -> Lent:
    return Lent(workers, made)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "r"
    evaluate(list(made().conditions.values()), plan(), out)
    return out


def evaluated(workers: Any, out: Path, told: Any = None) -> None:
    conditions = [Condition(name, settings, elsewhere) for name, settings in settings_of(workers)]

    def stages(name: str, total: int) -> Progress:
        return partial(told, name) if told else lambda done: None

    evaluate(conditions, plan(), out, workers=workers, stages=stages)


def same(one: Path, other: Path) -> None:
    for name in FILES:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


def test_the_same_bytes_and_progress_over_all_workers(asking: Lent, whole: Path, tmp_path: Path) -> None:
    seen: dict[str, int] = {"asking: base": 0, "asking: other": 0}

    def told(name: str, done: int) -> None:
        seen[name] += done

    evaluated(asking, tmp_path / "r", told)
    same(whole, tmp_path / "r")
    failed = [row for row in rows_of(whole) if row["condition"] == "failing"]
    assert {row["reason"] for row in failed} == {"DataError: not for this model"} and len(failed) == 2 * len(SAMPLES)
    assert seen == dict.fromkeys(seen, 2 * len(SAMPLES)), "questions and those of the attack"


def test_a_killed_worker_loses_no_row_and_repeats_none(asking: Lent, whole: Path, tmp_path: Path) -> None:
    victims = [next(asking.map(pid, [0]))[1]]

    def told(name: str, done: int) -> None:
        if victims:
            os.kill(victims.pop(), signal.SIGKILL)

    evaluated(asking, tmp_path / "r", told)
    assert not victims
    same(whole, tmp_path / "r")


def test_a_run_whose_cluster_is_gone_goes_on_where_it_stopped(asking: Lent, whole: Path, tmp_path: Path) -> None:
    def told(name: str, done: int) -> None:
        raise WorkerError("the cluster has not answered")

    with pytest.raises(WorkerError):
        evaluated(asking, tmp_path / "r", told)
    before = len(rows_of(tmp_path / "r"))
    assert 0 < before < 5 * len(SAMPLES)
    evaluated(asking, tmp_path / "r")
    same(whole, tmp_path / "r")
