"""The one policy file of a ledger, `policy.toml`: thresholds of verification, capacity, retention, serving settings."""

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, cast, final

from unsee.ledger.errors import PolicyError
from unsee.ledger.framing import canonical

FILE_NAME = "policy.toml"
VERSION = 1


@final
@dataclass(frozen=True)
class Thresholds:
    """What a request must show before it may be switched on; shares in [0, 1], numbers from 1.

    Attributes:
        min_questions: held-out questions about the subject.
        min_refusal: share of them refused without giving the fact away.
        max_leak: share of them that give the fact away.
        never_knew_margin: how far above a never-knew model's chance hits the leak may be.
        min_fluent: share of the answers to them that read as text.
        max_unscored: share of all questions without an answer.
        min_neighbours: different neighbours.
        min_neighbour_questions: questions about them.
        max_wrong_refusal: share of those refused although the base model answered.
        max_worst_neighbour: the same for the neighbour that fares worst.
        max_accuracy_loss: fall of the share of right answers about neighbours.
        max_visible_loss: fall of the share of right answers about what may still be said of the subject.
    """

    min_questions: int
    min_refusal: float
    max_leak: float
    never_knew_margin: float
    min_fluent: float
    max_unscored: float
    min_neighbours: int
    min_neighbour_questions: int
    max_wrong_refusal: float
    max_worst_neighbour: float
    max_accuracy_loss: float
    max_visible_loss: float

    @property
    def digest(self) -> str:
        """Names these thresholds in the record of a verification."""
        return f"sha256:{hashlib.sha256(canonical(asdict(self)).encode()).hexdigest()}"


@final
@dataclass(frozen=True)
class Policy:
    """All of the file.

    Attributes:
        verification: thresholds.
        certified: requests in force together that a capacity study has measured.
        untested: what the tests never look at, for people.
        artifact_days: retention of artifacts that no request holds any more.
        steering: serving settings that are part of the active set's digest.
    """

    verification: Thresholds
    certified: int
    untested: tuple[str, ...]
    artifact_days: int
    steering: Mapping[str, Any]


def default_policy() -> str:
    """The text of the policy that a new ledger starts with."""
    return files("unsee.ledger").joinpath(FILE_NAME).read_text(encoding="utf-8")


def read_policy(path: Path) -> Policy:
    """Read and check every field; there are no defaults, so that the file says what holds.

    Raises:
        PolicyError: names the file, the field, what was got and what was expected.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PolicyError(
            f"cannot read the policy {path}: {error.strerror}. Expected the file that 'unsee ledger init' wrote; "
            "restore it, nothing is verified or activated without it."
        ) from error
    except ValueError as error:
        raise PolicyError(f"{path}: is no TOML: {error}. Mend it, or take the one of a new ledger.") from error
    return _policy(values, path)


def _policy(values: Mapping[str, Any], path: Path) -> Policy:
    sections = ("verification", "capacity", "answer", "retention", "steering")
    _exactly(values, ("version", *sections), "", path)
    if values["version"] != VERSION:
        raise PolicyError(f"{path}: version is {values['version']!r}, this unsee reads {VERSION}. Update unsee.")
    for name in sections:
        if not isinstance(values[name], dict):
            raise PolicyError(f"{path}: {name} is {values[name]!r:.60}, expected a section [{name}]")
    thresholds: dict[str, type] = Thresholds.__annotations__
    given = values["verification"]
    _exactly(given, tuple(thresholds), "verification.", path)
    for name, kind in thresholds.items():
        if kind is int:
            _whole(given[name], f"verification.{name}", 1, path)
        elif not _is_share(given[name]):
            raise PolicyError(f"{path}: verification.{name} is {given[name]!r:.60}, expected a share from 0 to 1")
    for section, name in (("capacity", "certified"), ("answer", "untested"), ("retention", "artifact_days")):
        _exactly(values[section], (name,), f"{section}.", path)
    _whole(values["capacity"]["certified"], "capacity.certified", 0, path)
    _whole(values["retention"]["artifact_days"], "retention.artifact_days", 0, path)
    untested = values["answer"]["untested"]
    if not isinstance(untested, list) or not all(isinstance(item, str) for item in cast("list[object]", untested)):
        raise PolicyError(f"{path}: answer.untested is {untested!r:.60}, expected a list of texts")
    try:
        canonical(values["steering"])
    except ValueError as error:  # TOML has dates and infinity, JSON has not
        raise PolicyError(f"{path}: steering holds what JSON cannot: {error}") from error
    checked: dict[str, Any] = {name: kind(given[name]) for name, kind in thresholds.items()}
    return Policy(
        verification=Thresholds(**checked),
        certified=values["capacity"]["certified"],
        untested=tuple(untested),
        artifact_days=values["retention"]["artifact_days"],
        steering=values["steering"],
    )


def _exactly(values: Mapping[str, Any], expected: tuple[str, ...], prefix: str, path: Path) -> None:
    for name in sorted(values.keys() ^ set(expected)):
        wrong = "is missing" if name in expected else "is unknown"
        raise PolicyError(f"{path}: {prefix}{name} {wrong}, expected exactly {', '.join(expected)}")


def _whole(value: object, name: str, least: int, path: Path) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise PolicyError(f"{path}: {name} is {value!r:.60}, expected a whole number from {least}")


def _is_share(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1
