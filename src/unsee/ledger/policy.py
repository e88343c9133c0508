"""The policy of a ledger: one TOML file beside the database, read strictly, with no defaults behind it.

Deadlines follow Regulation (EEC, Euratom) 1182/71: a month ends with the same date of the last month, or with its last
day where there is no such date (Art. 3(2)(c)), and on a day of rest with the next working day (Art. 3(4)).
"""

import tomllib
from calendar import monthrange
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, final
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, ValidationError

from unsee.errors import UnseeError
from unsee.ledger.canonical import canonical, digest
from unsee.ledger.errors import LifeCycleError, PolicyError
from unsee.schema import Schema, worded

FILE_NAME = "policy.toml"
LAST_YEAR = 9000
DEFAULT = Path(__file__).with_name(FILE_NAME)
"""What a new ledger is given."""
Share = Annotated[float, Field(ge=0, le=1)]
Days = Annotated[int, Field(ge=0, le=36_500)]


@final
class Thresholds(Schema, strict=True):
    """What a request must show before it may be switched on; `policy.toml` says what each means."""

    confidence: float = Field(gt=0.5, lt=1)
    max_leak: Share
    max_attack_leak: Share
    min_refusal: Share
    max_wrong_refusal: Share
    min_fluent: Share
    max_listed: Share

    @property
    def digest(self) -> str:
        """Tells verifications under other thresholds apart."""
        return digest(self.as_json())


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (LookupError, ValueError, OSError) as error:
        raise ValueError(f"no time zone is called {name!r:.60}, expected one as 'Europe/Vienna' or 'UTC'") from error
    return name


@final
class Deadlines(Schema, strict=True):
    """How long an answer may take, counted from the day of receipt (GDPR Art. 12(3))."""

    months: int = Field(ge=1, le=12)
    extension_months: int = Field(ge=0, le=12)
    zone: Annotated[str, AfterValidator(_zone)]
    days_of_rest: bool
    holidays: list[date]
    inquiry_stops_clock: bool
    remind_days: Days
    close_days: Days

    def day(self, at: datetime) -> date:
        """The day that a moment belongs to."""
        return at.astimezone(ZoneInfo(self.zone)).date()

    def due(self, received: date, *, extended: bool = False, waited: int = 0) -> date:
        """The last day on which an answer is in time; days that were waited are added, as EDPB 01/2022, 157-159."""
        months = self.months + (self.extension_months if extended else 0)
        if received.year > LAST_YEAR:
            raise LifeCycleError(f"the clock says {received}: no deadline is as late. Set this machine's clock.")
        last = months_later(received, months) + timedelta(days=waited if self.inquiry_stops_clock else 0)
        while self.days_of_rest and (last.weekday() >= 5 or last in self.holidays):
            last += timedelta(days=1)
        return last


def months_later(day: date, months: int) -> date:
    """The same date of a later month, or its last day where there is no such date."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


@final
class Answering(Schema, strict=True):
    """What letters and exports say."""

    sender: str
    authority: str
    untested: list[str]


@final
class Policy(Schema, strict=True):
    """The whole file."""

    version: Literal[5]
    database: str
    verification: Thresholds
    deadlines: Deadlines
    grounds: dict[str, str]
    answer: Answering
    steering: dict[str, Any]


def read_policy(path: Path) -> Policy:
    """Read a policy; PolicyError where it is missing, no TOML, or a field is missing, unknown or out of range."""
    try:
        policy = Policy.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        canonical(policy.steering)
    except OSError as error:
        raise PolicyError(f"cannot read the policy {path}: {error.strerror}. Put it back from a backup.") from error
    except (ValueError, UnseeError) as error:  # fields, TOML, UTF-8, or dates that JSON has not
        found = worded(error) if isinstance(error, ValidationError) else str(error)
        raise PolicyError(f"{path}: {found}. Correct it; docs/ledger.md has all fields.") from error
    return policy
