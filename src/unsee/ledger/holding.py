"""What a request is given: the person, from whom it comes, the eraser that is fitted, and what was found of that."""

import secrets
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import delete, insert

from unsee.errors import OptionError
from unsee.ledger.canonical import a_day, digest, plain_text
from unsee.ledger.database import FILES
from unsee.ledger.errors import LifeCycleError
from unsee.ledger.files import Check, read_artifact
from unsee.ledger.log import Decision
from unsee.ledger.request import Request
from unsee.ledger.states import State, require
from unsee.ledger.store import Ledger
from unsee.ledger.vault import Person
from unsee.ledger.verification import Verification

EARLIEST = date(2000, 1, 1)
"""No letter is older; a year that was typed wrong is."""


class Received(NamedTuple):
    """A request that has come in, and the token that opens its status to its sender; empty where it was known."""

    request: Request
    token: str


def add(
    ledger: Ledger, person: Person, by: Decision, *, legal_basis: str = "", scope: str = "", received: str = "",
    reference: str = "", complaint: bool = False,
) -> Received:  # fmt: skip
    """Receive a request or a complaint: whom it is about goes into the vault, the log gets pseudonyms.

    The deadline runs from the day it was `received`, today if empty. A `reference` seen before changes nothing.

    Raises:
        PersonalDataError: a text names the person, or somebody else in the vault.
        OptionError: legal basis or scope is missing, or the day is none.
    """
    record = f"{'c' if complaint else 'r'}-{secrets.token_hex(8)}"
    texts = {} if complaint else {n: plain_text(n, v) for n, v in (("legal_basis", legal_basis), ("scope", scope))}
    day = a_day("received", received, EARLIEST, ledger.today) if received else ledger.today
    token, named = secrets.token_urlsafe(24), ledger.keys.pseudonym(reference or record, "reference")
    said: dict[str, Any] = texts | {
        "kind": "complaint" if complaint else "request",
        "state": State.RECEIVED,
        "subject": ledger.keys.pseudonym(person.names[0]),
        "reference": named,
        "received": day,
        "due": ledger.policy.deadlines.due(day),
        "token": digest(token),
        "images": len(person.images),
    }
    with ledger.writing() as (connection, board):
        known = next((one for one in board.requests.values() if one.reference == named), None)
        if known is not None:
            return Received(known, "")
        ledger.vault.names.add(record, person.names)
        ledger.write(connection, by, "complain" if complaint else "add", record, said, texts)
        ledger.vault.put(connection, record, person)
        return Received(board.requests[record], token)


def amend(ledger: Ledger, prefix: str, more: Person, by: Decision) -> Request:
    """Add the names and images of `more` to what the vault holds; what was fitted without them is let go.

    A request in force stays so: 'refit' it first. OptionError where nothing of it is new.
    """
    with ledger.writing() as (connection, board):
        one = board.find(prefix)
        step, before = require(one, "amend"), ledger.vault.get(connection, one.id)
        assert before is not None, "only what has ended holds nobody, and the table lets that go nowhere"
        both = {n: (*getattr(before, n), *getattr(more, n)) for n in ("names", "images")}
        whole = Person.of(
            contact=before.contact, note=before.note, **{n: tuple(dict.fromkeys(v)) for n, v in both.items()}
        )
        if whole == before:
            raise OptionError(f"{one.id} holds all of that already. Give a name or an image that is new.")
        changes: dict[str, Any] = {"images": len(whole.images)}
        if step.after is not None:
            changes |= {"state": step.after, "held": one.in_force, "verification": None}
        ledger.vault.names.add(one.id, whole.names)
        ledger.write(connection, by, step.name, one.id, changes)
        ledger.vault.put(connection, one.id, whole)
        return board.requests[one.id]


def attach(ledger: Ledger, prefix: str, source: Path | str, check: Check, by: Decision) -> Request:
    """Store the eraser that was fitted for a request, once `check` has read it; the same again puts its file back.

    Raises:
        LifeCycleError: not the time for it, or another request holds this very artifact.
        ArtifactError: the eraser is damaged.
    """
    artifact, body = read_artifact(Path(source), check)
    with ledger.writing() as (connection, board):
        one = board.find(prefix)
        again = one.artifacts.get(artifact.content_id)
        holders = [other.id for other in board.requests.values() if artifact.content_id in other.artifacts]
        if again is None and holders:
            raise LifeCycleError(
                f"request {holders[0]} holds the artifact {artifact.content_id[:19]}... already, and it cannot act "
                f"twice. Fit an eraser for {one.id}, or revoke {holders[0]}."
            )
        if again is not None and again.sha256 != artifact.sha256:
            raise LifeCycleError(
                f"request {one.id} holds this artifact in another file (its date differs). Put back the copy that was "
                "attached, or fit again."
            )
        changes: dict[str, Any] = {}
        ledger.vault.names.require_absent("what the eraser says of itself", str(artifact.as_json()), None)
        if again is None:
            changes = {"state": require(one, "fit").after, "held": artifact, "verification": None}
        ledger.write(connection, by, "restored" if again else "fit", one.id, changes)
        connection.execute(delete(FILES).where(FILES.c.content_id == artifact.content_id))
        connection.execute(insert(FILES).values(content_id=artifact.content_id, body=body))
        return board.requests[one.id]


def record(ledger: Ledger, prefix: str, verification: Verification, by: Decision) -> Request:
    """Write down a verification: one that passed makes a fitted request verified, one that failed undoes that.

    A request in force stays so, whatever a later verification says: switching off is a decision of its own.
    """
    with ledger.writing() as (connection, board):
        one = board.find(prefix)
        step = require(one, "verify" if verification.passed else "fail")
        if one.held is None or one.held.content_id != verification.content_id:
            raise LifeCycleError(
                f"request {one.id} no longer holds {verification.content_id[:19]}..., which the verification is of. "
                "Verify what it holds now."
            )
        panel = {"panel": verification.panel} if one.in_force == one.held else {}
        changes = {"state": step.after or one.state, "verification": verification, **panel}
        ledger.write(connection, by, step.name, one.id, changes)
        return board.requests[one.id]
