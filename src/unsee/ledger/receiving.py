"""A request, or a complaint, comes in: whom it is about goes into the vault, the log gets pseudonyms."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from unsee.ledger.board import Request, day_of
from unsee.ledger.framing import plain_text
from unsee.ledger.log import Decision
from unsee.ledger.signing import token_digest
from unsee.ledger.states import State
from unsee.ledger.steps import a_day
from unsee.ledger.store import Ledger
from unsee.ledger.vault import IMAGE, PERSON, Person


@final
@dataclass(frozen=True)
class Received:
    """A request that has come in, and what only its sender is given.

    Attributes:
        request: as it stands.
        token: opens its status to whoever has it; the ledger keeps a digest. Empty where it was known already.
    """

    request: Request
    token: str


def add(
    ledger: Ledger,
    person: Person,
    by: Decision,
    *,
    legal_basis: str = "",
    scope: str = "",
    images: Sequence[bytes] = (),
    received: str = "",
    reference: str = "",
    complaint: bool = False,
) -> Received:
    """Receive a request or a complaint.

    Args:
        ledger: open with its keys.
        person: whom it is about, or who complains.
        by: who took it in, and from what letter.
        legal_basis: on what ground it was asked for; of a request.
        scope: what is to be unseen, and where; of a request.
        images: encoded files.
        received: day of receipt, today if empty: the deadline runs from it.
        reference: what its sender calls it; a second one of that name changes nothing.
        complaint: somebody is harmed by a request.

    Raises:
        PersonalDataError: a text names the person, or somebody else in the vault.
        OptionError: legal basis or scope is missing, or the day is none.
    """
    record = f"{'c' if complaint else 'r'}-{secrets.token_hex(8)}"
    texts = {} if complaint else {n: plain_text(n, v) for n, v in (("legal_basis", legal_basis), ("scope", scope))}
    day = a_day("received", received, latest=ledger.today) if received else ledger.today.isoformat()
    token, named = secrets.token_urlsafe(24), ledger.keys.pseudonym(reference or record, "reference")
    parts = {PERSON: person.model_dump_json().encode()}
    parts |= {f"{IMAGE}{number:03}": data for number, data in enumerate(images)}
    said = {
        "subject": ledger.keys.pseudonym(person.names[0]),
        "reference": named,
        "received": day,
        "due": ledger.policy.deadlines.due(day_of(day)).isoformat(),
        "token": token_digest(token),
        "images": len(images),
    }
    with ledger.writing() as writing:
        known = writing.board.references.get(named)
        if known is None:
            writing.names.add(record, person.names)
            step = "complain" if complaint else "add"
            writing.log(by, step, record, State.RECEIVED, said | texts, texts)
            ledger.vault.put(writing.connection, record, parts)
    return Received(ledger.request(known or record), "" if known else token)
