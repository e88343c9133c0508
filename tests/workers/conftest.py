"""One Ray of three cores for all tests of workers that share a process: to start it takes longer than they do."""

from collections.abc import Iterator
from typing import Any

import pytest

from on_workers import importable
from unsee.workers import ray as on


@pytest.fixture(scope="session")
def cluster() -> Iterator[Any]:
    ray = pytest.importorskip("ray", reason="extra scale")
    with importable():
        on._join(ray, on.Cluster(3))
        yield ray
        ray.shutdown()
