"""What must be done soon: answers that are due, terms that end, files that can be closed."""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import NamedTuple

from unsee.ledger.policy import Deadlines
from unsee.ledger.request import Request
from unsee.ledger.states import ENDED, WORKING


class Reminder(NamedTuple):
    """By which day, of which record, what; and whether an answer was due by then and that day has passed."""

    by: date
    record: str
    what: str
    overdue: bool = False


def reminders(
    requests: Sequence[Request], deadlines: Deadlines, today: date, within: int | None = None
) -> list[Reminder]:
    """In order of their days, those of the days ahead: `within`, or the policy's."""
    latest = today + timedelta(days=deadlines.remind_days if within is None else within)
    every = (one for request in requests if request.state not in ENDED for one in _of(request, deadlines, today))
    return sorted(one for one in every if one.by <= latest)


def _of(one: Request, deadlines: Deadlines, today: date) -> Iterator[Reminder]:
    if not one.answered:
        wait = f" (waiting since {one.asked} for what was requested)" if one.asked else ""
        way = " or extend" if one.state in WORKING and not one.extended and one.due >= today else ""
        yield Reminder(one.due, one.id, f"is {one.state}: answer{way}{wait}", one.due < today)
    if one.in_force and one.until:
        yield Reminder(one.until, one.id, "its term ends: look at it again, revoke or expire it")
    if one.answered and not one.in_force and one.state == "answered":
        closes = one.answered + timedelta(days=deadlines.close_days)
        yield Reminder(closes, one.id, "no appeal has come: expire it, so that personal data go")
