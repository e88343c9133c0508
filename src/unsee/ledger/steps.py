"""What each step of a request's life needs and sets, beside who and why."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, final

from unsee.errors import OptionError
from unsee.ledger.active import active_set, require_one_model
from unsee.ledger.board import Board
from unsee.ledger.errors import LifeCycleError
from unsee.ledger.policy import Policy
from unsee.ledger.request import Request
from unsee.ledger.states import BRINGING, ENDED, Step
from unsee.ledger.texts import a_day, plain_text

INQUIRIES = ("identity", "information")
TYPED = ("how",)
"""Options that hold free text; the others are dates, ids, codes and digests."""
Given = Mapping[str, str]
Changes = dict[str, Any]


@final
@dataclass(frozen=True)
class Moment:
    """What a step is decided on."""

    board: Board
    policy: Policy
    today: date
    why: str


def changes_of(step: Step, request: Request, moment: Moment, given: Given) -> Changes:
    """The fields that a step sets which the table allows, by the options that were given (empty ones were not).

    Raises:
        OptionError: an option is missing, strange or out of range.
        LifeCycleError: something else must come first.
    """
    if step.name in BRINGING:
        raise LifeCycleError(f"'{step.name}' brings what it is about: use its own command, 'unsee ledger {step.name}'.")
    made = _CHANGES.get(step.name, lambda request, moment, given: {})(request, moment, given)
    state = step.after or request.state
    if state in ENDED:
        made |= {"held": None, "in_force": None, "verification": None, "asked": None, "ended": moment.today}
    return {"state": state, **made}


def _inquire(request: Request, moment: Moment, given: Given) -> Changes:
    return {"wanted": _one_of("what is requested", "wanted", given, INQUIRIES), "asked": moment.today}


def _supply(request: Request, moment: Moment, given: Given) -> Changes:
    waited = request.waited + max(0, (moment.today - (request.asked or moment.today)).days)
    due = moment.policy.deadlines.due(request.received, extended=bool(request.extended), waited=waited)
    return {"waited": waited, "asked": None, "due": due}


def _deny(request: Request, moment: Moment, given: Given) -> Changes:
    code = _one_of("the ground", "ground", given, moment.policy.grounds)
    return {"denied": code, "ground": moment.policy.grounds[code], "asked": None}


def _extend(request: Request, moment: Moment, given: Given) -> Changes:
    if moment.today > request.due and not request.asked:
        raise LifeCycleError(
            f"the deadline of {request.id} was {request.due}, and today is {moment.today}: it can only be extended "
            "before it has passed (GDPR Art. 12(3)). Answer the request, and say that this is late."
        )
    due = moment.policy.deadlines.due(request.received, extended=True, waited=request.waited)
    return {"due": due, "extended": moment.why, "told": plain_text("how", given["how"]) if given.get("how") else ""}


def _appeal(request: Request, moment: Moment, given: Given) -> Changes:
    due = moment.policy.deadlines.due(moment.today)
    return {"answered": None, "how": "", "letter": "", "extended": "", "told": "", "due": due}


def _answer(request: Request, moment: Moment, given: Given) -> Changes:
    if not given.get("letter") or not given.get("how"):
        raise OptionError(
            "nobody is answered until something was sent: what was sent (--letter FILE) and how (--how) are needed. "
            "'unsee ledger letter' drafts one."
        )
    sent = given.get("sent") or moment.today.isoformat()
    day = a_day("--sent", sent, earliest=request.received, latest=moment.today)
    return {"answered": day, "how": plain_text("how", given["how"]), "letter": given["letter"]}


def _activate(request: Request, moment: Moment, given: Given) -> Changes:
    verified = request.verification
    assert request.held is not None and verified is not None, "the table asks for both"
    if verified.policy != moment.policy.verification.digest:
        raise LifeCycleError(
            f"request {request.id} was verified under other thresholds than the policy has now. Verify it again with "
            "'unsee ledger verify'."
        )
    require_one_model(active_set(moment.board, moment.policy.steering), request.held, request.id)
    until = a_day("--until", given["until"], earliest=moment.today) if given.get("until") else None
    return {"in_force": request.held, "panel": verified.panel, "until": until}


def _reproduce(request: Request, moment: Moment, given: Given) -> Changes:
    about = moment.board.find(given.get("of") or "the request that causes it (--of)")
    if not about.in_force:
        raise LifeCycleError(f"request {about.id} is {about.state} and not in force, so it harms nobody now.")
    return {"about": about.id}


def _resolve(request: Request, moment: Moment, given: Given) -> Changes:
    about = moment.board.requests[request.about]
    if about.in_force and request.id not in about.panel:
        raise LifeCycleError(
            f"request {about.id} still acts as it did when {request.id} was reproduced. First 'unsee ledger refit "
            f"{about.id}', then 'process' it, so that it is fitted and verified with the panel, and 'activate' it."
        )
    return {}


_CHANGES: dict[str, Callable[[Request, Moment, Given], Changes]] = {
    "inquire": _inquire,
    "supply": _supply,
    "accept": lambda request, moment, given: {"denied": "", "ground": ""},
    "deny": _deny,
    "extend": _extend,
    "appeal": _appeal,
    "answer": _answer,
    "activate": _activate,
    "reproduce": _reproduce,
    "resolve": _resolve,
}


def _one_of(what: str, option: str, given: Given, known: "tuple[str, ...] | Mapping[str, str]") -> str:
    found = given.get(option, "")
    if found not in known:
        raise OptionError(f"{what} is {found!r:.60}, expected one of {list(known)}.")
    return found
