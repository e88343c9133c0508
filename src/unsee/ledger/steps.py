"""The steps of a request's life, each inside a transaction that its caller has opened and that is alone."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from sqlite3 import Connection
from typing import Any, final

from unsee.errors import ArtifactError, OptionError
from unsee.ledger import audit, tables
from unsee.ledger.active import ActiveSet, active_set, require_one_model
from unsee.ledger.artifacts import ArtifactFolder, Check, Digests, Facts
from unsee.ledger.audit import AuditRow, Entry
from unsee.ledger.decision import Decision
from unsee.ledger.errors import LifeCycleError
from unsee.ledger.lifecycle import HOLDING, Request, State, moment, require_step
from unsee.ledger.policy import Policy
from unsee.ledger.verification import Verification


@final
@dataclass(frozen=True)
class Activation:
    """What switching on has done.

    Attributes:
        request: as it stands now.
        digest: of the set in force now.
        warnings: what the operator should know; that the certified number is passed is among it.
    """

    request: Request
    digest: str
    warnings: tuple[str, ...]


@final
@dataclass(frozen=True)
class Writing:
    """A transaction that may write: its connection, the files, and what time it is."""

    connection: Connection
    ledger_id: str
    files: ArtifactFolder
    now: datetime

    def log(
        self,
        by: Decision,
        event: str,
        request: Request | None = None,
        state: State | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> AuditRow:
        """Write one row; what the decision leaves open is taken from the request."""
        entry = Entry(
            event,
            by.who,
            by.why,
            None if request is None else request.id,
            state,
            by.legal_basis or (request.legal_basis if request else ""),
            by.scope or (request.scope if request else ""),
            details,
        )
        return audit.append(self.connection, self.ledger_id, entry, self.now)


def receive(writing: Writing, pseudonym: str, by: Decision) -> Request:
    """A request comes in.

    Raises:
        OptionError: legal basis or scope is missing.
    """
    for name in ("legal_basis", "scope"):
        if not getattr(by, name):
            raise OptionError(f"the {name.replace('_', ' ')} of a request is missing, expected a sentence. Give it.")
    draft = Request(f"r-{secrets.token_hex(8)}", pseudonym, "received", by.legal_basis, by.scope, None, "", "", 0)
    row = writing.log(by, "received", draft, "received", {"subject": pseudonym})
    request = Request(draft.id, pseudonym, "received", by.legal_basis, by.scope, None, row.at, row.at, row.seq)
    tables.insert_request(writing.connection, request)
    return request


def attach(writing: Writing, request_id: str, source: Path, check: Check, by: Decision) -> Request:
    """Store the eraser that was fitted for a request; the same eraser again puts its files back.

    Raises:
        LifeCycleError: the request is past that, or another request holds this very artifact.
        ArtifactError: the eraser is damaged.
    """
    request = tables.request_of(writing.connection, request_id)
    if request.state != "active":  # an active one may have its files put back, and nothing else
        require_step(request, "fitted")
    with writing.files.staged(source) as (stage, digests):
        try:
            facts = check(stage)
        except ArtifactError as error:  # the copy is gone by the time that somebody reads this
            raise ArtifactError(str(error).replace(str(stage), str(source))) from error
        again = _held_again(writing, request, facts)
        known = tables.artifact_of(writing.connection, facts.content_id)
        stored = known is not None and known.purged is None
        if known and stored and writing.files.intact(known.content_id, known.files):
            digests = known.files
        else:
            writing.files.place(stage, facts.content_id)
    try:
        return _attached(writing, request, facts, digests, again=again, by=by)
    except BaseException:
        if not stored:
            writing.files.remove(facts.content_id)
        raise


def _held_again(writing: Writing, request: Request, facts: Facts) -> bool:
    holder = tables.holder_of(writing.connection, facts.content_id)
    if holder is not None and holder != request.id:
        raise LifeCycleError(
            f"request {holder} holds the artifact {facts.content_id[:19]}... already, and it cannot act twice. "
            f"Fit an eraser for {request.id}, or revoke {holder}."
        )
    if holder is None and request.state == "active":
        raise LifeCycleError(
            f"request {request.id} is active with artifact {(request.content_id or '')[:19]}..., got another one, "
            f"{facts.content_id[:19]}.... It takes its own files back only: revoke it, and add a new request."
        )
    return holder is not None


def _attached(
    writing: Writing, request: Request, facts: Facts, digests: Digests, *, again: bool, by: Decision
) -> Request:
    details: dict[str, Any] = {
        "content_id": facts.content_id,
        "model": {"id": facts.model_id, "digest": facts.model_digest},
        "files": dict(digests),
        "about": dict(facts.about),
    }
    tables.store_artifact(writing.connection, facts, digests)
    row = writing.log(by, "restored" if again else "fitted", request, request.state if again else "fitted", details)
    if again:
        return request
    if request.content_id is not None:
        tables.release_artifact(writing.connection, request.content_id, row.at)
    return tables.update_request(writing.connection, request, "fitted", row, facts.content_id)


def record(writing: Writing, request_id: str, content_id: str, verification: Verification, by: Decision) -> Request:
    """Write down a verification; one that passed makes a fitted request verified, one that failed undoes that.

    An active request stays active, whatever a later verification says: switching off is a decision of its own.

    Raises:
        LifeCycleError: the request holds no artifact, or no longer the one that was verified.
    """
    request = tables.request_of(writing.connection, request_id)
    if request.state not in HOLDING or request.content_id != content_id:
        raise LifeCycleError(
            f"request {request_id} is {request.state} with artifact {(request.content_id or 'none')[:19]}, but the "
            f"verification is of {content_id[:19]}.... Verify what it holds now."
        )
    to: State = "active" if request.state == "active" else "verified" if verification.passed else "fitted"
    event = "verified" if verification.passed else "verification failed"
    row = writing.log(by, event, request, to, verification.as_json() | {"content_id": content_id})
    writing.connection.execute(
        "INSERT INTO verifications (audit_seq, request_id, content_id, passed, policy) VALUES (?, ?, ?, ?, ?)",
        (row.seq, request_id, content_id, verification.passed, verification.policy),
    )
    if to == request.state:
        return request
    return tables.update_request(writing.connection, request, to, row, content_id)


def activate(writing: Writing, request_id: str, policy: Policy, by: Decision) -> Activation:
    """Switch a verified request on.

    Raises:
        LifeCycleError: not verified, verified under other thresholds, or of another model than those in force.
        MissingArtifactError: its files are gone or changed.
    """
    request = tables.request_of(writing.connection, request_id)
    require_step(request, "active")
    beside = _current(writing, request, policy).said["measured"]["context"].get("beside")
    artifact = tables.artifact_of(writing.connection, request.content_id or "")
    assert artifact is not None, "foreign keys are enforced"
    before = active_set(writing.connection, policy.steering)
    require_one_model(before, artifact, request_id)
    writing.files.require(request_id, artifact.content_id, artifact.files)
    count, warnings = len(before.requests) + 1, list[str]()
    if beside != len(before.requests):
        warnings.append(
            f"the request was verified beside {beside} other active one(s), and will act beside "
            f"{len(before.requests)}: what they do together was not measured. Verify it again if they are near."
        )
    if count > policy.certified:
        warnings.append(
            f"{count} requests are in force together, {policy.certified} is the certified number: beyond it leaks and "
            "wrong refusals were not shown to stay low. Measure them, and raise capacity.certified in the policy."
        )
    after = before.with_request(request_id, artifact)
    alone = [one.id for one in after.requests if not one.shares_threshold]
    if alone and count > 1:
        warnings.append(
            f"{len(alone)} of {count} requests keep the threshold that was set for each alone: {', '.join(alone[:3])}. "
            "What they refuse wrongly adds up. They have published gates, or an older unsee fitted them: fit them anew "
            "with 'unsee erase'."
        )
    row = writing.log(by, "activated", request, "active", _change(before, after) | {"warnings": warnings})
    changed = tables.update_request(writing.connection, request, "active", row, request.content_id)
    return Activation(changed, after.digest, tuple(warnings))


def _current(writing: Writing, request: Request, policy: Policy) -> AuditRow:
    found = tables.last_verification(writing.connection, request)
    if found is None or not found.passed or found.policy != policy.verification.digest:
        raise LifeCycleError(
            f"request {request.id} was verified under thresholds {found.policy[:19] if found else 'none'}..., the "
            f"policy now has {policy.verification.digest[:19]}.... It stays off: verify it again."
        )
    return audit.row_of(writing.connection, found.audit_seq)


def revoke(writing: Writing, request_id: str, policy: Policy, by: Decision) -> Request:
    """Take a request back, from wherever it is; the set in force is then what it would be had it never been.

    Raises:
        LifeCycleError: it is revoked already.
    """
    request = tables.request_of(writing.connection, request_id)
    require_step(request, "revoked")
    before = active_set(writing.connection, policy.steering)
    details = _change(before, before.without(request_id)) | {"artifact_days": policy.artifact_days}
    row = writing.log(by, "revoked", request, "revoked", details)
    if request.content_id is not None:
        tables.release_artifact(writing.connection, request.content_id, row.at)
    return tables.update_request(writing.connection, request, "revoked", row, request.content_id)


def purge(writing: Writing, policy: Policy, by: Decision) -> list[str]:
    """Write down that artifacts past their retention are deleted; the files follow once that is committed."""
    until, purged = writing.now - timedelta(days=policy.artifact_days), list[str]()
    for artifact in tables.artifacts(writing.connection):
        if artifact.purged is not None or artifact.released is None or moment(artifact.released) > until:
            continue
        details = {
            "content_id": artifact.content_id,
            "released": artifact.released,
            "artifact_days": policy.artifact_days,
        }
        row = writing.log(by, "purged", details=details)
        writing.connection.execute(
            "UPDATE artifacts SET purged = ? WHERE content_id = ?", (row.seq, artifact.content_id)
        )
        purged.append(artifact.content_id)
    return purged


def delete_purged(writing: Writing, content_ids: list[str]) -> int:
    """Delete files of artifacts that are still purged; returns the bytes freed."""
    gone = [tables.artifact_of(writing.connection, content_id) for content_id in content_ids]
    return sum(writing.files.remove(a.content_id) for a in gone if a is not None and a.purged is not None)


def _change(before: ActiveSet, after: ActiveSet) -> dict[str, Any]:
    return {
        "active_before": {"digest": before.digest, "requests": len(before.requests)},
        "active_after": {"digest": after.digest, "requests": len(after.requests)},
        "code": after.code,
    }
