"""The life of a request: which step may follow which, and what a request is at any moment."""

from calendar import monthrange
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal, final, get_args

from unsee.errors import OptionError
from unsee.ledger.errors import LifeCycleError

State = Literal["received", "fitted", "verified", "active", "revoked"]
STATES: tuple[State, ...] = get_args(State)

HOLDING: tuple[State, ...] = ("fitted", "verified", "active")
"""States in which a request holds an artifact that no other request may hold."""

STEPS: frozenset[tuple[State, State]] = frozenset(
    {
        ("received", "fitted"),
        ("fitted", "fitted"),  # fitted again, with another artifact
        ("fitted", "verified"),
        ("verified", "fitted"),  # fitted again, or verified again and failed
        ("verified", "active"),
        ("active", "revoked"),
        ("received", "revoked"),  # withdrawn before it was ever in force
        ("fitted", "revoked"),
        ("verified", "revoked"),
    }
)
"""Every allowed step. Nothing leaves `revoked`: who asks again makes a new request."""

_NEXT = {
    "received": "fit an eraser and attach it with 'unsee ledger attach'",
    "fitted": "verify it with 'unsee ledger verify'",
    "verified": "activate it with 'unsee ledger activate'",
    "active": "it is in force until 'unsee ledger revoke' takes it back",
    "revoked": "a revoked request stays revoked; add a new one with 'unsee ledger add'",
}


@final
@dataclass(frozen=True)
class Request:
    """One erasure request as it stands.

    Attributes:
        id: random, means nothing.
        subject: keyed pseudonym of whom it is about.
        state: where in its life it is.
        legal_basis: on what ground it was asked for.
        scope: what is to be unseen, and where.
        content_id: of its artifact, once fitted.
        received: when it came in.
        changed: when it last took a step.
        audit_seq: row of the audit log that recorded that step.
    """

    id: str
    subject: str
    state: State
    legal_basis: str
    scope: str
    content_id: str | None
    received: str
    changed: str
    audit_seq: int

    @property
    def due(self) -> str:
        """When an answer is due: one month after receipt (GDPR Art. 12(3)), before any extension."""
        return stamp(a_month_later(moment(self.received)))

    def as_json(self) -> dict[str, Any]:
        """Plain values, `due` among them."""
        return asdict(self) | {"due": self.due}


def require_step(request: Request, to: State) -> None:
    """Refuse a step that the life cycle does not have.

    Raises:
        LifeCycleError: names the request, where it is, and what may be done instead.
    """
    if (request.state, to) not in STEPS:
        if request.state == to:
            raise LifeCycleError(f"request {request.id} is {to} already; nothing was changed. Next: {_NEXT[to]}.")
        before = " or ".join(sorted(a for a, b in STEPS if b == to))
        raise LifeCycleError(
            f"request {request.id} is {request.state}, expected {before} to make it {to}. Next: {_NEXT[request.state]}."
        )


def stamp(at: datetime) -> str:
    """A moment as text that sorts by time: `2026-01-31T12:00:00.000000Z`."""
    if at.tzinfo is None:
        raise OptionError(f"the clock says {at}, expected a time with its zone")
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def moment(text: str) -> datetime:
    """The moment that `stamp` wrote."""
    return datetime.fromisoformat(text)


def a_month_later(at: datetime) -> datetime:
    """The same day of the next month, or its last day where there is no such day."""
    year, month = (at.year + 1, 1) if at.month == 12 else (at.year, at.month + 1)
    return at.replace(year=year, month=month, day=min(at.day, monthrange(year, month)[1]))
