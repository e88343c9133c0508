"""The policy of a ledger: one TOML file beside the database, read strictly, with no defaults behind it."""

import hashlib
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from unsee.ledger.deadlines import Deadlines
from unsee.ledger.errors import PolicyError
from unsee.ledger.framing import canonical

FILE_NAME = "policy.toml"


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


@final
class Thresholds(_Section):
    """What a request must show before it may be switched on; `policy.toml` says what each means."""

    confidence: float = Field(gt=0.5, lt=1)
    max_leak: float = Field(ge=0, le=1)
    min_refusal: float = Field(ge=0, le=1)
    max_wrong_refusal: float = Field(ge=0, le=1)
    min_neighbours: int = Field(ge=0)
    max_visible_loss: float = Field(ge=0, le=1)
    min_fluent: float = Field(ge=0, le=1)
    max_unscored: float = Field(ge=0, le=1)

    @property
    def digest(self) -> str:
        """Tells verifications under other thresholds apart."""
        return f"sha256:{hashlib.sha256(canonical(self.model_dump()).encode()).hexdigest()}"


@final
class Answering(_Section):
    """What letters and exports say."""

    sender: str
    authority: str
    untested: list[str]


@final
class Retention(_Section):
    """How long what is no longer needed is kept."""

    artifact_days: int = Field(ge=0)


@final
class Policy(_Section):
    """The whole file."""

    version: Literal[2]
    verification: Thresholds
    deadlines: Deadlines
    grounds: dict[str, str]
    answer: Answering
    retention: Retention
    steering: dict[str, Any]


def default_policy() -> str:
    """The file that a new ledger is given."""
    return files("unsee.ledger").joinpath(FILE_NAME).read_text(encoding="utf-8")


def read_policy(path: Path) -> Policy:
    """Read and check a policy.

    Raises:
        PolicyError: missing, no TOML, or a field is missing, unknown or out of range.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        policy = Policy.model_validate(values)
        canonical(policy.steering)
    except ValidationError as error:
        found = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}, got {e['input']!r:.60}" for e in error.errors())
        raise PolicyError(f"{path}: {found}. Correct these fields; docs/ledger.md has all of them.") from error
    except OSError as error:
        raise PolicyError(f"cannot read the policy {path}: {error.strerror}. Put it back from a backup.") from error
    except ValueError as error:  # TOML, UTF-8, or dates and infinity that JSON has not
        raise PolicyError(f"{path}: is not a policy: {error}. Correct it, or take a new ledger's.") from error
    return policy
