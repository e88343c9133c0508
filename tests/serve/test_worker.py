"""What a server asks of a worker, over a steerer without an engine: changes are made ready beside the steps."""

import time
from pathlib import Path
from types import SimpleNamespace as Told

import pytest
from tests.serve.test_steerer import ERASERS, made

from unsee.serve.engine.tracking import NO_SET
from unsee.serve.engine.worker import SteeringWorker
from unsee.serve.errors import EngineError


class Worker(SteeringWorker):
    """A runner whose model has hooks."""

    def __init__(self) -> None:
        self.steerer = made()
        self.model_runner = Told(model=Told(unsee_number=0), unsee_steerer=self.steerer)

    def prepare(self, folders: dict[str, str], sets: dict[str, list[str]]) -> None:
        self.unsee_prepare(folders, sets)
        limit = time.monotonic() + 20
        while not self.unsee_prepared():
            assert time.monotonic() < limit
            time.sleep(0.01)


def test_what_was_prepared_is_held_and_nothing_else(tmp_path: Path) -> None:
    worker, sets = Worker(), {"B": ["b"]}
    ERASERS["b"].save_pretrained(tmp_path / "b")
    folders = {"b": str(tmp_path / "b")}
    worker.prepare(folders, sets)
    assert set(worker.steerer.resident.erasers) == set(ERASERS), "until it is told to hold it"
    ready = worker.unsee_pending[1].result()  # pyright: ignore[reportOptionalSubscript]
    assert worker.unsee_load(folders, sets, "B") == ["b"]
    assert worker.steerer.loaded is ready
    assert worker.unsee_load({}, {}, NO_SET) == [], "what was not prepared is made at once"
    assert not worker.steerer.resident.erasers and not worker.unsee_prepared()


@pytest.mark.parametrize("other", ["another change", "another load meanwhile"])
def test_what_was_prepared_for_something_else_is_made_again(tmp_path: Path, other: str) -> None:
    worker = Worker()
    worker.prepare({}, {"B": []})
    ready = worker.unsee_pending[1].result()  # pyright: ignore[reportOptionalSubscript]
    if other == "another load meanwhile":
        worker.steerer.load({}, {}, NO_SET)
    worker.unsee_load({}, {"B": []} if other == "another load meanwhile" else {"C": []}, NO_SET)
    assert worker.steerer.loaded is not ready


def test_what_cannot_be_prepared_is_told_when_it_is_to_be_held(tmp_path: Path) -> None:
    worker, gone = Worker(), {"x": str(tmp_path / "gone")}
    worker.prepare(gone, {"X": ["x"]})
    with pytest.raises(Exception, match="gone"):
        worker.unsee_load(gone, {"X": ["x"]}, NO_SET)
    assert set(worker.steerer.resident.erasers) == set(ERASERS), "nothing was changed"


def test_a_model_without_hooks_is_refused() -> None:
    worker = Worker()
    worker.model_runner = Told(model=Told())
    with pytest.raises(EngineError, match="no hooks"):
        worker.unsee_prepare({}, {})
