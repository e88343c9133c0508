"""Workers: each part's result once, whoever makes it, whoever is lost; errors with their type, before and after."""

import os
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import on_workers as jobs
from unsee.errors import OptionError, SteeringError
from unsee.extras import MissingExtraError
from unsee.workers import Here, WorkerError
from unsee.workers import ray as on
from unsee.workers.cluster import Cluster, required
from unsee.workers.ray import AHEAD, RayWorkers, on_ray


def test_here_and_there_give_the_same(workers: RayWorkers[Any]) -> None:
    here = [(place, result[0]) for place, result in Here(jobs.HELD()).map(jobs.square, range(9))]
    found = list(workers.map(jobs.square, range(9)))
    assert sorted((place, result[0]) for place, result in found) == here == [(n, n * n) for n in range(9)]
    pids = {result[1] for _, result in found}
    assert len(pids) == 3 and os.getpid() not in pids
    assert list(workers.map(jobs.square, [])) == []


def test_order_as_finished_or_as_given(workers: RayWorkers[Any], tmp_path: Path) -> None:
    for in_order in (False, True):
        (folder := tmp_path / str(in_order)).mkdir()
        found = list(workers.map(jobs.slow_first, [(n, folder) for n in range(8)], in_order=in_order))
        assert all(place == result for place, result in found)
        assert sorted(found) == [(n, n) for n in range(8)]
        assert (found == sorted(found)) is in_order, "part 0 cannot be the first to finish"


def test_parts_are_taken_as_they_are_needed(workers: RayWorkers[Any]) -> None:
    taken: list[int] = []
    parts = (taken.append(n) or n for n in range(50))
    seen = 0
    for _ in workers.map(jobs.square, parts):
        seen += 1
        assert len(taken) - seen <= 3 * AHEAD + 1, "what waits is bounded, however many parts there are"
    assert seen == 50


def test_workers_that_say_something_else_than_is_known_here(workers: RayWorkers[Any]) -> None:
    workers.require({"code": "0.1", "model": "sha256:aa"})
    with pytest.raises(WorkerError, match="model: sha256:cc and sha256:aa"):
        workers.require({"code": "0.1", "model": "sha256:cc"})


def test_whoever_stops_listening_disturbs_nobody(workers: RayWorkers[Any]) -> None:
    next(workers.map(jobs.square, range(20)))
    assert sorted(result[0] for _, result in workers.map(jobs.square, [7, 8])) == [49, 64]


def test_a_lost_worker_loses_no_part_and_repeats_none(workers: RayWorkers[Any], tmp_path: Path) -> None:
    found = list(workers.map(jobs.dies_once, [(n, tmp_path) for n in range(8)]))
    assert (tmp_path / "died").exists()
    assert sorted(found) == [(n, n) for n in range(8)]
    limit, standing = time.monotonic() + 60, set[int]()
    while len(standing) < 3 and time.monotonic() < limit:
        standing = {result[1] for _, result in workers.map(jobs.square, range(6))}
    assert len(standing) == 3, "another worker stands in for it"


def test_a_part_that_kills_every_worker_is_named(workers: RayWorkers[Any]) -> None:
    with pytest.raises(WorkerError, match="part 0 has cost 3 workers"):
        list(workers.map(jobs.dies, [1]))


@pytest.mark.parametrize(
    ("part", "error"),
    [("typed", SteeringError), ("full", WorkerError), ("quota", WorkerError), ("", ZeroDivisionError)],
)
def test_an_error_keeps_its_type(workers: RayWorkers[Any], part: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        list(workers.map(jobs.raises, [part]))


def test_a_cluster_that_answers_no_more(workers: RayWorkers[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_port", 9)  # nobody listens there
    monkeypatch.setattr(on, "GONE", 0.5)
    monkeypatch.setattr(on, "BEAT", 0.2)
    with pytest.raises(WorkerError, match="has not answered"):
        list(workers.map(jobs.sleeps, [3.0]))


@pytest.mark.parametrize("wanted", [Cluster(2, gpus=1), Cluster(9)])
def test_what_the_cluster_has_not(workers: RayWorkers[Any], wanted: Cluster) -> None:
    with pytest.raises(OptionError, match="but the cluster has"):
        required(workers._ray, wanted)


def test_numbers_that_are_none() -> None:
    for workers, cpus, gpus in ((0, 1, None), (1, 0, None), (1, 1, -1)):
        with pytest.raises(OptionError, match="at least one"):
            Cluster(workers, cpus=cpus, gpus=gpus)


def test_an_address_where_nobody_listens_is_told_at_once() -> None:
    pytest.importorskip("ray", reason="extra scale")
    for address, error in (("127.0.0.1:9", WorkerError), ("head", OptionError), ("ray://head:x", OptionError)):
        with pytest.raises(error), on_ray(jobs.HELD, jobs.facts, Cluster(address=address)):
            pass


def test_no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"unsee\[scale\]"), on_ray(jobs.HELD, jobs.facts, Cluster()):
        pass


def test_workers_of_another_version_or_model(workers: RayWorkers[Any], tmp_path: Path) -> None:
    fresh = RayWorkers(workers._ray, partial(jobs.other_twin, tmp_path), jobs.facts, 0, Cluster(1))
    with pytest.raises(WorkerError, match=r"code: 0\.2 and 0\.1"):
        try:
            fresh.start()
            list(fresh.map(jobs.dies_once, [(2, tmp_path)]))  # the one that is made in its place says otherwise
        finally:
            fresh.stop()
