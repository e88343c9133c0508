"""Calendar rules, against dates worked out by hand from Regulation 1182/71, and dateutil's month arithmetic."""

from datetime import UTC, date, datetime

import pytest
from benchmarks.ledger_worker import BY, received
from dateutil.relativedelta import relativedelta
from hypothesis import given
from hypothesis import strategies as st
from tests.ledger.conftest import Clock

from unsee.ledger import Ledger
from unsee.ledger.errors import LifeCycleError
from unsee.ledger.policy import Deadlines, months_later
from unsee.ledger.reminders import reminders

RULES = Deadlines(
    months=1, extension_months=2, zone="Europe/Vienna", days_of_rest=True, holidays=[date(2026, 12, 25)],
    inquiry_stops_clock=True, remind_days=7, close_days=90,
)  # fmt: skip


@pytest.mark.parametrize(("received", "due", "extended"), [
    ("2026-05-04", "2026-06-04", "2026-08-04"),
    ("2026-01-30", "2026-03-02", "2026-04-30"),  # no 30 February: its last day, the 28th, is a Saturday
    ("2028-01-31", "2028-02-29", "2028-05-01"),  # a leap year; 30 April is a Sunday
    ("2028-01-29", "2028-02-29", "2028-05-01"),  # 29 April is a Saturday
    ("2026-11-25", "2026-12-28", "2027-02-25"),  # a holiday on a Friday, then the weekend
    ("2026-12-31", "2027-02-01", "2027-03-31"),  # over the year; 31 January is a Sunday
    ("2027-02-28", "2027-03-29", "2027-05-28"),  # the same date and not the end of the month; 28 March is a Sunday
])  # fmt: skip
def test_a_month_and_three(received: str, due: str, extended: str) -> None:
    day = date.fromisoformat(received)
    assert RULES.due(day).isoformat() == due
    assert RULES.due(day, extended=True).isoformat() == extended, "counted from receipt, not from the first deadline"


def test_waiting_is_added_before_days_of_rest_are_looked_at_and_a_day_is_the_zones() -> None:
    assert RULES.due(date(2026, 5, 4), waited=2) == date(2026, 6, 8)
    assert RULES.model_copy(update={"inquiry_stops_clock": False}).due(date(2026, 5, 4), waited=2) == date(2026, 6, 4)
    assert RULES.day(datetime(2026, 5, 4, 22, 30, tzinfo=UTC)) == date(2026, 5, 5)


def test_a_clock_that_is_no_clock_is_told() -> None:
    with pytest.raises(LifeCycleError, match="clock"):
        RULES.due(date(9999, 12, 15))


@given(st.dates(date(1990, 1, 1), date(2100, 1, 1)), st.integers(0, 40))
def test_months_are_those_of_dateutil(day: date, months: int) -> None:
    assert months_later(day, months) == day + relativedelta(months=months)


def test_what_is_due(ledger: Ledger, clock: Clock) -> None:
    one, other = received(ledger, 1), received(ledger, 2)
    ledger.take(
        "answer", ledger.take("deny", other.id, BY, ground="excessive").id, BY, letter="sha256:0", how="by post"
    )
    overdue, closes = (one.id, True), (other.id, False)
    for month, day, expected in ((5, 4, []), (5, 28, [(one.id, False)]), (8, 3, [overdue, closes])):
        clock.now = clock.now.replace(month=month, day=day)
        due = reminders(ledger.requests(), ledger.policy.deadlines, ledger.today)
        assert [(one.record, one.overdue) for one in due] == expected, "overdue; and closed 90 days after its answer"
