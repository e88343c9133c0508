"""Faults of a ledger, each made for real and each with what must come of it; used by the harness and by the tests.

A fault is a function of an empty folder. It raises `AssertionError` when the ledger does not meet it as it should, and
else returns what was found, in words. What this machine does not allow (mounting, strace) returns `NOT_MADE`.
"""

import errno
import fcntl
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import mock

from benchmarks.common import Row
from benchmarks.ledger_worker import BY, KEY, check, step, write_artifact

from unsee.errors import UnseeError
from unsee.ledger import Ledger, Request, SubjectKey
from unsee.ledger.audit import chained, genesis, rows
from unsee.ledger.errors import (
    AuditError,
    KeyFileError,
    LedgerError,
    LedgerUnavailableError,
    MissingArtifactError,
    SchemaError,
)
from unsee.ledger.keys import read_key
from unsee.ledger.schema import migrate, migrations
from unsee.ledger.signing import Head, HmacSigner

NOT_MADE = "not made: this machine does not allow it"
SIGNER = HmacSigner(b"\x02" * 32)
Fault = Callable[[Path], str]


def disk_full(folder: Path) -> str:
    """A small file system, filled up while requests come in; then room is made again."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return NOT_MADE
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], capture_output=True).returncode:
        return NOT_MADE
    try:
        with Ledger.create(folder / "ledger", KEY, BY) as ledger:
            request, ballast = ledger.add("subject", KEY, BY), folder / "ballast"
            _fill(ballast)
            texts = [_refused(LedgerUnavailableError, lambda: _add_for_ever(ledger))]
            with tempfile.TemporaryDirectory() as elsewhere:
                write_artifact(Path(elsewhere), 1, size=300_000)
                texts.append(
                    _refused(LedgerUnavailableError, lambda: ledger.attach(request.id, Path(elsewhere), check, BY))
                )
                before = len(ledger.requests())
                assert not ledger.examine().failures, ledger.examine().failures
                ballast.unlink()
                assert ledger.attach(request.id, Path(elsewhere), check, BY).state == "fitted", "room again, and no use"
        with Ledger(folder / "ledger") as ledger:
            assert len(ledger.requests()) == before and not ledger.examine().failures
    finally:
        subprocess.run(["umount", folder], check=True)
    return texts[0]


def read_only_folder(folder: Path) -> str:
    """A folder that this user may read and not write."""
    home, root = folder / "ledger", os.geteuid() == 0
    with Ledger.create(home, KEY, BY):
        pass
    with tempfile.TemporaryDirectory() as open_to_all:
        os.chmod(open_to_all, 0o755)
        copy = Path(open_to_all) / "ledger"
        shutil.copytree(home, copy)
        for path in (copy, *copy.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        try:
            if root:  # to whom rights mean nothing
                os.seteuid(65534)
            return _refused(LedgerUnavailableError, lambda: Ledger(copy, busy_seconds=0.1))
        finally:
            if root:
                os.seteuid(0)
            for path in (copy, *copy.rglob("*")):
                path.chmod(0o755)


def locked_by_sqlite(folder: Path) -> str:
    """Somebody holds the database with another program."""
    with (
        _lived(folder) as ledger,
        _short(ledger) as waiting,
        closing(sqlite3.connect(ledger.home / "ledger.db")) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        return _refused(LedgerUnavailableError, lambda: waiting.add("x", KEY, BY))


def locked_by_us(folder: Path) -> str:
    """Another process of unsee writes for longer than we wait."""
    with _lived(folder) as ledger, _short(ledger) as waiting, (ledger.home / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return _refused(LedgerUnavailableError, lambda: waiting.add("x", KEY, BY))


def no_locks(folder: Path) -> str:
    """A file system without locks, as some network ones."""

    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    with _lived(folder) as ledger, mock.patch("fcntl.flock", none):
        return _refused(LedgerUnavailableError, lambda: ledger.add("x", KEY, BY))


def clock_set_back(folder: Path) -> str:
    """The clock jumps back by a day: written down as it is, and the order of rows stays."""
    now = [datetime(2026, 5, 1, tzinfo=UTC)]
    with Ledger.create(folder / "ledger", KEY, BY, clock=lambda: now[0]) as ledger:
        ledger.add("first person", KEY, BY)
        now[0] -= timedelta(days=1)
        ledger.add("second person", KEY, BY)
        now[0] += timedelta(days=2)
        ledger.add("third person", KEY, BY)
        log, found = ledger.history(), ledger.examine()
    assert [row.seq for row in log] == [1, 2, 3, 4] and [row.at for row in log] == sorted(row.at for row in log)
    assert log[2].clock.startswith("2026-04-30") and log[2].at == log[1].at, "the clock was rewritten"
    assert not found.failures and len(found.remarks) == 1 and "row 3" in found.remarks[0].text, found.remarks
    return found.remarks[0].text


def row_altered(folder: Path) -> str:
    """One field of one row changed, every field in turn; the row is named each time."""
    texts = []
    changes = {
        "at": "'2027-01-01T00:00:00.000000Z'", "clock": "'2020-01-01T00:00:00.000000Z'", "request_id": "NULL",
        "event": "'fitted'", "state": "'active'", "who": "'nobody'", "why": "why || ' '", "legal_basis": "''",
        "scope": "'nothing'", "details": "'{}'", "prev": "hash", "hash": "lower(hex(zeroblob(32)))",
    }  # fmt: skip
    with _lived(folder) as ledger:
        pass
    for number, (column, value) in enumerate(changes.items()):
        copy = folder / f"copy{number}"
        shutil.copytree(ledger.home, copy)
        with _tampering(copy) as connection:
            connection.execute(f"UPDATE audit SET {column} = {value} WHERE seq = 3")
        texts.append(_named(copy, "row 3"))
    return texts[0]


def row_deleted(folder: Path) -> str:
    """A row taken out of the middle, and the last one."""
    texts = []
    with _lived(folder) as ledger:
        last = len(ledger.history())
    for seq in (4, last):
        copy = folder / f"copy{seq}"
        shutil.copytree(ledger.home, copy)
        with _tampering(copy) as connection:
            connection.execute("DELETE FROM audit WHERE seq = ?", (seq,))
        texts.append(_named(copy, f"row {seq} is missing"))
    return texts[0]


def rows_reordered(folder: Path) -> str:
    """Two rows change places."""
    with _lived(folder) as ledger:
        pass
    with _tampering(ledger.home) as connection:
        for old, new in ((3, -1), (5, 3), (-1, 5)):
            connection.execute("UPDATE audit SET seq = ? WHERE seq = ?", (new, old))
    return _named(ledger.home, "row 3 is what was written as row 5")


def chain_rewritten(folder: Path) -> str:
    """A row changed and every later hash computed anew: only a signed head shows it."""
    with _lived(folder) as ledger:
        ledger.sign(SIGNER)
    with _tampering(ledger.home) as connection:
        _rewrite(connection, ledger.id, "UPDATE audit SET who = 'nobody' WHERE seq = 3")
    return _named(ledger.home, "or one before it was rewritten")


def log_put_back(folder: Path) -> str:
    """An older copy in place of the ledger, its own heads with it: only a head that was kept elsewhere shows that."""
    with _lived(folder) as ledger:
        pass
    shutil.copytree(ledger.home, folder / "older")
    with Ledger(ledger.home) as newer:
        newer.add("later", KEY, BY)
        newer.sign(SIGNER).write(folder / "head.json")
    return _named(folder / "older", "is missing", Head.read(folder / "head.json"))


def head_forged(folder: Path) -> str:
    """A head whose hash was made to fit a rewritten log, without the key."""
    with _lived(folder) as ledger:
        head = ledger.sign(SIGNER)
    with _tampering(ledger.home) as connection:
        last = _rewrite(connection, ledger.id, "UPDATE audit SET who = 'nobody' WHERE seq = 3")
        connection.execute("UPDATE heads SET hash = ?", (last,))
    forged = replace(head, hash=last)
    assert "not this key's" in _refused(AuditError, lambda: forged.require_signed_by(SIGNER))
    return _named(ledger.home, "the signature is not that key's")


def tables_altered(folder: Path) -> str:
    """A request and an artifact changed past the log, and a trigger taken away."""
    texts = []
    with _lived(folder) as ledger:
        active = ledger.active().requests[0].id
    for number, (statement, expected) in enumerate(
        (
            (f"UPDATE requests SET state = 'revoked' WHERE id = '{active}'", f"request {active} was altered"),
            ('UPDATE artifacts SET files = \'{"README.md":"0"}\'', "is not what the log says"),
            ("DROP TRIGGER audit_keeps_rows", "'audit_keeps_rows' is not as made"),
        )
    ):
        copy = folder / f"copy{number}"
        shutil.copytree(ledger.home, copy)
        with _tampering(copy, keep_off=statement.removeprefix("DROP TRIGGER ")) as connection:
            connection.execute(statement.replace("DROP TRIGGER", "DROP TRIGGER IF EXISTS"))
        with Ledger(copy, mending=True) as opened:
            failures = opened.examine().failures
        assert any(expected in text for text in failures), failures
        texts.append(failures[0])
    return texts[0]


def sql_past_the_package(folder: Path) -> str:
    """What SQL alone may not do to a ledger, triggers in place."""
    forbidden = (
        "UPDATE audit SET who = 'nobody'",
        "DELETE FROM audit WHERE seq = 2",
        "INSERT OR REPLACE INTO audit SELECT * FROM audit WHERE seq = 2",
        "UPDATE requests SET state = 'revoked'",
        "UPDATE requests SET scope = 'all'",
        "DELETE FROM requests",
        "INSERT OR REPLACE INTO requests SELECT * FROM requests",
        "UPDATE meta SET value = ''",
        "DELETE FROM verifications",
    )
    with _lived(folder) as ledger:
        pass
    for statement in forbidden:
        with closing(sqlite3.connect(ledger.home / "ledger.db")) as connection:
            try:
                connection.execute(statement)
            except sqlite3.IntegrityError:
                continue
            raise AssertionError(f"SQLite let it happen: {statement}")
    return f"{len(forbidden)} statements refused by triggers"


def older_schema(folder: Path) -> str:
    """Ledgers of every older version open, migrate, keep their rows, and say so in the log."""
    for version in range(1, len(migrations())):
        home = folder / str(version)
        _write_version(home, version)
        with Ledger(home) as ledger:
            assert [r.scope for r in ledger.requests()] == ["nothing real"], "the request is gone"
            assert ledger.history()[-1].event == "migrated" and not ledger.examine().failures, ledger.examine()
            assert ledger.revoke(ledger.requests()[0].id, BY).state == "revoked"
    return f"versions 1 to {len(migrations()) - 1} migrated to {len(migrations())}"


def newer_schema(folder: Path) -> str:
    """A ledger of a version that this package does not know."""
    with _lived(folder) as ledger:
        pass
    with closing(sqlite3.connect(ledger.home / "ledger.db")) as connection:
        connection.execute(f"PRAGMA user_version = {len(migrations()) + 1}")
    before = (ledger.home / "ledger.db").read_bytes()
    text = _refused(SchemaError, lambda: Ledger(ledger.home))
    assert (ledger.home / "ledger.db").read_bytes() == before, "the newer ledger was changed"
    return text


def no_ledger(folder: Path) -> str:
    """Another program's database, a file of noise, half a file, and an empty one."""
    with _lived(folder) as ledger:
        pass
    whole = (ledger.home / "ledger.db").read_bytes()
    foreign = folder / "foreign.db"
    with closing(sqlite3.connect(foreign)) as connection:
        connection.execute("CREATE TABLE theirs (a)")
    texts = []
    for data in (foreign.read_bytes(), random.Random(0).randbytes(8192), whole[:100], whole[: len(whole) // 2], b""):
        (ledger.home / "ledger.db").write_bytes(data)
        texts.append(_refused(LedgerError, lambda: _used(ledger.home)))
    return texts[0]


def log_torn(folder: Path) -> str:
    """The write-ahead log cut at random bytes, as a disk does that did not sync: an older state, never a broken one."""
    rng, times = random.Random(0), 20
    with _lived(folder) as ledger:
        home, count = ledger.home, len(ledger.history())
        shutil.copytree(home, folder / "copy")  # while it is open, the log has not been written back
    size = (folder / "copy" / "ledger.db-wal").stat().st_size
    for number in range(times):
        torn = folder / str(number)
        shutil.copytree(folder / "copy", torn)
        os.truncate(torn / "ledger.db-wal", rng.randrange(size))
        (torn / "ledger.db-shm").unlink(missing_ok=True)
        try:
            with Ledger(torn) as opened:
                found = opened.examine()
                assert not found.failures and found.rows <= count + 1, found
        except LedgerError as error:  # cut before its first row was written
            assert "ledger was never finished" in str(error) or "no ledger" in str(error), error
    return f"{times} cuts, each an older sound state"


def files_gone(folder: Path) -> str:
    """The files of an active request are lost: nothing is served, and they can be put back."""
    with _lived(folder) as ledger:
        request, home = ledger.active().requests[0], ledger.home
        place = ledger.files.place_of(request.artifact.content_id)
        shutil.copytree(place, folder / "backup")
    shutil.rmtree(place)
    text = _refused(MissingArtifactError, lambda: Ledger(home))
    assert request.id in text, text
    with Ledger(home, mending=True) as ledger:
        assert request.id in _refused(MissingArtifactError, ledger.active_folders)
        ledger.attach(request.id, folder / "backup", check, BY)
    with Ledger(home) as ledger:
        assert ledger.active_folders()[1] == [place] and not ledger.examine().failures
    return text


def keys(folder: Path) -> str:
    """A key that is not given, missing, short, no hexadecimal, inside the ledger, or another one."""
    with _lived(folder) as ledger:
        texts = [_refused(KeyFileError, lambda: read_key(None, "subject", ledger.home))]
        for name, text in (("missing", None), ("short", "ab" * 31), ("strange", "xyz")):
            path = folder / name
            if text is not None:
                path.write_text(text)
            texts.append(_refused(KeyFileError, lambda path=path: read_key(path, "subject", ledger.home)))
        inside = ledger.home / "key"
        inside.write_text("ab" * 32)
        texts.append(_refused(KeyFileError, lambda: read_key(inside, "subject", ledger.home)))
        texts.append(_refused(KeyFileError, lambda: ledger.add("x", SubjectKey(b"\x03" * 32), BY)))
    assert not any("ab" * 16 in text for text in texts), "a message shows a key"
    return texts[0]


def order_of_syncs(folder: Path) -> str:
    """What the system is asked for, before an attached artifact is acknowledged: files, folders, then the database."""
    if shutil.which("strace") is None:
        return NOT_MADE
    folder.mkdir()
    trace = folder / "trace"
    code = (
        "import sys; from pathlib import Path; from benchmarks.ledger_worker import *\n"
        "home = Path(sys.argv[1]); ledger = Ledger.create(home / 'ledger', KEY, BY)\n"
        "request = step(ledger, None, home / 'a', 1); print('BEGIN', flush=True)\n"
        "step(ledger, request, home / 'a', 1); print('ACKNOWLEDGED', flush=True)\n"
    )
    calls = "trace=fsync,fdatasync,rename,renameat,renameat2,write"
    done = subprocess.run(
        ["strace", "-f", "-y", "-e", calls, "-o", trace, sys.executable, "-c", code, folder],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[1],
    )
    if "ptrace" in done.stderr or not trace.exists():
        return NOT_MADE
    lines = trace.read_text(errors="replace").splitlines()
    begin, end = (next(i for i, line in enumerate(lines) if word in line) for word in ("BEGIN", "ACKNOWLEDGED"))
    seen = [line for line in lines[begin:end] if "sync(" in line or "rename" in line]
    expected = (
        "eraser.safetensors>",
        "README.md>",
        ".staging>",
        "rename",
        "/artifacts>",
        "-wal>",
    )
    at = -1
    for word in expected:
        found = next((i for i, line in enumerate(seen) if i > at and word in line), None)
        assert found is not None, f"no {word} after line {at} of {seen}"
        at = found
    return f"{len(seen)} calls before the answer, in order: files, folder, rename, folder, database log"


FAULTS: dict[str, Fault] = {
    "disk full": disk_full,
    "folder read-only": read_only_folder,
    "database locked by another program": locked_by_sqlite,
    "ledger locked by another process": locked_by_us,
    "file system without locks": no_locks,
    "clock set back": clock_set_back,
    "log row altered (12 fields)": row_altered,
    "log row deleted": row_deleted,
    "log rows reordered": rows_reordered,
    "log rewritten, hashes too": chain_rewritten,
    "log put back to an older one": log_put_back,
    "signed head forged": head_forged,
    "tables altered past the log": tables_altered,
    "SQL past the package": sql_past_the_package,
    "older schema": older_schema,
    "newer schema": newer_schema,
    "no ledger, or a damaged one": no_ledger,
    "write-ahead log torn": log_torn,
    "files of an active request gone": files_gone,
    "keys": keys,
    "order of syncs": order_of_syncs,
}


def faults(folder: Path) -> list[Row]:
    """Make every fault once; one row each."""
    made = []
    for number, (name, fault) in enumerate(FAULTS.items()):
        try:
            found, good = fault(folder / str(number)), True
        except (AssertionError, UnseeError, OSError, sqlite3.Error) as error:
            found, good = f"{type(error).__name__}: {error}", False
        made.append({"fault": name, "times": 0 if found == NOT_MADE else 1, "good": good, "found": found})
    return made


@contextmanager
def _lived(folder: Path) -> Iterator[Ledger]:
    """A ledger with a request in every state."""
    folder.mkdir(exist_ok=True)
    with Ledger.create(folder / "ledger", KEY, BY) as ledger:
        for steps in range(1, 6):
            request: Request | None = None
            for _ in range(steps):
                request = step(ledger, request, folder / "scratch", steps)
        yield ledger


def _short(ledger: Ledger) -> Ledger:
    """The same ledger, opened by somebody with little patience; opened before the fault is made."""
    return Ledger(ledger.home, busy_seconds=0.1)


def _refused(kind: type[UnseeError], run: Callable[[], object]) -> str:
    try:
        run()
    except kind as error:
        return str(error)
    raise AssertionError(f"{kind.__name__} was expected, and nothing was raised")


def _named(home: Path, expected: str, head: Head | None = None) -> str:
    with Ledger(home, mending=True) as ledger:
        text = _refused(AuditError, ledger.examine(SIGNER, head).require)
    assert expected in text, f"{expected!r} is not named: {text}"
    return text


@contextmanager
def _tampering(home: Path, *, keep_off: str = "") -> Iterator[sqlite3.Connection]:
    """The database with its triggers taken off, and put back afterwards as if nothing had been, but for one."""
    with closing(sqlite3.connect(home / "ledger.db", isolation_level=None)) as connection:
        triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        connection.execute("PRAGMA ignore_check_constraints = ON")
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        yield connection
        for name, sql in triggers:
            if name != keep_off:
                connection.execute(sql)


def _rewrite(connection: sqlite3.Connection, ledger_id: str, statement: str) -> str:
    """Change something and compute the whole chain anew, as who has the file can; returns the newest hash."""
    connection.execute(statement)
    prev = genesis(ledger_id)
    for row in list(rows(connection)):
        fresh = chained(prev, vars(row))
        connection.execute("UPDATE audit SET prev = ?, hash = ? WHERE seq = ?", (prev, fresh, row.seq))
        prev = fresh
    return prev


def _write_version(home: Path, version: int) -> None:
    """A ledger with one request as an unsee of that schema version would have written it."""
    with Ledger.create(home, KEY, BY) as ledger:
        ledger.add("subject", KEY, BY)
    with closing(sqlite3.connect(home / "ledger.db", isolation_level=None)) as new:
        kept = {t: new.execute(f"SELECT * FROM {t}").fetchall() for t in ("meta", "audit", "requests")}
    for path in home.glob("ledger.db*"):
        path.unlink()
    with closing(sqlite3.connect(home / "ledger.db", isolation_level=None)) as old:
        old.execute("BEGIN")
        migrate(old, version)
        old.executemany("INSERT INTO meta VALUES (?, ?)", kept["meta"])
        for row in kept["audit"]:
            old.execute(f"INSERT INTO audit VALUES ({', '.join('?' * len(row))})", row)
            for request in kept["requests"]:
                if request[-1] == row[0]:
                    old.execute(f"INSERT INTO requests VALUES ({', '.join('?' * len(request))})", request)
        old.execute("COMMIT")


def _used(home: Path) -> None:
    with Ledger(home) as ledger:
        ledger.examine().require()


def _add_for_ever(ledger: Ledger) -> None:
    for number in range(100_000):
        ledger.add(f"{number}", KEY, BY)


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError as error:
            assert error.errno == errno.ENOSPC, error
    os.truncate(path, max(0, path.stat().st_size - 65536))
