"""The same ledger in a real PostgreSQL: several servers, one revocation, two operators, and rows that were changed."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy
from benchmarks import ledger_faults, ledger_postgres
from benchmarks.ledger_worker import BY, made, opened, received, switched_on

from unsee.ledger import Ledger
from unsee.ledger.errors import AuditError, LedgerUnavailableError, LifeCycleError
from unsee.ledger.examination import examine

pytestmark = pytest.mark.skipif(ledger_postgres.installed() is None, reason="Debian's postgresql is not installed")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with ledger_postgres.running() as address:
        yield address


@pytest.fixture
def url(server: str) -> Iterator[str]:
    """An empty schema of the one server."""
    yield server
    run(server, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")


def run(server: str, *statements: str) -> None:
    """Past the package."""
    engine = sqlalchemy.create_engine(server, poolclass=sqlalchemy.NullPool)
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def test_one_revocation_reaches_every_server_within_two_seconds(url: str, tmp_path: Path) -> None:
    """Three servers ask before every request what is in force, as `unsee serve` does; each has its own copy."""
    with made(tmp_path, url=url) as desk:
        first, second = (switched_on(desk, tmp_path / "a", number) for number in (2, 4))
        stop, seen = threading.Event(), dict[int, list[tuple[float, int]]]()

        def serve(number: int) -> None:
            with Ledger(desk.home) as mine:
                while not stop.is_set():
                    active, folders = mine.active_folders()
                    assert len(folders) == len(active.requests), "the files of erasers come from the database too"
                    seen.setdefault(number, []).append((time.monotonic(), len(active.requests)))
                    time.sleep(0.02)

        servers = [threading.Thread(target=serve, args=(number,)) for number in range(3)]
        for one in servers:
            one.start()
        while len(seen) < 3:
            time.sleep(0.01)
        desk.take("revoke", first.id, BY)
        done = time.monotonic()
        time.sleep(2)
        stop.set()
        for one in servers:
            one.join()
        for times in seen.values():
            assert times[0][1] == 2 and times[-1][1] == 1, "each has seen it in force, and revoked"
            assert max(at for at, count in times if count == 2) <= done + 2
            assert all(count == 1 for at, count in times if at > done + 0.5)
        assert [*desk.active().requests] == [second.id] and not examine(desk)


def test_two_operators_decide_once_and_wait_for_each_other(url: str, tmp_path: Path) -> None:
    with made(tmp_path, url=url) as one, opened(tmp_path, busy_seconds=0.3) as other:
        request = received(one, 1)
        assert other.take("accept", request.id, BY).state == "accepted"
        with pytest.raises(LifeCycleError, match="is accepted"):
            one.take("accept", request.id, BY)
        with one.writing(), pytest.raises(LedgerUnavailableError, match="waited up to"):
            received(other, 2)
        assert len(other.history()) == 3


def test_what_was_changed_or_put_back_is_noticed(url: str, tmp_path: Path) -> None:
    with made(tmp_path, url=url) as ledger:
        switched_on(ledger, tmp_path / "a", 2)
    for statement in (
        "UPDATE log SET body = replace(body, 'harness', 'nobody') WHERE seq = 3",
        "DELETE FROM log WHERE seq = 5",
    ):
        run(url, "CREATE TABLE kept AS TABLE log", statement)
        with pytest.raises(AuditError):
            opened(tmp_path)
        run(url, "TRUNCATE log; INSERT INTO log SELECT * FROM kept; DROP TABLE kept")
    with opened(tmp_path) as ledger:
        assert len(ledger.active().requests) == 1 and not examine(ledger)
        (request,) = ledger.active().requests
        ledger.take("revoke", request, BY)
        assert ledger.person(request) is None and not ledger.keys.records()


def test_killing_loses_nothing_there_either(url: str, tmp_path: Path) -> None:
    (row,) = ledger_faults.killed(tmp_path, kills=3, seed=1, url=url)
    assert row["good"], row["found"]


def test_a_server_that_is_away_is_told_without_its_password(tmp_path: Path) -> None:
    with pytest.raises(LedgerUnavailableError, match="/x") as refused:
        made(tmp_path, url="postgresql+psycopg://a:secret@/x?host=/nowhere")
    assert "secret" not in str(refused.value)
