"""What must be done soon: answers that are due, terms that end, files that can be closed."""

from collections.abc import Sequence
from datetime import date, timedelta

from unsee.ledger.board import Request, day_of
from unsee.ledger.deadlines import Deadlines
from unsee.ledger.states import WORKING

Reminder = tuple[str, str, str, bool]
"""By which day, of which record, what, and whether that day has passed without an answer that was due."""


def reminders(
    requests: Sequence[Request], deadlines: Deadlines, today: date, within: int | None = None
) -> list[Reminder]:
    """In order of their days.

    Args:
        requests: all of them.
        deadlines: of the policy.
        today: in its zone.
        within: days ahead to look; the policy's if None.
    """
    latest = (today + timedelta(days=deadlines.remind_days if within is None else within)).isoformat()
    found = list[Reminder]()
    for one in requests:
        if one.ended:
            continue
        if not one.answered and one.due <= latest:
            wait = f" (waiting since {one.asked} for what was requested)" if one.asked else ""
            way = " or extend" if one.state in WORKING and not one.extended and one.due >= today.isoformat() else ""
            found.append((one.due, one.id, f"is {one.state}: answer{way}{wait}", one.due < today.isoformat()))
        if one.in_force and one.until and one.until <= latest:
            found.append((one.until, one.id, "its term ends: look at it again, revoke or expire it", False))
        if one.answered and not one.in_force and one.state == "answered":
            close = (day_of(one.answered) + timedelta(days=deadlines.close_days)).isoformat()
            if close <= latest:
                found.append((close, one.id, "no appeal has come: expire it, so that personal data go", False))
    return sorted(found)
