"""A request as it stands; every row of the log says which of these fields it sets."""

from datetime import date
from typing import Any, final

from pydantic import Field

from unsee.ledger.states import ENDED, STATUS, Kind, State
from unsee.ledger.verification import Verification
from unsee.schema import Schema


@final
class Artifact(Schema):
    """A fitted eraser.

    Attributes:
        about: method, settings, sample counts and whatever else an audit wants; JSON values, no names.
    """

    content_id: str
    model_id: str
    model_digest: str
    about: dict[str, Any]
    files: dict[str, str] = Field({})


@final
class Request(Schema):
    """A request or a complaint.

    Attributes:
        subject: keyed pseudonym of whom it is about.
        reference: keyed pseudonym of what the sender calls it.
        asked: day since which identity or information is awaited.
        waited: days that were spent waiting so.
        extended: why the deadline was moved; empty where it was not.
        told: by what way the requester was told of that (GDPR Art. 12(3)).
        denied: code of the ground; empty where it was not.
        ground: what the requester is told of it.
        held: the eraser that was fitted last.
        verification: of that one.
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
