"""What a request is given: the person, from whom it comes, the eraser that is fitted, and what was found of that."""

import secrets
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, final

from unsee.errors import OptionError
from unsee.ledger.artifacts import Check, read_artifact, store
from unsee.ledger.crypto import token_digest
from unsee.ledger.errors import LifeCycleError
from unsee.ledger.log import Decision
from unsee.ledger.request import Request
from unsee.ledger.states import State, require
from unsee.ledger.store import Ledger
from unsee.ledger.texts import a_day, plain_text
from unsee.ledger.vault import Person
from unsee.ledger.verification import Verification

EARLIEST = date(2000, 1, 1)
"""No letter is older; a year that was typed wrong is."""


@final
@dataclass(frozen=True)
class Received:
    """A request that has come in, and what only its sender is given.

    Attributes:
        token: opens its status to whoever has it; the ledger keeps a digest. Empty where it was known already.
    """

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
    day = a_day("received", received, earliest=EARLIEST, latest=ledger.today) if received else ledger.today
    token, named = secrets.token_urlsafe(24), ledger.keys.pseudonym(reference or record, "reference")
    said: dict[str, Any] = texts | {
        "kind": "complaint" if complaint else "request",
        "state": State.RECEIVED,
        "subject": ledger.keys.pseudonym(person.names[0]),
        "reference": named,
        "received": day,
        "due": ledger.policy.deadlines.due(day),
        "token": token_digest(token),
        "images": len(person.images),
    }
    with ledger.writing() as writing:
        known = next((one.id for one in writing.board.requests.values() if one.reference == named), None)
        if known is None:
            writing.names.add(record, person.names)
            writing.log(by, "complain" if complaint else "add", record, said, texts)
            ledger.vault.put(writing.connection, record, person)
    return Received(ledger.request(known or record), "" if known else token)


def amend(ledger: Ledger, prefix: str, more: Person, by: Decision) -> Request:
    """Add the names and images of `more` to what the vault holds; what was fitted without them is let go.

    A request in force stays so: 'refit' it first.

    Raises:
        LifeCycleError: not the time for it.
        PersonalDataError: a text names the person.
        OptionError: nothing of it is new.
        DataError: more than a request holds.
    """
    with ledger.writing() as writing:
        request = writing.board.find(prefix)
        step, before = require(request, "amend"), ledger.vault.get(writing.connection, request.id, "whole")
        assert before is not None, "only what has ended holds nobody, and the table lets that go nowhere"
        whole = before.joined(more)
        if whole == before:
            raise OptionError(f"{request.id} holds all of that already. Give a name or an image that is new.")
        changes: dict[str, Any] = {"images": len(whole.images)}
        if step.after is not None:
            changes |= {"state": step.after, "held": request.in_force, "verification": None}
        writing.names.add(request.id, whole.names)
        writing.log(by, step.name, request.id, changes)
        ledger.vault.delete(writing.connection, request.id)
        ledger.vault.put(writing.connection, request.id, whole)
    return ledger.request(request.id)


def attach(ledger: Ledger, prefix: str, source: Path | str, check: Check, by: Decision) -> Request:
    """Store the eraser that was fitted for a request, once `check` has read it; the same again puts its files back.

    Raises:
        LifeCycleError: not the time for it, or another request holds this very artifact.
        ArtifactError: the eraser is damaged.
    """
    artifact, bodies = read_artifact(Path(source), check)
    with ledger.writing() as writing:
        request = writing.board.find(prefix)
        again = request.artifacts.get(artifact.content_id)
        holders = [one.id for one in writing.board.requests.values() if artifact.content_id in one.artifacts]
        if again is None and holders:
            raise LifeCycleError(
                f"request {holders[0]} holds the artifact {artifact.content_id[:19]}... already, and it cannot act "
                f"twice. Fit an eraser for {request.id}, or revoke {holders[0]}."
            )
        if again is not None and again.files != artifact.files:
            raise LifeCycleError(
                f"request {request.id} holds this artifact with other files (a card or a date differs). Put back the "
                "copy that was attached, or fit again."
            )
        state = require(request, "fit").after if again is None else None
        changes = {"state": state, "held": artifact, "verification": None} if again is None else {}
        writing.log(by, "restored" if again else "fit", request.id, changes)
        store(writing.connection, artifact, bodies)
    return ledger.request(request.id)


def record(ledger: Ledger, prefix: str, verification: Verification, by: Decision) -> Request:
    """Write down a verification: one that passed makes a fitted request verified, one that failed undoes that.

    A request in force stays so, whatever a later verification says: switching off is a decision of its own.

    Raises:
        LifeCycleError: the request holds no artifact, or no longer the one that was verified.
    """
    with ledger.writing() as writing:
        request = writing.board.find(prefix)
        step = require(request, "verify" if verification.passed else "fail")
        if request.held is None or request.held.content_id != verification.content_id:
            raise LifeCycleError(
                f"request {request.id} no longer holds {verification.content_id[:19]}..., which the verification is "
                "of. Verify what it holds now."
            )
        panel = {"panel": verification.panel} if request.in_force == request.held else {}
        changes = {"state": step.after or request.state, "verification": verification, **panel}
        writing.log(by, step.name, request.id, changes)
    return ledger.request(request.id)
