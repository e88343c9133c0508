"""A new ledger with its keys, and a clock that is set by hand."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from benchmarks.ledger_worker import made

from unsee.ledger import Ledger


class Clock:
    """Says what it was set to."""

    now = datetime(2026, 5, 4, 9, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> Iterator[Ledger]:
    with made(tmp_path, clock=clock) as opened:
        yield opened
