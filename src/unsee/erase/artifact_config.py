"""The config of an artifact: its fields, and the check that every one is there and means something."""

import importlib.metadata
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypedDict, cast

from unsee.erase.artifact_files import FETCH_AGAIN, Kind
from unsee.erase.strict_json import MAX_JSON, is_whole, parsed_object
from unsee.errors import ArtifactError

FORMAT_VERSION = 1


class BaseModel(TypedDict):
    """The checkpoint that an artifact was made on: hub id or folder name, commit or None, digest of its weights."""

    id: str
    revision: str | None
    digest: str


class Config(TypedDict):
    """Every field of the config file; all are required and no other is allowed.

    Attributes:
        format_version: version of this layout, `FORMAT_VERSION`.
        kind: "eraser" (one request) or "profile" (one model).
        base_model: the checkpoint that it fits.
        family: model family, as the adapters name it.
        layers: indices of the decoder blocks whose input is read or steered, distinct, from 0; L of them.
        hidden_size: width of the residual stream, D.
        method: name of the method that made it.
        settings: every setting of the method, and its calibration; any JSON.
        counts: number of samples behind it, by role.
        created: when it was made (ISO 8601).
        libraries: version of each library that made it.
        content_id: "sha256:" and 64 hexadecimal digits, see `content_id`.
    """

    format_version: int
    kind: Kind
    base_model: BaseModel
    family: str
    layers: list[int]
    hidden_size: int
    method: str
    settings: dict[str, Any]
    counts: dict[str, int]
    created: str
    libraries: dict[str, str]
    content_id: str


def _text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _indices(value: object) -> bool:
    if not isinstance(value, list):
        return False
    items = cast("list[object]", value)
    return bool(items) and all(is_whole(item, 0) for item in items) and len(set(items)) == len(items)


def _object_of(value: object, fits: Callable[[object], bool]) -> bool:
    return isinstance(value, dict) and all(fits(item) for item in cast("dict[str, object]", value).values())


_Rules = Mapping[str, tuple[Callable[[object], bool], str]]
_FIELDS: _Rules = {
    "format_version": (lambda value: is_whole(value, 1), "a whole number from 1"),
    "kind": (_text, "a text that is not empty"),
    "base_model": (lambda value: isinstance(value, dict), "an object with id, revision and digest"),
    "family": (_text, "a text that is not empty"),
    "layers": (_indices, "a list of distinct whole numbers from 0, at least one"),
    "hidden_size": (lambda value: is_whole(value, 1), "a whole number from 1"),
    "method": (_text, "a text that is not empty"),
    "settings": (lambda value: isinstance(value, dict), "an object"),
    "counts": (lambda value: _object_of(value, lambda item: is_whole(item, 0)), "an object of whole numbers from 0"),
    "created": (_text, "a text that is not empty"),
    "libraries": (lambda value: _object_of(value, _text), "an object of version texts"),
    "content_id": (
        lambda value: isinstance(value, str) and re.fullmatch(r"sha256:[0-9a-f]{64}", value) is not None,
        "sha256: and 64 hexadecimal digits",
    ),
}
_BASE_MODEL_FIELDS: _Rules = {
    "id": (_text, "a text that is not empty"),
    "revision": (lambda value: value is None or _text(value), "a text that is not empty, or null"),
    "digest": (_text, "a text that is not empty"),
}


def library_versions() -> dict[str, str]:
    """Versions that an artifact records."""
    return {name: importlib.metadata.version(name) for name in ("unsee", "torch", "transformers", "safetensors")}


def decode_config(data: bytes, kind: str, where: Path) -> Config:
    """The config in `data`, every field checked.

    Raises:
        ArtifactError: too large, not JSON, of a newer format or another kind, or a field is missing, unknown or wrong.
    """
    if len(data) > MAX_JSON:
        raise ArtifactError(f"{where}: is larger than {MAX_JSON} bytes, which no config is. Keep data in tensors.")
    config = parsed_object(data, where)
    version = config.get("format_version")
    if is_whole(version, 1) and version != FORMAT_VERSION:
        raise ArtifactError(
            f"{where}: format_version is {version}, this unsee reads {FORMAT_VERSION}. Update unsee to load it."
        )
    if "kind" in config and config["kind"] != kind:
        raise ArtifactError(f"{where}: kind is {config['kind']!r}, expected {kind!r}. Check the path.")
    _check_fields(config, _FIELDS, "", where)
    _check_fields(config["base_model"], _BASE_MODEL_FIELDS, "base_model.", where)
    return cast("Config", config)


def _check_fields(values: Mapping[str, object], rules: _Rules, prefix: str, where: Path) -> None:
    for field in sorted(values.keys() ^ rules.keys()):
        wrong = "is missing" if field in rules else "is unknown"
        fields = ", ".join(rules)
        raise ArtifactError(f"{where}: field {prefix + field!r} {wrong}, expected exactly {fields}. {FETCH_AGAIN}")
    for field, (fits, expected) in rules.items():
        if not fits(values[field]):
            got = repr(values[field])[:80]
            raise ArtifactError(f"{where}: field {prefix + field!r} is {got}, expected {expected}. {FETCH_AGAIN}")
