"""The life of a request as one table: which step may follow which. Errors, commands and docs are read from it.

A third party's complaint ("my namesake is refused") runs through the same table on a path of its own.
"""

from enum import StrEnum
from typing import TYPE_CHECKING, Literal, NamedTuple

from unsee.ledger.errors import LifeCycleError

if TYPE_CHECKING:
    from unsee.ledger.request import Request

Kind = Literal["request", "complaint"]
When = Literal["", "in force", "not in force", "answered before", "not answered before", "not extended before"]


class State(StrEnum):
    """Where the work on a request stands. Whether it is in force is told beside it: an appeal switches nothing off."""

    RECEIVED = "received"
    WAITING = "waiting"
    ACCEPTED = "accepted"
    DENIED = "denied"
    FITTED = "fitted"
    VERIFIED = "verified"
    ACTIVE = "active"
    ANSWERED = "answered"
    APPEALED = "appealed"
    REVOKED = "revoked"
    EXPIRED = "expired"
    REPRODUCED = "reproduced"
    PANELLED = "panelled"
    RESOLVED = "resolved"


R, W, A, D, F, V, ACT, ANS, APP, REV, EXP, REP, PAN, RES = State
ENDED = (REV, EXP)
"""Nothing leaves these; the personal data are destroyed on the way in."""
WORKING = (R, W, A, F, V, ACT, APP)

STATUS: dict[State, str] = {
    **dict.fromkeys((R, W), "pending"),
    **dict.fromkeys((A, D, F, V, ACT, APP, REP, PAN, RES), "in_progress"),
    **dict.fromkeys((ANS, EXP), "completed"),
    REV: "cancelled",
}
"""OpenDSR's words for the requester; a denied request that was answered is `cancelled` (see `Request.status`)."""


class Step(NamedTuple):
    """One row of the table."""

    name: str
    before: tuple[State, ...]
    after: State | None
    means: str
    when: When = ""
    on: Kind = "request"


STEPS: tuple[Step, ...] = (
    Step("add", (), R, "a request comes in; its deadline starts"),
    Step("inquire", (R,), W, "identity or information is requested; the clock may stop"),
    Step("supply", (W,), R, "what was requested has come; the clock goes on"),
    Step("amend", (R, W, A), None, "names or images are added to what the vault holds"),
    Step("amend", (F, V), A, "names or images are added, so that it is to be fitted again"),
    Step("accept", (R, APP), A, "the request, or the appeal, is granted"),
    Step("deny", (R, W, A, F, V, APP), D, "it is refused on a ground", "not in force"),
    Step("deny", (APP,), ACT, "the appeal is refused; what is in force stays", "in force"),
    Step("extend", (*WORKING, D), None, "the deadline moves by two months, for a reason", "not extended before"),
    Step("fit", (A, F, V), F, "an eraser is fitted and stored"),
    Step("verify", (F, V), V, "the model was asked, and every limit of the policy is met"),
    Step("fail", (F, V), F, "the model was asked, and not every limit of the policy is met"),
    Step("verify", (ACT, ANS), None, "asked again while in force, and every limit is met", "in force"),
    Step("fail", (ACT, ANS), None, "asked again while in force, and not every limit is met", "in force"),
    Step("activate", (V,), ACT, "it is switched on", "not answered before"),
    Step("activate", (V,), ANS, "it is switched on again, refitted", "answered before"),
    Step("answer", (ACT, D), ANS, "the answer was sent to the requester"),
    Step("appeal", (ANS,), APP, "the requester objects to the answer; a new deadline starts"),
    Step("refit", (ACT, ANS), A, "it is to be fitted again; what is in force stays until then", "in force"),
    Step("revoke", (*WORKING, D), REV, "taken back; the model answers as if it had never been in force"),
    Step("revoke", (ANS,), REV, "taken back; the model answers as if it had never been in force", "in force"),
    Step("expire", (ANS,), EXP, "its term is over, or the file is closed"),
    Step("complain", (), R, "somebody else is harmed, as a namesake who is refused", on="complaint"),
    Step("reproduce", (R,), REP, "the harm was seen, and which request causes it", on="complaint"),
    Step("deny", (R,), D, "it could not be reproduced, or is not ours", on="complaint"),
    Step("panel", (REP,), PAN, "the person joins those who must be answered about", on="complaint"),
    Step("resolve", (PAN,), RES, "what caused it is gone: fitted again with the panel, or taken back", on="complaint"),
    Step("answer", (RES, D), ANS, "the answer was sent to who complained", on="complaint"),
    Step(
        "extend", (R, REP, PAN, RES, D), None, "the deadline moves by two months", "not extended before", on="complaint"
    ),
    Step("expire", (ANS,), EXP, "the file is closed", on="complaint"),
)

BRINGING = ("add", "complain", "amend", "fit", "verify", "fail")
"""Steps that bring a person, an eraser or findings, and have a command of their own: see `holding`."""


def allowed(record: "Request") -> list[Step]:
    """The steps that may be taken now, in the order of the table."""
    holds = {
        "": True,
        "in force": record.in_force is not None,
        "not in force": record.in_force is None,
        "answered before": record.answered is not None,
        "not answered before": record.answered is None,
        "not extended before": not record.extended and not record.answered,
    }
    return [s for s in STEPS if s.on == record.kind and record.state in s.before and holds[s.when]]


def require(record: "Request", name: str) -> Step:
    """The row of the table for a step that is to be taken now; else LifeCycleError says what is allowed."""
    ways = allowed(record)
    found = next((step for step in ways if step.name == name), None)
    if found is not None:
        return found
    said = f"{', in force' if record.in_force else ''}{', and was answered' if record.answered else ''}"
    rest = "; ".join(f"'{step.name}' ({step.means})" for step in ways)
    raise LifeCycleError(
        f"{record.kind} {record.id} is {record.state}{said}: '{name}' is not allowed, and nothing was changed. Allowed "
        f"from here: {rest or 'nothing, it has ended; add a new one'}."
    )
