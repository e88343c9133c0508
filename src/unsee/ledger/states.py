"""The life of a request as one table: which step may follow which. Errors, commands and docs are read from it.

A third party's complaint ("my namesake is refused") runs through the same table on a path of its own.
"""

from enum import StrEnum
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from unsee.ledger.errors import LifeCycleError

if TYPE_CHECKING:
    from unsee.ledger.board import Request

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
    ANS: "completed",
    EXP: "completed",
    REV: "cancelled",
}
"""OpenDSR's words for the requester; a denied request that was answered is `cancelled` (see `Request.status`)."""


class Step(BaseModel):
    """One row of the table.

    Attributes:
        name: of the step, as the log and `unsee ledger` call it.
        before: states that it may be taken from; empty where a record begins.
        after: state that it leads to; None stays where it is.
        means: what it is, for people.
        when: what must hold beside the state.
        on: for requests, or for complaints.
        option: what the command needs beside who and why.
    """

    model_config = ConfigDict(frozen=True)
    name: str
    before: tuple[State, ...]
    after: State | None
    means: str
    when: When = ""
    on: Kind = "request"
    option: str = ""


def _step(name: str, before: tuple[State, ...], after: State | None, means: str, when: When = "", **more: str) -> Step:
    return Step.model_validate(
        {"name": name, "before": before, "after": after, "means": means, "when": when, **more}, strict=False
    )


STEPS: tuple[Step, ...] = (
    _step("add", (), R, "a request comes in; its deadline starts"),
    _step("inquire", (R,), W, "identity or information is requested; the clock may stop", option="for"),
    _step("supply", (W,), R, "what was requested has come; the clock goes on"),
    _step("accept", (R, APP), A, "the request, or the appeal, is granted"),
    _step("deny", (R, W, A, F, V, APP), D, "it is refused on a ground", "not in force", option="ground"),
    _step("deny", (APP,), ACT, "the appeal is refused; what is in force stays", "in force", option="ground"),
    _step("extend", (*WORKING, D), None, "the deadline moves by two months, for a reason", "not extended before"),
    _step("fit", (A, F, V), F, "an eraser is fitted and stored"),
    _step("verify", (F, V), V, "the model was asked, and what the policy wants was shown"),
    _step("fail", (F, V), F, "the model was asked, and what the policy wants was not shown"),
    _step("verify", (ACT, ANS), None, "asked again while in force, and shown again", "in force"),
    _step("fail", (ACT, ANS), None, "asked again while in force, and not shown", "in force"),
    _step("activate", (V,), ACT, "it is switched on", "not answered before", option="until"),
    _step("activate", (V,), ANS, "it is switched on again, refitted", "answered before", option="until"),
    _step("answer", (ACT, D), ANS, "the answer was sent to the requester", option="letter"),
    _step("appeal", (ANS,), APP, "the requester objects to the answer; a new deadline starts"),
    _step("refit", (ACT, ANS), A, "it is to be fitted again; what is in force stays until then", "in force"),
    _step("revoke", (*WORKING, D), REV, "taken back; the model answers as if it had never been in force"),
    _step("revoke", (ANS,), REV, "taken back; the model answers as if it had never been in force", "in force"),
    _step("expire", (ANS,), EXP, "its term is over, or the file is closed; personal data are destroyed"),
    _step("complain", (), R, "somebody else is harmed, as a namesake who is refused", on="complaint"),
    _step("reproduce", (R,), REP, "the harm was seen, and which request causes it", on="complaint", option="of"),
    _step("deny", (R,), D, "it could not be reproduced, or is not ours", on="complaint", option="ground"),
    _step("panel", (REP,), PAN, "the person joins those who must be answered about", on="complaint"),
    _step("resolve", (PAN,), RES, "the request was fitted and switched on again, the panel passed", on="complaint"),
    _step("answer", (RES, D), ANS, "the answer was sent to who complained", on="complaint", option="letter"),
    _step(
        "extend", (R, REP, PAN, RES, D), None, "the deadline moves by two months", "not extended before", on="complaint"
    ),
    _step("expire", (ANS,), EXP, "the file is closed; personal data are destroyed", on="complaint"),
)


def allowed(record: "Request") -> list[Step]:
    """The steps that may be taken now, in the order of the table."""
    holds = {
        "": True,
        "in force": record.in_force is not None,
        "not in force": record.in_force is None,
        "answered before": bool(record.answered),
        "not answered before": not record.answered,
        "not extended before": not record.extended and not record.answered,
    }
    return [s for s in STEPS if s.on == record.kind and record.state in s.before and holds[s.when]]


def require(record: "Request", name: str) -> Step:
    """The row of the table for a step that is to be taken now.

    Raises:
        LifeCycleError: says where the record is, and what is allowed from there.
    """
    found = next((step for step in allowed(record) if step.name == name), None)
    if found is not None:
        return found
    ways = [f"'{s.name}' ({s.means})" for s in allowed(record)]
    said = ", and was answered" if record.answered else ""
    force = ", in force" if record.in_force else ""
    raise LifeCycleError(
        f"{record.kind} {record.id} is {record.state}{force}{said}: '{name}' is not allowed, and nothing was changed. "
        f"Allowed from here: {'; '.join(ways) or 'nothing, it has ended; add a new one'}."
    )
