"""JSON in and out, as every reader understands it: what is not portable is refused in both directions."""

import json
import math
from pathlib import Path
from typing import Any, NoReturn, cast

from unsee.erase.artifact_files import FETCH_AGAIN
from unsee.errors import ArtifactError

MAX_JSON = 1 << 20


def encoded(value: object, where: object) -> bytes:
    """JSON in ASCII with sorted keys and no spaces.

    Raises:
        ArtifactError: NaN, infinity, or a value of no JSON type; says `where`.
    """
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise ArtifactError(
            f"{where}: holds something that JSON cannot: {error}. Expected text, finite numbers, true, false, null, "
            "and lists or objects of them."
        ) from error
    return text.encode("ascii")


def parsed_object(data: bytes, where: Path, part: str = "") -> dict[str, Any]:
    """JSON as every reader understands it: no key twice, no NaN, no infinity, no endless integer; an object on top."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        seen: dict[str, Any] = {}
        for key, value in pairs:
            if key in seen:
                raise ArtifactError(f"{where}: {part}key {key!r} is there twice, expected once. {FETCH_AGAIN}")
            seen[key] = value
        return seen

    def refuse(constant: str) -> NoReturn:
        raise ArtifactError(f"{where}: {part}holds the number {constant[:40]}, expected 64-bit ones. {FETCH_AGAIN}")

    def whole(number: str) -> int:
        return int(number) if len(number) <= 20 else refuse(number)

    def finite(number: str) -> float:
        return float(number) if math.isfinite(float(number)) else refuse(number)

    if len(data) > MAX_JSON:
        raise ArtifactError(f"{where}: {part}is larger than {MAX_JSON} bytes, which none is. Keep data in tensors.")
    try:
        text = data.decode("utf-8")
        value = json.loads(text, object_pairs_hook=unique, parse_constant=refuse, parse_float=finite, parse_int=whole)
    except ArtifactError:
        raise
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{where}: {part}is not JSON: {error}. {FETCH_AGAIN}") from error
    if not isinstance(value, dict):
        raise ArtifactError(f"{where}: {part}is JSON but a {type(value).__name__}, expected an object. {FETCH_AGAIN}")
    return cast("dict[str, Any]", value)


def is_whole(value: object, least: int) -> bool:
    """Whether the value is an integer from `least` up; true and false are none, although Python counts them so."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
