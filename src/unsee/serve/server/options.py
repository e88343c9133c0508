"""What a server is started with: one schema for the command line, a TOML file and Python."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError

from unsee.errors import OptionError

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="printf %s KEY | sha256sum")]


class Section(BaseModel):
    """A part of a file: nothing unknown, nothing converted."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@final
class Limits(Section):
    """What one server takes at most.

    Attributes:
        body_bytes: of one request.
        bodies_bytes: of all requests that are being read or decoded.
        body_seconds: to receive a body.
        head_seconds: to receive a head, or to wait on an open connection for the next.
        answer_seconds: from a whole request to the last byte of its answer.
        engine_seconds: for a question to the engine's workers.
        connections: open at once; further ones get 503.
        decoders: requests parsed, and their images decoded, at once.
    """

    body_bytes: PositiveInt = 64 * 2**20
    bodies_bytes: PositiveInt = 256 * 2**20
    body_seconds: PositiveFloat = 60
    head_seconds: PositiveFloat = 20
    answer_seconds: PositiveFloat = 600
    engine_seconds: PositiveFloat = 60
    connections: PositiveInt = 1000
    decoders: PositiveInt = 4


def _command_line(given: object) -> object:
    """A table of vLLM's options as on its command line: `max-model-len = 2048`, `enforce-eager = true`."""
    if not isinstance(given, Mapping):
        return given
    words: list[str] = []
    for name, value in given.items():
        flag = f"--{name}".replace("_", "-")
        if isinstance(value, bool):
            words += [flag] if value else [f"--no-{flag[2:]}"]
        else:
            words += [flag, *map(str, value if isinstance(value, list) else [value])]
    return words


@final
class Options(Section):
    """A server.

    Attributes:
        model: as the user names it; clients name it so too.
        path: where it lies; empty until it was looked up.
        ledger: folder of the ledger.
        host: to listen on.
        port: to listen on.
        dtype: precision, or "auto".
        tenants: file of who may ask; none lets anybody.
        metrics_key_sha256: of the key that opens `/metrics` where there are tenants.
        open_metrics: whether `/metrics` needs no key.
        tell_gates: whether headers tell clients that a gate fired, and by how much.
        assistant_turns: whether conversations may hold assistant turns that this server has not answered.
        json_logs: one JSON object a line.
        canary_minutes: between two self-tests of a running server.
        limits: what it takes at most.
        engine: further options of vLLM, as on its command line.
    """

    model: str
    path: str = ""
    ledger: Path = Path("ledger")
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    dtype: str = "auto"
    tenants: Path | None = None
    metrics_key_sha256: Digest | None = None
    open_metrics: bool = False
    tell_gates: bool = False
    assistant_turns: Literal["served", "any"] = "served"
    json_logs: bool = False
    canary_minutes: PositiveFloat = 10
    limits: Limits = Limits()
    engine: Annotated[tuple[str, ...], BeforeValidator(_command_line)] = ()


def read_options(path: Path | None, given: Mapping[str, Any]) -> Options:
    """Options of a file, if any, with those that were given beside it instead of the file's.

    Raises:
        OptionError: names the field.
    """
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise OptionError(f"cannot read the options {str(path)!r}: {error}. Expected a TOML file.") from error
    beside = {name: value for name, value in given.items() if name != "engine"}
    try:
        options = Options.model_validate({**values, **beside})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        known = ", ".join(sorted(Options.model_fields))
        raise OptionError(
            f"{path or 'the options'}: {place}: {first['msg']}. Expected {known}; see docs, Serving."
        ) from error
    return options.model_copy(update={"engine": (*options.engine, *given["engine"])})
