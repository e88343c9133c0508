"""What each step of a request's life needs and sets, beside who and why."""

import re
from collections.abc import Collection, Mapping
from datetime import date
from typing import Any

from unsee.errors import OptionError
from unsee.ledger.canonical import a_day, plain_text
from unsee.ledger.errors import LifeCycleError
from unsee.ledger.policy import Policy
from unsee.ledger.request import Board, Request
from unsee.ledger.states import BRINGING, ENDED, Step

INQUIRIES = ("identity", "information")
Given = Mapping[str, str]
Changes = dict[str, Any]


def changes_of(step: Step, one: Request, board: Board, policy: Policy, today: date, why: str, given: Given) -> Changes:
    """The fields that a step sets which the table allows, by the options that were given.

    Raises:
        OptionError: an option is missing, strange or out of range.
        LifeCycleError: something else must come first.
    """
    made, due, state = Changes(), policy.deadlines.due, step.after or one.state
    match step.name:
        case name if name in BRINGING:
            raise LifeCycleError(f"'{name}' brings what it is about: use its own command, 'unsee ledger {name}'.")
        case "inquire":
            made = {"wanted": _one_of("what is requested", given.get("wanted"), INQUIRIES), "asked": today}
        case "supply":
            waited = one.waited + max(0, (today - (one.asked or today)).days)
            day = due(one.received, extended=bool(one.extended), waited=waited)
            made = {"waited": waited, "asked": None, "due": day}
        case "accept":
            made = {"denied": "", "ground": ""}
        case "deny":
            code = _one_of("the ground", given.get("ground"), policy.grounds)
            made = {"denied": code, "ground": policy.grounds[code], "asked": None}
        case "extend":
            _require_in_time(one, today)
            told = plain_text("how", given["how"]) if given.get("how") else ""
            made = {"due": due(one.received, extended=True, waited=one.waited), "extended": why, "told": told}
        case "appeal":
            made = {"answered": None, "how": "", "letter": "", "extended": "", "told": "", "due": due(today)}
        case "answer":
            made = _answer(one, today, given)
        case "activate":
            made = _activate(one, board, policy, today, given)
        case "reproduce":
            about = board.find(given.get("of") or "the request that causes it (--of)")
            if not about.in_force:
                raise LifeCycleError(f"request {about.id} is {about.state} and not in force, so it harms nobody now.")
            made = {"about": about.id}
        case "resolve":
            _require_remedy(one, board.requests[one.about])
    if state in ENDED:
        made |= {"held": None, "in_force": None, "verification": None, "asked": None, "ended": today}
    return {"state": state, **made}


def _require_in_time(one: Request, today: date) -> None:
    if today > one.due and not one.asked:
        raise LifeCycleError(
            f"the deadline of {one.id} was {one.due}, and today is {today}: it can only be extended before it has "
            "passed (GDPR Art. 12(3)). Answer the request, and say that this is late."
        )


def _answer(one: Request, today: date, given: Given) -> Changes:
    if not given.get("letter") or not given.get("how"):
        raise OptionError(
            "nobody is answered until something was sent: what was sent (--letter FILE) and how (--how) are needed. "
            "'unsee ledger letter' drafts one."
        )
    if not re.fullmatch("(sha256:)?[0-9a-f]{1,64}", given["letter"]):
        raise OptionError(f"the letter is {given['letter']!r:.40}, expected its SHA-256: the log keeps no more of it.")
    day = a_day("--sent", given["sent"], one.received, today) if given.get("sent") else today
    return {"answered": day, "how": plain_text("how", given["how"]), "letter": given["letter"]}


def _activate(one: Request, board: Board, policy: Policy, today: date, given: Given) -> Changes:
    assert one.held is not None and one.verification is not None, "the table asks for both"
    if one.verification.policy != policy.verification.digest:
        raise LifeCycleError(
            f"request {one.id} was verified under other thresholds than the policy has now. Verify it again with "
            "'unsee ledger verify'."
        )
    other = next((r for r in board.requests.values() if r.in_force and r.id != one.id), None)
    if other and other.in_force and other.in_force.model_digest != one.held.model_digest:
        raise LifeCycleError(
            f"request {one.id} was fitted on {one.held.model_id!r} (weights {one.held.model_digest[:19]}...), but "
            f"request {other.id}, which is active, on {other.in_force.model_id!r} (weights "
            f"{other.in_force.model_digest[:19]}...). One ledger serves one model: fit the request on that one, or "
            "keep another ledger for the other."
        )
    until = a_day("--until", given["until"], today, date.max) if given.get("until") else None
    return {"in_force": one.held, "panel": one.verification.panel, "until": until}


def _require_remedy(one: Request, about: Request) -> None:
    if about.in_force and one.id not in about.panel:
        raise LifeCycleError(
            f"request {about.id} still acts as it did when {one.id} was reproduced. First 'unsee ledger refit "
            f"{about.id}', then 'process' it, so that it is fitted and verified with the panel, and 'activate' it."
        )


def _one_of(what: str, found: str | None, known: Collection[str]) -> str:
    if found not in known or not found:
        raise OptionError(f"{what} is {found or '':.60}, expected one of {list(known)}.")
    return found
