"""JSON in and out, as every reader understands it: what is not portable is refused in both directions."""

import json
from pathlib import Path
from typing import Any

from unsee.data.records import strict_json
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
    """JSON as every reader understands it: no key twice, no NaN, no infinity, no endless integer; an object on top.

    Raises:
        ArtifactError: it is something else; says `where`.
    """
    if len(data) > MAX_JSON:
        raise ArtifactError(f"{where}: {part}is larger than {MAX_JSON} bytes, which none is. Keep data in tensors.")
    try:
        value = strict_json(data.decode("utf-8"))
    except ValueError as error:
        raise ArtifactError(f"{where}: {part}is not JSON: {error}. {FETCH_AGAIN}") from error
    if not isinstance(value, dict):
        raise ArtifactError(f"{where}: {part}is JSON but a {type(value).__name__}, expected an object. {FETCH_AGAIN}")
    return value


def is_whole(value: object, least: int) -> bool:
    """Whether the value is an integer from `least` up; true and false are none, although Python counts them so."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
