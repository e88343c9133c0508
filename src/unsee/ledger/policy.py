"""The policy of a ledger: one TOML file beside the database, read strictly, with no defaults behind it."""

import hashlib
import tomllib
from pathlib import Path
from typing import Any, Literal, final

from pydantic import Field, ValidationError

from unsee.errors import UnseeError
from unsee.ledger.deadlines import Deadlines
from unsee.ledger.errors import PolicyError
from unsee.ledger.framing import canonical
from unsee.schema import Schema, worded

FILE_NAME = "policy.toml"
DEFAULT = Path(__file__).with_name(FILE_NAME)
"""What a new ledger is given."""


@final
class Thresholds(Schema, strict=True):
    """What a request must show before it may be switched on; `policy.toml` says what each means."""

    confidence: float = Field(gt=0.5, lt=1)
    max_leak: float = Field(ge=0, le=1)
    max_attack_leak: float = Field(ge=0, le=1)
    min_refusal: float = Field(ge=0, le=1)
    max_wrong_refusal: float = Field(ge=0, le=1)
    min_fluent: float = Field(ge=0, le=1)
    max_listed: float = Field(ge=0, le=1)

    @property
    def digest(self) -> str:
        """Tells verifications under other thresholds apart."""
        return f"sha256:{hashlib.sha256(canonical(self.as_json()).encode()).hexdigest()}"


@final
class Answering(Schema, strict=True):
    """What letters and exports say."""

    sender: str
    authority: str
    untested: list[str]


@final
class Place(Schema, strict=True):
    """Where the ledger lies: beside the policy, or in a database that several servers share."""

    url: str


@final
class Policy(Schema, strict=True):
    """The whole file."""

    version: Literal[4]
    database: Place
    verification: Thresholds
    deadlines: Deadlines
    grounds: dict[str, str]
    answer: Answering
    steering: dict[str, Any]


def read_policy(path: Path) -> Policy:
    """Read and check a policy.

    Raises:
        PolicyError: missing, no TOML, or a field is missing, unknown or out of range.
    """
    try:
        policy = Policy.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        canonical(policy.steering)
    except OSError as error:
        raise PolicyError(f"cannot read the policy {path}: {error.strerror}. Put it back from a backup.") from error
    except (ValueError, UnseeError) as error:  # fields, TOML, UTF-8, or dates that JSON has not
        found = worded(error) if isinstance(error, ValidationError) else str(error)
        raise PolicyError(f"{path}: {found}. Correct it; docs/ledger.md has all fields.") from error
    return policy
