"""One Ray and three workers for all tests that share a process: to start them takes longer than the tests do."""

from collections.abc import Iterator
from typing import Any

import pytest

import on_workers as jobs
from unsee.workers import ray as on
from unsee.workers.cluster import Cluster, join


@pytest.fixture(scope="session")
def cluster() -> Iterator[Any]:
    ray = pytest.importorskip("ray", reason="extra scale")
    with jobs.importable():
        join(ray, Cluster(4))  # a core more than there are workers, for those that a test makes
        yield ray
        ray.shutdown()


@pytest.fixture(scope="session")
def workers(cluster: Any) -> Iterator[on.RayWorkers[Any]]:
    made = on.RayWorkers(cluster, jobs.HELD, jobs.facts, 0, Cluster(3))
    made.start()
    yield made
    made.stop()
