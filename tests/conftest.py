"""No test asks a hub for anything; the benchmarks' fixtures are written once for a whole run from a small world."""

import os

# Read when the hub's client is first imported; without it an unknown name waits for the network.
os.environ["HF_HUB_OFFLINE"] = "1"

from collections.abc import Callable
from pathlib import Path

import pytest

from unsee.world.fixtures import write_fixture
from unsee.world.generate import World
from unsee.world.splits import Exam

Folders = Callable[[str], Path]


@pytest.fixture(scope="session")
def small_exam() -> Exam:
    """Enough people for every split, few enough to be drawn in seconds."""
    return Exam(World(2, private=16, celebrities=4, strangers=1))


@pytest.fixture(scope="session")
def benchmark_folder(small_exam: Exam, tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """Name of a benchmark to its folder, to be read only."""
    out = tmp_path_factory.mktemp("benchmarks")

    def folder(name: str) -> Path:
        made = out / name
        return made if made.is_dir() else write_fixture(name, small_exam, out)

    return folder
