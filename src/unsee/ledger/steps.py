"""What each step of a request's life needs and writes down, beside who and why."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, final

from unsee.errors import OptionError
from unsee.ledger.active import active_set, require_one_model
from unsee.ledger.artifacts import ArtifactFolder
from unsee.ledger.board import Board, Request, day_of
from unsee.ledger.errors import LifeCycleError
from unsee.ledger.framing import plain_text
from unsee.ledger.policy import Policy

INQUIRIES = ("identity", "information")
TYPED = ("how", "remark")
"""Options that hold free text; the others are dates, ids, codes and digests."""


@final
@dataclass(frozen=True)
class Moment:
    """What a step is decided on.

    Attributes:
        board: everything as it stands.
        policy: as it is now.
        files: of the artifacts.
        today: in the policy's zone.
    """

    board: Board
    policy: Policy
    files: ArtifactFolder
    today: date


def details(step: str, request: Request, moment: Moment, given: Mapping[str, str]) -> dict[str, Any]:
    """The details of a step that the table allows.

    Args:
        step: its name.
        request: as it stands.
        moment: as of now.
        given: options of the command; empty ones were not given.

    Raises:
        OptionError: an option is missing, strange or out of range.
        LifeCycleError: something else must come first.
    """
    make = _DETAILS.get(step)
    made = {} if make is None else make(request, moment, given)
    return made | ({"remark": plain_text("remark", given["remark"])} if given.get("remark") else {})


def a_day(name: str, text: str, *, earliest: date | None = None, latest: date | None = None) -> str:
    """A date that somebody typed, within limits.

    Raises:
        OptionError: not a date, or out of them.
    """
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise OptionError(f"{name} is {text!r:.40}, expected a date as 2026-05-31.") from error
    if (earliest and day < earliest) or (latest and day > latest):
        limits = " and ".join(
            f"{word} {limit}" for word, limit in (("not before", earliest), ("not after", latest)) if limit
        )
        raise OptionError(f"{name} is {day}, expected a day {limits}.")
    return day.isoformat()


def _inquire(request: Request, moment: Moment, given: Mapping[str, str]) -> dict[str, Any]:
    if given.get("for") not in INQUIRIES:
        raise OptionError(f"what is requested is {given.get('for')!r}, expected one of {list(INQUIRIES)} (--for).")
    return {"for": given["for"], "day": moment.today.isoformat()}


def _supply(request: Request, moment: Moment, given: Mapping[str, str]) -> dict[str, Any]:
    waited = request.waited + max(0, (moment.today - day_of(request.asked)).days)
    due = moment.policy.deadlines.due(day_of(request.received), extended=bool(request.extended), waited=waited)
    return {"waited": waited, "due": due.isoformat()}


def _deny(request: Request, moment: Moment, given: Mapping[str, str]) -> dict[str, Any]:
    grounds = moment.policy.grounds
    if given.get("ground") not in grounds:
        raise OptionError(f"the ground is {given.get('ground')!r}, expected one of {list(grounds)} (--ground).")
    return {"ground": given["ground"], "text": grounds[given["ground"]]}


def _extend(request: Request, moment: Moment, given: Mapping[str, str]) -> dict[str, Any]:
    if moment.today > day_of(request.due) and not request.asked:
        raise LifeCycleError(
            f"the deadline of {request.id} was {request.due}, and today is {moment.today}: it can only be extended "
            "before it has passed (GDPR Art. 12(3)). Answer the request, and say that this is late."
        )
    due = moment.policy.deadlines.due(day_of(request.received), extended=True, waited=request.waited)
    return {"due": due.isoformat()}


def _appeal(request: Request, moment: Moment, given: Mapping[str, str]) -> dict[str, Any]:
    return {"due": moment.policy.deadlines.due(moment.today).isoformat()}


def _answer(request: Request, moment: Moment, given: Mapping[str, str]) -> dict[str, Any]:
    if not given.get("letter") or not given.get("how"):
        raise OptionError(
            "nobody is answered until something was sent: what was sent (--letter FILE) and how (--how) are needed. "
            "'unsee ledger letter' drafts one."
        )
    received = day_of(request.received)
    day = a_day("--sent", given.get("sent") or moment.today.isoformat(), earliest=received, latest=moment.today)
    return {"day": day, "how": plain_text("how", given["how"]), "letter": given["letter"], "due": request.due}


def _activate(request: Request, moment: Moment, given: Mapping[str, str]) -> dict[str, Any]:
    until = given.get("until", "")
    artifact = moment.board.artifacts[request.holding or ""]
    if request.passed != moment.policy.verification.digest:
        raise LifeCycleError(
            f"request {request.id} was verified under other thresholds than the policy has now. Verify it again with "
            "'unsee ledger verify'."
        )
    before = active_set(moment.board, moment.policy.steering)
    require_one_model(before, artifact, request.id)
    moment.files.require(request.id, artifact)
    others = sum(one.id != request.id for one in before.requests)
    return {
        "content_id": request.holding,
        "until": a_day("--until", until, earliest=moment.today) if until else "",
        "beside": others,
        "verified_beside": request.beside,
    }


def _reproduce(request: Request, moment: Moment, given: Mapping[str, str]) -> dict[str, Any]:
    about = moment.board.find(given.get("of") or "the request that causes it (--of)")
    if not about.in_force:
        raise LifeCycleError(f"request {about.id} is {about.state} and not in force, so it harms nobody now.")
    return {"about": about.id, "content_id": about.in_force}


def _resolve(request: Request, moment: Moment, given: Mapping[str, str]) -> dict[str, Any]:
    about = moment.board.requests[request.about]
    if about.in_force and (about.activated < request.panelled or request.id not in about.panel):
        raise LifeCycleError(
            f"request {about.id} still acts as it did when {request.id} was reproduced. First 'unsee ledger refit "
            f"{about.id}', then 'process' it, so that it is fitted and verified with the panel, and 'activate' it."
        )
    return {"about": about.id, "content_id": about.in_force}


_DETAILS: dict[str, Callable[[Request, Moment, Mapping[str, str]], dict[str, Any]]] = {
    "inquire": _inquire,
    "supply": _supply,
    "deny": _deny,
    "extend": _extend,
    "appeal": _appeal,
    "answer": _answer,
    "activate": _activate,
    "reproduce": _reproduce,
    "resolve": _resolve,
}
