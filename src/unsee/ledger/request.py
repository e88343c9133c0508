"""A request as it stands, read from the log: every row says which of its fields it sets."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from typing import Any, final

from unsee.ledger.errors import LedgerError, UnknownRequestError
from unsee.ledger.log import Row
from unsee.ledger.states import ENDED, STATUS, Kind, State
from unsee.ledger.verification import Verification
from unsee.schema import Schema

THRESHOLDS = "thresholds"
"""What `Artifact.about` says of the prompts its thresholds were set on; null where they stay as they are."""
EDITION = 7
"""Of the tables and of what rows mean; the first row names it."""


@final
class Artifact(Schema):
    """A fitted eraser: what it says of itself for an audit, without names, and the SHA-256 of its file."""

    content_id: str
    model_id: str
    model_digest: str
    about: dict[str, Any]
    sha256: str = ""

    @property
    def shares_threshold(self) -> bool:
        """Whether its thresholds are set for all in force together; a published gate's and an older fit's are not."""
        return self.about.get(THRESHOLDS) is not None


@final
class Request(Schema):
    """A request or a complaint.

    Attributes:
        subject: keyed pseudonym of whom it is about.
        reference: keyed pseudonym of what the sender calls it.
        token: digest of what opens its status to the requester.
        asked: day since which identity or information is awaited.
        waited: days that were spent waiting so.
        extended: why the deadline was moved; empty where it was not.
        told: by what way the requester was told of that (GDPR Art. 12(3)).
        denied: code of the ground, and `ground` what the requester is told of it; empty where it was not.
        held: the eraser that was fitted last, and `verification` of that one.
        in_force: the eraser that acts.
        panel: complaints whose persons it was shown to answer about.
        about: of a complaint, the request that causes the harm.
    """

    id: str
    kind: Kind
    state: State
    subject: str
    reference: str
    received: date
    due: date
    token: str
    images: int = 0
    legal_basis: str = ""
    scope: str = ""
    wanted: str = ""
    asked: date | None = None
    waited: int = 0
    extended: str = ""
    told: str = ""
    denied: str = ""
    ground: str = ""
    held: Artifact | None = None
    verification: Verification | None = None
    in_force: Artifact | None = None
    panel: tuple[str, ...] = ()
    until: date | None = None
    answered: date | None = None
    how: str = ""
    letter: str = ""
    about: str = ""
    ended: date | None = None

    @property
    def status(self) -> str:
        """OpenDSR's word for it."""
        return "cancelled" if self.answered and self.denied and not self.in_force else STATUS[self.state]

    @property
    def artifacts(self) -> dict[str, Artifact]:
        """The erasers whose files are kept for it, by content id."""
        return {one.content_id: one for one in (self.held, self.in_force) if one is not None}

    def punctual(self, today: date) -> str:
        """Whether it was answered, in one of: in time, late, open, overdue, not answered. Only an answer answers."""
        if self.answered:
            return "in time" if self.answered <= self.due else "late"
        if self.state in ENDED:
            return "not answered"
        return "open" if today <= self.due else "overdue"


@final
@dataclass
class Board:
    """Every request as of one row of the log; rows that follow bring it up to date."""

    newest: Row | None = None
    requests: dict[str, Request] = field(default_factory=dict)

    @property
    def last(self) -> Row:
        """The row it is as of."""
        assert self.newest is not None, "a ledger begins with a row"
        return self.newest

    @property
    def artifacts(self) -> dict[str, Artifact]:
        """Erasers that some request holds, by content id."""
        return {name: one for request in self.requests.values() for name, one in request.artifacts.items()}

    def follow(self, rows: Iterable[Row]) -> None:
        """Read further rows, if this edition of unsee wrote them."""
        for row in rows:
            if row.seq == 1 and row.changes.get("edition") != EDITION:
                raise LedgerError(
                    f"the ledger is of edition {row.changes.get('edition')}, expected {EDITION}: it was written by "
                    "another edition of unsee. Nothing was changed. Use the unsee that wrote it."
                )
            self.newest = row
            if row.record is not None and row.changes:
                before = dict(self.requests.get(row.record, ()))
                self.requests[row.record] = Request(**{"id": row.record, **before, **row.changes})

    def find(self, prefix: str) -> Request:
        """The one request that the id, or the beginning of one, names; UnknownRequestError for none or several."""
        found = [one for name, one in self.requests.items() if name == prefix or name.startswith(prefix or "-")]
        if len(found) == 1 and len(prefix) > 2:
            return found[0]
        if found and len(prefix) > 2:
            raise UnknownRequestError(
                f"{prefix!r} is the beginning of {len(found)} ids: {', '.join(one.id for one in found[:5])}. Give more "
                "of it."
            )
        raise UnknownRequestError(
            f"this ledger has no request {prefix[:40]!r}, expected an id as r-0123456789abcdef, or c- for a complaint, "
            "or its beginning. 'unsee ledger list' shows them."
        )
