"""A process that ends at every single point of an operation, one after the other: before each sync, move and statement.

`kill -9` from outside hits points at random (benchmarks/ledger_faults.py); this visits each of them once.
"""

import os
import shutil
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from unittest import mock

import pytest
from benchmarks.ledger_worker import BY, check, made, opened, received, step, verified, write_artifact
from sqlalchemy import event

from unsee.ledger import Ledger, Request
from unsee.ledger.examination import examine
from unsee.ledger.holding import attach

pytestmark = pytest.mark.slow
DIED, DONE = 9, 0
CALLS = ("fsync", "replace", "rename", "mkdir", "unlink", "rmdir", "open")


def ended_at(point: int, operation: Callable[[Ledger], object], home: Path) -> int:
    """Open and act in a child that ends without a word before its point-th call; returns how it ended."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn of threads; the child uses none
        child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    left = [point]

    def count(*_: object) -> None:
        left[0] -= 1
        if left[0] < 0:
            os._exit(DIED)

    def counted(call: Callable[..., object]) -> Callable[..., object]:
        def run(*args: object, **kwargs: object) -> object:
            count()
            return call(*args, **kwargs)

        return run

    with suppress(BaseException), opened(home) as ledger:
        for name in CALLS:
            mock.patch.object(os, name, counted(getattr(os, name))).start()
        event.listen(ledger._database._engine, "before_cursor_execute", count)
        operation(ledger)
        os._exit(DONE)
    os._exit(1)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    with made(tmp_path / "home") as ledger:
        for number in range(2):  # one that stays, so that there is something to lose
            request = None
            for _ in range(5 + number):
                request = step(ledger, request, tmp_path / "other", 100 + 2 * number)
    write_artifact(tmp_path / "a", 1)
    return tmp_path / "home"


def walked(home: Path, operation: Callable[[Ledger], object], state: str) -> int:
    """End at every point in turn, each time on a fresh copy; returns how many points there are.

    Each time the ledger is sound, and every request where it was or, one of them, a step further.

    Args:
        home: the ledger before the operation.
        operation: what is cut off.
        state: what its request becomes.
    """
    with opened(home) as ledger:
        before = {request.id: request.state for request in ledger.requests()}
    seen = set[bool]()
    for point in range(1000):
        copy = home.with_name(f"{home.name}-{point}")
        shutil.copytree(home, copy)
        code = ended_at(point, operation, copy)
        assert code in (DIED, DONE), f"point {point}: the child failed with {code}"
        with opened(copy) as ledger:
            assert not examine(ledger), f"point {point}: {examine(ledger)}"
            assert ledger.keys.records() == {r.id for r in ledger.requests() if not r.ended}, f"point {point}: keys"
            changed = [r.state for r in ledger.requests() if before.get(r.id) != r.state]
        assert changed in ([], [state]), f"point {point}: {changed}"
        seen.add(bool(changed))
        if code == DONE:
            assert changed == [state] and seen == {False, True}
            return point
    raise AssertionError("the operation never ended")


def accepted(home: Path) -> Request:
    with opened(home) as ledger:
        return ledger.take("accept", received(ledger, 7).id, BY)


def test_receiving(home: Path) -> None:
    assert walked(home, lambda ledger: received(ledger, 7), "received") > 5


def test_attaching(home: Path, tmp_path: Path) -> None:
    request = accepted(home)
    assert walked(home, lambda ledger: attach(ledger, request.id, tmp_path / "a", check, BY), "fitted") > 5


def test_activating_and_revoking(home: Path, tmp_path: Path) -> None:
    request = accepted(home)
    with opened(home) as ledger:
        verified(ledger, attach(ledger, request.id, tmp_path / "a", check, BY))
    assert walked(home, lambda ledger: ledger.activate(request.id, BY), "active") > 5
    with opened(home) as ledger:
        ledger.activate(request.id, BY)
    shutil.move(home, home.with_name("active"))
    assert walked(home.with_name("active"), lambda ledger: ledger.revoke(request.id, BY), "revoked") > 5
