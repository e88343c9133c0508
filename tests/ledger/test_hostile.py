"""Inputs that nobody should send, and machines that fail at the wrong moment: told by name, and nothing half done."""

import errno
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from benchmarks.ledger_worker import BY, GROUND, made, opened, received, switched_on
from tests.ledger.conftest import Clock

from unsee.errors import DataError, OptionError, SaveError, UnseeError
from unsee.ledger import Decision, Ledger, Person
from unsee.ledger.dossier import dossier
from unsee.ledger.errors import AuditError, LedgerError, LedgerUnavailableError, PersonalDataError, PolicyError
from unsee.ledger.examination import examine
from unsee.ledger.holding import add
from unsee.ledger.intake import read_csv, read_opendsr, take_in


@pytest.mark.parametrize(("typed", "kept"), [
    ("\u202eenaJ\u202c Doe", "enaJ Doe"), ("\ufeffJane\u200b Doe\u200f", "Jane Doe"), (" Jane \t\n Doe ", "Jane Doe"),
    ("دوست\u200cمن", "دوست\u200cمن"), ("Jane\u0301", "Jan\xe9"),
    ('=HYPERLINK("http://x","Jane")', '=HYPERLINK("http://x","Jane")'),
])  # fmt: skip
def test_invisible_letters_neither_hide_nor_change_a_name(ledger: Ledger, typed: str, kept: str) -> None:
    request = add(ledger, Person.of(names=(typed,)), BY, **GROUND).request
    person = ledger.person(request.id)
    assert person is not None and person.names == (kept,)
    with pytest.raises(PersonalDataError):
        ledger.take("accept", request.id, Decision("desk", f"seen: {' '.join(typed.split())}!"))
    assert kept not in str(dossier(ledger, ledger.requests(), []))


@pytest.mark.parametrize("values", [
    {"names": ()}, {"names": ("---",)}, {"names": ("\u200b\u200b",)}, {"names": ("a\x00b",)}, {"names": ("x" * 121,)},
    {"names": tuple(f"n{n}" for n in range(33))}, {"names": ("Jane",), "note": "x" * 20_001},
    {"names": ("Jane",), "contact": "x" * 501}, {"names": "Jane"}, {"names": ("Jane",), "age": 3},
])  # fmt: skip
def test_nobody_is_refused_without_being_named(values: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="nobody") as refused:
        Person.of(**values)
    assert "Jane" not in str(refused.value)


@pytest.mark.parametrize("why", ["x" * 2001, "", " \n ", "a\x1b[31mb", "half \ud800"])
def test_texts_are_short_and_plain(ledger: Ledger, why: str) -> None:
    request = received(ledger, 1)
    with pytest.raises(OptionError, match="why"):
        ledger.take("accept", request.id, Decision("desk", why))
    assert len(ledger.history()) == 2


@pytest.mark.parametrize("until", ["2026-02-30", "tomorrow", "0000-00-00", "2026-05-03", "99999-01-01"])
def test_days_are_days_within_reason(ledger: Ledger, tmp_path: Path, until: str) -> None:
    switched_on(ledger, tmp_path / "a", 2)
    with pytest.raises(OptionError):
        add(ledger, Person(names=("Jane",)), BY, received=until if until != "2026-05-03" else "2026-05-05", **GROUND)


@pytest.mark.parametrize("text", [
    'name\n"' + "Jane " * 40_000 + '"\n', 'name\n"never closed', "name;contact\nJane;a@b.org\n",
    "\ufeffname\r\nJane\r\n", "name\n\n\n \nJane\n", "NAME\nJane\n", "name\n=cmd|' /C calc'!A0\n",
])  # fmt: skip
def test_tables_of_any_shape_are_read_or_refused(ledger: Ledger, tmp_path: Path, text: str) -> None:
    (tmp_path / "t.csv").write_text(text, encoding="utf-8", newline="")
    try:
        rows = read_csv(tmp_path / "t.csv")
    except DataError as error:
        assert str(tmp_path) in str(error)
        return
    found = list(take_in(ledger, rows, BY, "law", "all", lambda _: None))
    assert [one.status for one in found] in (["received"], ["failed"]) and len(ledger.requests()) <= 1


@pytest.mark.parametrize("data", [b"\xff\xfen\x00a\x00", b"name\nJ\xfcrgen\n", b"[" * 100_000, b'{"a":1e999}', b"\x00"])
def test_files_that_are_none_are_refused(ledger: Ledger, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "f").write_bytes(data)
    for read in (read_csv, lambda path: read_opendsr(path, {})):
        try:
            found = list(take_in(ledger, read(tmp_path / "f"), BY, "law", "all", lambda _: None))
            assert all(one.status == "failed" for one in found)
        except UnseeError:
            pass
    assert not ledger.requests()


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


def test_no_room_for_a_key_takes_nobody_in(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("unsee.ledger.keys.os.fsync", full)
    with pytest.raises(UnseeError, match="No space"):
        received(ledger, 1)
    monkeypatch.undo()
    assert not ledger.requests() and received(ledger, 1).state == "received" and not examine(ledger)


def test_no_room_to_unpack_an_eraser_serves_nothing(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    switched_on(ledger, tmp_path / "a", 2)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(LedgerUnavailableError, match="cannot unpack"):
        ledger.active_folders()
    monkeypatch.undo()
    assert len(ledger.active_folders()[1]) == 1


def test_a_key_that_cannot_be_destroyed_is_told_and_destroyed_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stuck(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    with made(tmp_path) as ledger:
        request = received(ledger, 1)
        monkeypatch.setattr("pathlib.Path.unlink", stuck)
        with pytest.raises(LedgerUnavailableError, match="could not be destroyed"):
            ledger.revoke(request.id, BY)
        monkeypatch.undo()
        assert ledger.request(request.id).state == "revoked" and ledger.person(request.id) is None
    with opened(tmp_path) as ledger:
        assert not ledger.keys.records() and not examine(ledger)


def test_a_clock_that_jumps_is_told(ledger: Ledger, clock: Clock) -> None:
    request = received(ledger, 1)
    clock.now = clock.now.replace(year=2036)
    assert ledger.request(request.id).punctual(ledger.today) == "overdue"
    ledger.note("noted", BY)
    clock.now = clock.now.replace(year=2026)
    with pytest.raises(UnseeError, match="clock-was-ahead"):
        ledger.take("accept", request.id, BY)


def test_a_policy_broken_while_it_is_open_stops_decisions_and_not_reading(ledger: Ledger) -> None:
    request, path = received(ledger, 1), ledger.home / "policy.toml"
    text = path.read_text()
    path.write_text(text.replace("months = 1", "months = 0"))
    with pytest.raises(UnseeError, match="months"):
        ledger.take("accept", request.id, BY)
    assert ledger.request(request.id).state == "received" and examine(ledger)[0][0] == "fail"
    path.write_text(text)
    assert ledger.take("accept", request.id, BY).state == "accepted"


@pytest.mark.parametrize("damage", [
    "changes = '{' WHERE seq = 1", "changes = '[1]' WHERE seq = 2", "at = x'00' WHERE seq = 2", "why = 7 WHERE seq = 1",
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
        connection.execute("UPDATE log SET who = 'x'")
    assert kept.value, "while its traceback is still alive"


@pytest.mark.parametrize(
    "url",
    ["nonsense", "sqlite:///x.db", "postgresql+nothing://a:secret@b/c", "postgresql+nothing://b/c?password=secret@x"],
)
def test_a_database_that_is_none_is_told_without_its_password(tmp_path: Path, url: str) -> None:
    with pytest.raises(PolicyError, match="cannot be used") as refused:
        made(tmp_path, url=url)
    assert "secret" not in str(refused.value)


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises((SaveError, LedgerError)):
        made(tmp_path / "file")
