"""Inputs that nobody should send, and machines that fail at the wrong moment: told by name, and nothing half done."""

import errno
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from benchmarks.ledger_worker import BY, GROUND, made, opened, received, switched_on

from unsee.errors import OptionError, SaveError, UnseeError
from unsee.ledger import Decision, Ledger, Person
from unsee.ledger.errors import AuditError, LedgerError, LedgerUnavailableError, PolicyError
from unsee.ledger.examination import examine
from unsee.ledger.holding import add


def broken(code: int) -> object:
    """Stands in for a call of the system that fails."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


@pytest.mark.parametrize("why", ["x" * 2001, "", " \n ", "a\x1b[31mb", "half \ud800", "\u202edeined", "a\u2028b"])
def test_texts_are_short_and_plain(ledger: Ledger, why: str) -> None:
    request = received(ledger, 1)
    with pytest.raises(OptionError, match="why"):
        ledger.take("accept", request.id, Decision("desk", why))
    assert len(ledger.history()) == 2


@pytest.mark.parametrize("day", ["2026-02-30", "tomorrow", "0000-00-00", "2026-05-05", "1999-12-31", "99999-01-01"])
def test_days_are_days_within_reason(ledger: Ledger, day: str) -> None:
    with pytest.raises(OptionError, match="received"):
        add(ledger, Person(names=("Jane",)), BY, received=day, **GROUND)


def test_a_ledger_whose_folder_vanishes_does_nothing(tmp_path: Path) -> None:
    with made(tmp_path) as ledger:
        shutil.move(tmp_path / "ledger", tmp_path / "elsewhere")
        for run in (ledger.head, ledger.active_folders, lambda: received(ledger, 1), lambda: ledger.policy):
            with pytest.raises(LedgerError):
                run()
        with pytest.raises(LedgerError, match="there is no ledger"):
            opened(tmp_path)
        shutil.move(tmp_path / "elsewhere", tmp_path / "ledger")
        assert received(ledger, 1).state == "received"


@pytest.mark.parametrize(("call", "code", "said"), [
    ("unsee.ledger.keys.os.fsync", errno.ENOSPC, "No space"), ("unsee.ledger.keys.os.open", errno.EROFS, "Read-only"),
])  # fmt: skip
def test_no_room_for_a_key_takes_nobody_in(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, call: str, code: int, said: str
) -> None:
    monkeypatch.setattr(call, broken(code))
    with pytest.raises(UnseeError, match=said):
        received(ledger, 1)
    monkeypatch.undo()
    assert not ledger.requests() and received(ledger, 1).state == "received" and not examine(ledger)


def test_no_room_to_unpack_serves_nothing_and_a_key_that_stays_is_destroyed_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with made(tmp_path) as ledger:
        request = switched_on(ledger, tmp_path / "a", 2)
        monkeypatch.setattr(Path, "write_bytes", broken(errno.ENOSPC))
        with pytest.raises(LedgerUnavailableError, match="cannot unpack"):
            ledger.active_folders()
        monkeypatch.undo()
        assert len(ledger.active_folders()[1]) == 1
        monkeypatch.setattr("pathlib.Path.unlink", broken(errno.EACCES))
        with pytest.raises(LedgerUnavailableError, match="could not be destroyed"):
            ledger.take("revoke", request.id, BY)
        monkeypatch.undo()
        assert ledger.request(request.id).state == "revoked" and ledger.person(request.id) is None
    with opened(tmp_path) as ledger:
        assert not ledger.keys.records() and not examine(ledger)


def test_a_policy_broken_while_it_is_open_stops_decisions_and_not_reading(ledger: Ledger) -> None:
    request, path = received(ledger, 1), ledger.home / "policy.toml"
    text = path.read_text()
    path.write_text(text.replace("months = 1", "months = 0"))
    with pytest.raises(UnseeError, match="months"):
        ledger.take("accept", request.id, BY)
    assert ledger.request(request.id).state == "received" and "months" in examine(ledger)[0]
    path.write_text(text)
    assert ledger.take("accept", request.id, BY).state == "accepted"


@pytest.mark.parametrize("damage", [
    "body = '{' WHERE seq = 1", "body = '[1]' WHERE seq = 2", "body = x'00' WHERE seq = 2", "hash = 7 WHERE seq = 1",
])  # fmt: skip
def test_a_damaged_row_is_told_and_holds_no_lock(tmp_path: Path, damage: str) -> None:
    with made(tmp_path) as ledger:
        received(ledger, 1)
    database = tmp_path / "ledger" / "ledger.db"
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(f"UPDATE log SET {damage}")
    with pytest.raises(AuditError, match="not what was written") as kept:
        opened(tmp_path)
    with closing(sqlite3.connect(database, timeout=0)) as connection, connection:
        connection.execute("UPDATE log SET body = 'x'")
    assert kept.value, "while its traceback is still alive"


@pytest.mark.parametrize("url", [
    "nonsense", "sqlite:///x.db", "postgresql+nothing://a:secret@b/c", "postgresql+nothing://b/c?password=secret@x",
])  # fmt: skip
def test_a_database_that_is_none_is_told_without_its_password(tmp_path: Path, url: str) -> None:
    with pytest.raises(PolicyError, match="cannot be used") as refused:
        made(tmp_path, url=url)
    assert "secret" not in str(refused.value)


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises((SaveError, LedgerError)):
        made(tmp_path / "file")
