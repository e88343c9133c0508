"""Whether a ledger is what was written: the log row by row, the tables against it, files, schema and signatures."""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, final

from unsee.ledger import tables
from unsee.ledger.artifacts import ArtifactFolder
from unsee.ledger.audit import AuditRow, chained, genesis, rows
from unsee.ledger.errors import AuditError, MissingArtifactError
from unsee.ledger.framing import canonical
from unsee.ledger.schema import differences
from unsee.ledger.signing import Head, Signer

Severity = Literal["fail", "warn"]


@final
@dataclass(frozen=True)
class Remark:
    """Something found: what is broken, or what a reader of the log should know."""

    severity: Severity
    text: str


@final
@dataclass(frozen=True)
class Examination:
    """What was found, in the order of looking: the first remark that fails names the first thing at fault.

    Attributes:
        remarks: empty where all is as written and nothing needs to be said.
        rows: of the log.
        head: hash of the newest row.
        signatures: signed heads whose signature was checked.
    """

    remarks: tuple[Remark, ...]
    rows: int
    head: str
    signatures: int

    @property
    def failures(self) -> list[str]:
        """What is broken."""
        return [remark.text for remark in self.remarks if remark.severity == "fail"]

    def require(self) -> None:
        """Refuse a ledger that is not what was written.

        Raises:
            AuditError: the first thing at fault, and how many others there are.
        """
        if self.failures:
            more = f" ({len(self.failures) - 1} more finding(s) follow.)" if len(self.failures) > 1 else ""
            raise AuditError(
                f"{self.failures[0]}{more} Do not use this ledger as evidence: compare it with a backup and with the "
                "signed heads that were taken elsewhere."
            )


def examine(
    connection: sqlite3.Connection, files: ArtifactFolder, signer: Signer | None, head: Head | None
) -> Examination:
    """Look at everything, inside the caller's transaction.

    Args:
        connection: of the ledger.
        files: its artifacts; every byte is read.
        signer: checks signatures of heads; without it they are compared with the log only.
        head: a head that was taken elsewhere: shows a log that was cut or put back to an older state.
    """
    ledger_id = tables.meta(connection)["ledger_id"]
    log = list(rows(connection))
    chain = [*_chain(log, ledger_id), *_tail(connection, log)]
    remarks = [*chain]
    signed = tables.heads(connection, ledger_id) + ([head] if head is not None else [])
    checked = 0
    for one in signed:
        found, good = _head(one, log, ledger_id, signer)
        remarks += found
        checked += good
    remarks += [_fail(f"SQLite's integrity check: {line}.") for line in _integrity(connection)]
    remarks += [_fail(f"the table or trigger {name!r} is not as made.") for name in differences(connection)]
    if any(remark.severity == "fail" for remark in chain):
        remarks.append(Remark("warn", "the tables were not compared with the log, which is broken."))
    else:
        remarks += _replayed(connection, log)
    remarks += _files(connection, files)
    return Examination(tuple(remarks), len(log), log[-1].hash if log else "", checked)


def _chain(log: list[AuditRow], ledger_id: str) -> Iterable[Remark]:
    """The first row at fault, and no other: after a break every later hash only repeats it."""
    behind = [
        Remark("warn", f"row {row.seq} ({row.event}): the clock said {row.clock}, {row.clock_behind:.0f} s before row "
               f"{row.seq - 1}; the order of rows is that of their numbers.")
        for row in log
        if row.clock_behind > 0
    ]  # fmt: skip
    before, at, seq = genesis(ledger_id), "", 0
    for row in log:
        if row.seq != seq + 1:
            gone = f"row {seq + 1} is" if row.seq == seq + 2 else f"rows {seq + 1} to {row.seq - 1} are"
            return [*behind, _fail(f"audit: {gone} missing: deleted, or moved.")]
        if row.hash != chained(row.prev, vars(row)):
            return [*behind, _fail(_altered(row, len(log)))]
        if row.prev != before:
            return [*behind, _fail(f"audit: row {row.seq} does not follow row {seq}: rows were replaced or moved.")]
        if row.at < at or row.at != max(row.clock, at):
            return [*behind, _fail(f"audit: row {row.seq} has time {row.at}, before row {seq}'s {at}, or not its own.")]
        before, at, seq = row.hash, row.at, row.seq
    return behind


def _altered(row: AuditRow, count: int) -> str:
    for other in range(1, count + 2):
        if other != row.seq and row.hash == chained(row.prev, vars(row), seq=other):
            return f"audit: row {row.seq} is what was written as row {other}: rows were reordered."
    return f"audit: row {row.seq} ({row.event}) was altered: its fields do not give its hash."


def _tail(connection: sqlite3.Connection, log: list[AuditRow]) -> list[Remark]:
    """SQLite remembers the highest number it ever gave, also when its row is gone."""
    found = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'audit'").fetchone()
    highest, last = (0 if found is None else int(found[0])), (log[-1].seq if log else 0)
    if highest == last and last > 0:
        return []
    return [_fail(f"audit: row {last + 1} is missing: the log ends at row {last}, but row {highest} was written.")]


def _head(head: Head, log: list[AuditRow], ledger_id: str, signer: Signer | None) -> tuple[list[Remark], bool]:
    name = f"the head of row {head.seq}, signed {head.signed}"
    if head.ledger_id != ledger_id:
        return [_fail(f"{name}, is of another ledger, {head.ledger_id}.")], False
    row = next((row for row in log if row.seq == head.seq), None)
    if row is None:
        return [_fail(f"audit: row {head.seq} is missing: {name}, but the log ends at row {len(log)}.")], False
    if row.hash != head.hash:
        return [_fail(f"audit: row {head.seq} or one before it was rewritten: {name}, has another hash.")], False
    if signer is None or (signer.algorithm, signer.key_id) != (head.algorithm, head.key_id):
        return [Remark("warn", f"{name} with {head.algorithm} key {head.key_id}, was not checked: no key.")], False
    if not signer.verifies(head.message, head.signature):
        return [_fail(f"{name}: the signature is not that key's.")], False
    return [], True


def _replayed(connection: sqlite3.Connection, log: list[AuditRow]) -> list[Remark]:
    """What the log says each request and artifact is now, against the tables."""
    expected: dict[str, dict[str, object]] = {}
    stored: dict[str, tuple[str, object]] = {}
    purged: dict[str, int] = {}
    for row in log:
        said = row.said if row.event in ("received", "fitted", "restored", "purged") else {}
        if row.event == "purged":
            purged[said["content_id"]] = row.seq
        if row.event in ("fitted", "restored"):
            stored[said["content_id"]] = (canonical(said["files"]), canonical(said["about"]))
            purged.pop(said["content_id"], None)
        if row.request_id is None or row.state is None:
            continue
        mine = expected.setdefault(row.request_id, {"content_id": None, "state": None})
        if row.event == "received":
            mine |= {"subject": said["subject"], "received": row.at, "legal_basis": row.legal_basis, "scope": row.scope}
        if row.event == "fitted":
            mine |= {"content_id": said["content_id"]}
        if row.event in ("received", "fitted") or row.state != mine["state"]:
            mine |= {"state": row.state, "changed": row.at, "audit_seq": row.seq}
    found = {request.id: request for request in tables.requests_where(connection)}
    remarks = [_fail(f"request {name} is in the log and not in the table.") for name in expected.keys() - found.keys()]
    remarks += [_fail(f"request {name} is in the table and not in the log.") for name in found.keys() - expected.keys()]
    for name in sorted(expected.keys() & found.keys()):
        wrong = [k for k, v in expected[name].items() if getattr(found[name], k) != v]
        if wrong:
            what = ", ".join(f"{k} {getattr(found[name], k)!r} (log: {expected[name][k]!r})" for k in wrong)
            remarks.append(_fail(f"request {name} was altered outside the life cycle: {what}."))
    rows_found = {a.content_id: a for a in tables.artifacts(connection)}
    for content_id in sorted(stored.keys() | rows_found.keys()):
        row, logged = rows_found.get(content_id), stored.get(content_id)
        is_now = None if row is None else (canonical(dict(row.files)), canonical(dict(row.about)))
        if is_now != logged or (row is not None and row.purged != purged.get(content_id)):
            remarks.append(_fail(f"artifact {content_id[:19]}... is not what the log says of it."))
    return remarks


def _files(connection: sqlite3.Connection, files: ArtifactFolder) -> list[Remark]:
    remarks, kept = [], [a for a in tables.artifacts(connection) if a.purged is None]
    for artifact in kept:
        holder = tables.holder_of(connection, artifact.content_id) or "(revoked)"
        try:
            files.require(holder, artifact.content_id, artifact.files)
        except MissingArtifactError as error:
            remarks.append(_fail(str(error)))
    for name in files.orphans([a.content_id for a in kept]):
        remarks.append(_fail(f"files: {name} is named by no row; opening the ledger again sweeps it."))
    for name in files.strangers():
        remarks.append(Remark("warn", f"files: {name!r} in the artifact folder is not the ledger's; it is left alone."))
    return remarks


def _integrity(connection: sqlite3.Connection) -> list[str]:
    found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(10)")]
    broken = [f"row {row[1]} of {row[0]} refers to nothing" for row in connection.execute("PRAGMA foreign_key_check")]
    return [line for line in found if line != "ok"] + broken


def _fail(text: str) -> Remark:
    return Remark("fail", text)
