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

from unsee.ledger import Ledger
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
        event.listen(ledger.database._engine, "before_cursor_execute", count)
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

    Each time the ledger is sound, and every request where it was or, one of them, a step further: in `state`.
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


@pytest.mark.parametrize("state", ["received", "fitted", "active", "revoked"])
def test_every_point_of_a_step_ends_before_or_after_it(home: Path, tmp_path: Path, state: str) -> None:
    steps: dict[str, Callable[[Ledger], object]] = {
        "received": lambda ledger: received(ledger, 7),
        "fitted": lambda ledger: attach(ledger, request.id, tmp_path / "a", check, BY),
        "active": lambda ledger: ledger.take("activate", request.id, BY),
        "revoked": lambda ledger: ledger.take("revoke", request.id, BY),
    }
    with opened(home) as ledger:
        request = received(ledger, 8)
        ledger.take("accept", request.id, BY)
        if state in ("active", "revoked"):
            steps["fitted"](ledger)
            verified(ledger, ledger.request(request.id))
        if state == "revoked":
            steps["active"](ledger)
    assert walked(home, steps[state], state) > 5
