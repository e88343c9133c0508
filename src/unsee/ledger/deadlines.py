"""Deadlines by calendar rules: a month is a month, and one that ends on a day of rest ends on the next working day.

GDPR Art. 12(3) gives one month from receipt, and two further months where that is necessary. Regulation (EEC, Euratom)
1182/71 says what a month is: it ends with the same date of the last month (Art. 3(2)(c)), with the last day of that
month where there is no such date, and where that is a Saturday, a Sunday or a holiday, with the next working day
(Art. 3(4)). Both run from the day of receipt, so an extension is counted from there and not from the first deadline.
"""

from calendar import monthrange
from datetime import date, datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field

from unsee.schema import Schema


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"no time zone is called {name!r:.60}, expected one as 'Europe/Vienna' or 'UTC'") from error
    return name


class Deadlines(Schema, strict=True):
    """How long an answer may take; the section of that name in the policy.

    Attributes:
        inquiry_stops_clock: whether days spent waiting for identity or information are added (EDPB 01/2022, 157-159).
    """

    months: int = Field(ge=1, le=12)
    extension_months: int = Field(ge=0, le=12)
    zone: Annotated[str, AfterValidator(_zone)]
    days_of_rest: bool
    holidays: list[date]
    inquiry_stops_clock: bool
    remind_days: int = Field(ge=0, le=36_500)
    close_days: int = Field(ge=0, le=36_500)

    def day(self, at: datetime) -> date:
        """The day that a moment belongs to."""
        return at.astimezone(ZoneInfo(self.zone)).date()

    def due(self, received: date, *, extended: bool = False, waited: int = 0) -> date:
        """The last day on which an answer is in time."""
        months = self.months + (self.extension_months if extended else 0)
        last = months_later(received, months) + timedelta(days=waited if self.inquiry_stops_clock else 0)
        while self.days_of_rest and (last.weekday() >= 5 or last in self.holidays):
            last += timedelta(days=1)
        return last


def months_later(day: date, months: int) -> date:
    """The same date of a later month, or its last day where there is no such date."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))
