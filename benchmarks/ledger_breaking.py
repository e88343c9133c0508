"""Faults of a ledger, each made for real and each with what must come of it; used by the harness and by the tests.

A fault is a function of an empty folder. It raises `AssertionError` when the ledger does not meet it as it should, and
else returns what was found, in words. What this machine does not allow (mounting, strace) returns `NOT_MADE`.
"""

import errno
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.common import Row
from benchmarks.ledger_worker import BY, HERE, check, made, opened, received, step, write_artifact

from unsee.errors import UnseeError
from unsee.ledger import Keys, Ledger, Request
from unsee.ledger.documents import head, require_head
from unsee.ledger.errors import (
    AuditError,
    KeyFileError,
    LedgerError,
    LedgerUnavailableError,
    LifeCycleError,
    MissingArtifactError,
)
from unsee.ledger.examination import examine
from unsee.ledger.holding import attach
from unsee.ledger.keys import SEEN
from unsee.ledger.log import CLOCK_AHEAD, chained
from unsee.ledger.request import EDITION

NOT_MADE = "not made: this machine does not allow it"
Fault = Callable[[Path], str]


def disk_full(folder: Path) -> str:
    """A small file system, filled up while requests come in; then room is made again."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return NOT_MADE
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", folder], capture_output=True).returncode:
        return NOT_MADE
    try:
        with tempfile.TemporaryDirectory() as elsewhere, made(folder) as ledger:
            request, ballast = ledger.take("accept", received(ledger, 0).id, BY), folder / "ballast"
            _fill(ballast)
            texts = [_refused((LedgerUnavailableError, OSError), lambda: _add_for_ever(ledger))]
            write_artifact(Path(elsewhere), 1, size=300_000)
            _refused((LedgerUnavailableError, OSError), lambda: attach(ledger, request.id, elsewhere, check, BY))
            before = len(ledger.requests())
            assert not examine(ledger), examine(ledger)
            ballast.unlink()
            assert attach(ledger, request.id, elsewhere, check, BY).state == "fitted", "room again, and no use"
        with opened(folder) as ledger:
            assert len(ledger.requests()) == before and not examine(ledger)
    finally:
        subprocess.run(["umount", folder], check=True)
    return texts[0]


def read_only_folder(folder: Path) -> str:
    """A folder that this user may read and not write: it is read, as a server does, and not written."""
    with _lived(folder):
        pass
    root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as open_to_all:
        os.chmod(open_to_all, 0o755)
        copy = Path(open_to_all) / "all"
        shutil.copytree(folder, copy)
        for path in (copy, *copy.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        try:
            if root:  # to whom rights mean nothing
                os.seteuid(65534)
            with Ledger(copy / "ledger") as reader:
                assert len(reader.active_folders()[1]) == 2
            return _refused((LedgerUnavailableError, OSError), lambda: received(opened(copy, busy_seconds=0.1), 1))
        finally:
            if root:
                os.seteuid(0)
            for path in (copy, *copy.rglob("*")):
                path.chmod(0o755)


def locked(folder: Path) -> str:
    """Somebody else writes for longer than we wait, with unsee or another program."""
    with (
        _lived(folder) as ledger,
        opened(folder, busy_seconds=0.1) as waiting,
        closing(sqlite3.connect(ledger.home / "ledger.db")) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        return _refused(LedgerUnavailableError, lambda: received(waiting, 9))


def clock_set_back(folder: Path) -> str:
    """By minutes: written down as it is. By a day: refused, until somebody says that it had run ahead before."""
    now = [datetime(2026, 5, 1, tzinfo=UTC)]
    with made(folder, clock=lambda: now[0]) as ledger:
        received(ledger, 1)
        now[0] -= timedelta(minutes=5)
        received(ledger, 2)
        now[0] -= timedelta(days=1)
        text = _refused(LifeCycleError, lambda: received(ledger, 3))
        ledger.note(CLOCK_AHEAD, BY)
        received(ledger, 4)
        log = ledger.history()
        assert log[2].at < log[1].at and log[3].step == CLOCK_AHEAD and not examine(ledger)
    return text


def row_altered(folder: Path) -> str:
    """One field of one row changed, every field in turn; the row is named each time."""
    changes = {
        "at": "'2027-01-01T00:00:00.000000Z'", "record": "NULL", "step": "'fit'", "who": "'nobody'",
        "why": "'to see'", "rests_on": "'a law'", "changes": "json('{}')", "hash": "",
    }  # fmt: skip
    with _lived(folder):
        pass
    texts = []
    for column, value in changes.items():
        with _copy(folder, column) as copy, _tampering(copy) as connection:
            change = f"body = json_set(body, '$.{column}', {value})" if value else "hash = lower(hex(zeroblob(32)))"
            connection.execute(f"UPDATE log SET {change} WHERE seq = 3")
        texts.append(_names(copy, "row 3 of the log is not what was written"))
    return texts[0]


def row_deleted(folder: Path) -> str:
    """A row taken out of the middle, and the last one, which the keys have seen."""
    with _lived(folder) as ledger:
        last = len(ledger.history())
    for seq, text in ((4, "row 4 of the log"), (last, f"row {last} of the log, which was seen before, is missing")):
        with _copy(folder, str(seq)) as copy, _tampering(copy) as connection:
            connection.execute("DELETE FROM log WHERE seq = ?", (seq,))
        found = _names(copy, text)
    return found


def rows_reordered(folder: Path) -> str:
    """Two rows change places."""
    with _lived(folder):
        pass
    with _tampering(folder) as connection:
        for old, new in ((3, -1), (5, 3), (-1, 5)):
            connection.execute("UPDATE log SET seq = ? WHERE seq = ?", (new, old))
    return _names(folder, "row 3 of the log")


def chain_rewritten(folder: Path) -> str:
    """A row changed and every later hash computed again: the keys have seen another, and so has a head."""
    with _lived(folder) as ledger:
        kept = head(ledger)
    with _tampering(folder) as connection:
        _rewrite(connection, "UPDATE log SET body = json_set(body, '$.who', 'nobody') WHERE seq = 3")
    text = _names(folder, "which was seen before, is another")
    (folder / "keys" / SEEN).unlink()
    with opened(folder) as ledger:
        _refused(AuditError, lambda: require_head(ledger, kept, ledger.public_key))
    return text


def log_put_back(folder: Path) -> str:
    """An older copy in place of the ledger, at the opening and while it is open."""
    with _lived(folder) as ledger:
        older = (ledger.home / "ledger.db").read_bytes()
    with opened(folder) as ledger, Ledger(ledger.home) as reader:
        received(ledger, 77)
        kept = head(ledger)
        assert reader.head().seq == kept["seq"]
        (ledger.home / "ledger.db").write_bytes(older)
        _refused(AuditError, reader.head)
    text = _names(folder, "which was seen before, is missing")
    with Ledger(folder / "ledger") as reader:  # it has seen nothing; the head has
        _refused(AuditError, lambda: require_head(reader, kept, reader.public_key))
    return text


def head_forged(folder: Path) -> str:
    """A head made to fit a rewritten log, without the key; and one that another key signed."""
    with _lived(folder) as ledger:
        kept = head(ledger)
        forged = {**kept, "hash": "0" * 64}
        text = _refused(AuditError, lambda: require_head(ledger, forged, ledger.public_key))
    with _lived(folder / "theirs") as theirs:
        strange = head(theirs)
    _refused(AuditError, lambda: require_head(ledger, strange, ledger.public_key))
    return text


def sql_past_the_package(folder: Path) -> str:
    """Rows that SQL adds, replaces or deletes are refused at the next opening; a strange trigger is told."""
    with _lived(folder) as ledger:
        last = len(ledger.history())
    for statement in (
        "INSERT OR REPLACE INTO log SELECT 3, body, hash FROM log WHERE seq = 2",
        f"INSERT INTO log SELECT {last + 1}, body, hash FROM log WHERE seq = 2",
        "UPDATE log SET body = '{}' WHERE seq = 1",
        "DELETE FROM log",
    ):
        with _copy(folder, str(len(statement))) as copy, _tampering(copy) as connection:
            connection.execute(statement)
        text = _refused(LedgerError, lambda copy=copy: opened(copy))
    with _tampering(folder) as connection:
        connection.execute("CREATE TRIGGER theirs AFTER INSERT ON log BEGIN DELETE FROM vault; END")
        connection.execute("ALTER TABLE files ADD COLUMN theirs TEXT")
    with opened(folder) as ledger:
        told = set(examine(ledger))
        assert {"table 'files' is not as it was made", "trigger theirs is none of the ledger's"} <= told, told
    return text


def vault_altered(folder: Path) -> str:
    """An entry of the vault changed, moved to another record, or its key lost: told, and never read as another."""
    with _lived(folder) as ledger:
        one, other = [r.id for r in ledger.requests() if not r.ended][:2]
    for statement in (
        f"UPDATE vault SET body = CAST(substr(body, 1, 20) || x'00' AS BLOB) WHERE record = '{one}'",
        f"UPDATE vault SET body = (SELECT body FROM vault WHERE record = '{other}' LIMIT 1) WHERE record = '{one}'",
        f"UPDATE vault SET body = (SELECT body FROM vault WHERE record = '{one}' AND part = 'names') "
        f"WHERE record = '{one}'",
    ):
        with _copy(folder, str(len(statement))) as copy, _tampering(copy) as connection:
            connection.execute(statement)
        with opened(copy) as ledger:
            assert any(one in told for told in examine(ledger))
            text = _refused(KeyFileError, lambda ledger=ledger: ledger.person(one))
    (folder / "keys" / "records" / f"{one}.key").unlink()
    return text + _refused(KeyFileError, lambda: opened(folder).person(one))[:0]


def other_schema(folder: Path) -> str:
    """A ledger of an edition that this package does not know, older or newer."""
    with _lived(folder):
        pass
    for edition in (EDITION - 1, EDITION + 1):
        with _copy(folder, str(edition)) as copy, _tampering(copy) as connection:
            _rewrite(connection, f"UPDATE log SET body = json_set(body, '$.changes.edition', {edition}) WHERE seq = 1")
        before = (copy / "ledger" / "ledger.db").read_bytes()
        text = _refused(LedgerError, lambda copy=copy: opened(copy))
        assert (copy / "ledger" / "ledger.db").read_bytes() == before, "the ledger was changed"
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
        texts.append(_refused(LedgerError, lambda: opened(folder)))
    return texts[0]


def journal_torn(folder: Path) -> str:
    """The rollback journal of a killed writer, whole, and cut at random: rolled back, refused, or told."""
    rng, times = random.Random(0), 20
    with _lived(folder) as ledger:
        count, home = len(ledger.history()), ledger.home
    code = (
        "import os, sys; from pathlib import Path; from benchmarks.ledger_worker import *\n"
        "ledger = opened(Path(sys.argv[1]))\n"
        "with ledger.writing() as (connection, _):\n"
        "    connection.exec_driver_sql('PRAGMA cache_size = 1')\n"
        "    for n in range(40): ledger.write(connection, BY, 'noted', None, {'x': 'y' * 3000})\n"
        "    os._exit(9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, folder], cwd=Path(__file__).parents[1], env=HERE, check=False)
    journal = home / "ledger.db-journal"
    assert done.returncode == 9 and journal.stat().st_size > 0, "no hot journal was left"
    size = journal.stat().st_size
    for number in range(times):
        with _copy(folder, f"torn{number}") as copy:
            # What was synced before the database was touched is whole; a disk tears what came after.
            os.truncate(copy / "ledger" / journal.name, size if number == 0 else rng.randrange(size // 2, size))
        try:
            with opened(copy) as found:
                told = examine(found)
                assert len(found.history()) == count, "opened, and not what was committed"
                assert number > 0 or not told, told  # a journal that lost what was synced is damage, and told
        except (LedgerError, UnseeError) as error:
            assert number > 0 and isinstance(error, LedgerError), error
    with opened(folder) as ledger:
        assert len(ledger.history()) == count
    return f"a hot journal rolled back to {count} rows; {times - 1} cuts of it, each sound, refused or told"


def files_gone(folder: Path) -> str:
    """The files of an active request are lost: nothing is served, and they can be put back."""
    with _lived(folder) as ledger:
        request, artifact = next(iter(ledger.active().requests.items()))
        shutil.copytree(ledger.folder(artifact), folder / "backup")
    with _tampering(folder) as connection:
        connection.execute("DELETE FROM files WHERE content_id = ?", (artifact.content_id,))
    with opened(folder) as ledger:
        text = _refused(MissingArtifactError, ledger.active_folders)
        assert any(request in told for told in examine(ledger)), text
        attach(ledger, request, folder / "backup", check, BY)
        assert len(ledger.active_folders()[1]) == 2 and not examine(ledger)
    return text


def keys(folder: Path) -> str:
    """Keys that are missing, damaged, inside the ledger, another ledger's, or none to write with."""
    with _lived(folder) as ledger:
        home = ledger.home
    with _lived(folder / "theirs"):
        pass
    texts = [_refused(KeyFileError, lambda: Ledger(home, Keys(folder / "theirs" / "keys", home)))]
    texts.append(_refused(KeyFileError, lambda: Keys.make(home / "keys", home)))
    texts.append(_refused(KeyFileError, lambda: Keys.make(folder, home)))
    with Ledger(home) as reader:
        texts.append(_refused(KeyFileError, lambda: received(reader, 1)))
    secret = (folder / "keys" / "sign.key").read_text()
    for damaged in (None, secret[:60], "xyz", "00" * 32, secret.replace(secret[60:64], "AAAA")):
        (folder / "keys" / "sign.key").unlink()
        if damaged is not None:
            (folder / "keys" / "sign.key").write_text(damaged)
        texts.append(_refused(KeyFileError, lambda: opened(folder)))
        (folder / "keys" / "sign.key").write_text(secret)
    assert not any(secret[60:80] in text for text in texts), "a message shows a key"
    return texts[0]


def order_of_syncs(folder: Path) -> str:
    """What the system is asked for, before an attached artifact is acknowledged: journal, folder, then the database."""
    if shutil.which("strace") is None:
        return NOT_MADE
    folder.mkdir()
    trace = folder / "trace"
    code = (
        "import sys; from pathlib import Path; from benchmarks.ledger_worker import *\n"
        "home = Path(sys.argv[1]); ledger = made(home); request = received(ledger, 1)\n"
        "request = step(ledger, request, home / 'a', 1); print('BEGIN', flush=True)\n"
        "step(ledger, request, home / 'a', 1); print('ACKNOWLEDGED', flush=True)\n"
    )
    calls = "trace=fsync,fdatasync,rename,renameat,renameat2,write"
    done = subprocess.run(
        ["strace", "-f", "-y", "-e", calls, "-o", trace, sys.executable, "-c", code, folder],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[1],
        env=HERE,
    )
    if "ptrace" in done.stderr or not trace.exists():
        return NOT_MADE
    lines = trace.read_text(errors="replace").splitlines()
    begin, end = (next(i for i, line in enumerate(lines) if word in line) for word in ("BEGIN", "ACKNOWLEDGED"))
    seen = [line for line in lines[begin:end] if "sync(" in line or "rename" in line]
    expected = ("-journal>", "/ledger>", "ledger.db>")
    at = -1
    for word in expected:
        found = next((i for i, line in enumerate(seen) if i > at and word in line), None)
        assert found is not None, f"no {word} after line {at} of {seen}"
        at = found
    return f"{len(seen)} calls before the answer, in order: rollback journal, its folder, database"


FAULTS: dict[str, Fault] = {
    "disk full": disk_full,
    "folder read-only": read_only_folder,
    "database locked": locked,
    "clock set back": clock_set_back,
    "log row altered (8 fields)": row_altered,
    "log row deleted": row_deleted,
    "log rows reordered": rows_reordered,
    "log rewritten, hashes too": chain_rewritten,
    "log put back to an older one": log_put_back,
    "signed head forged": head_forged,
    "SQL past the package": sql_past_the_package,
    "vault altered": vault_altered,
    "other schema": other_schema,
    "no ledger, or a damaged one": no_ledger,
    "rollback journal torn": journal_torn,
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
    """A ledger with a request in every state, two of them in force."""
    folder.mkdir(exist_ok=True)
    with made(folder) as ledger:
        for steps in range(1, 8):
            request: Request | None = None
            for _ in range(steps):
                request = step(ledger, request, folder / "scratch", 2 * steps + (steps >= 6))
        yield ledger


@contextmanager
def _copy(folder: Path, name: str) -> Iterator[Path]:
    """Ledger and keys once more."""
    copy = folder / f"copy-{name.strip()}"
    for part in ("ledger", "keys"):
        shutil.copytree(folder / part, copy / part)
    yield copy


def _refused(kind: type[Exception] | tuple[type[Exception], ...], run: Callable[[], object]) -> str:
    try:
        run()
    except kind as error:
        return str(error)
    raise AssertionError(f"{kind} was expected, and nothing was raised")


def _names(folder: Path, expected: str) -> str:
    text = _refused(AuditError, lambda: opened(folder))
    assert expected in text, f"{expected!r} is not named: {text}"
    return text


@contextmanager
def _tampering(folder: Path) -> Iterator[sqlite3.Connection]:
    """The database, past the package."""
    with closing(sqlite3.connect(folder / "ledger" / "ledger.db", isolation_level=None)) as connection:
        yield connection


def _rewrite(connection: sqlite3.Connection, statement: str) -> None:
    """Change something and compute the whole chain again, as who has the file can."""
    connection.execute(statement)
    connection.row_factory, prev = sqlite3.Row, ""
    for row in connection.execute("SELECT * FROM log ORDER BY seq").fetchall():
        prev = chained(prev, row["body"])
        connection.execute("UPDATE log SET hash = ? WHERE seq = ?", (prev, row["seq"]))


def _add_for_ever(ledger: Ledger) -> None:
    for number in range(100_000):
        received(ledger, number)


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError as error:
            assert error.errno == errno.ENOSPC, error
    os.truncate(path, max(0, path.stat().st_size - 65536))
