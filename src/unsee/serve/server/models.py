"""One model by its name, which vLLM's application does not tell: it is taken from the list that it does."""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from unsee.serve.errors import RefusedError

LIST = "/v1/models"


async def model_named(app: Callable[..., Awaitable[None]], scope: MutableMapping[str, Any], receive: Any) -> bytes:
    """What the list of models says about the one that a path names, as JSON.

    Raises:
        RefusedError: it is not in the list.
    """
    parts: list[bytes] = []

    async def keep(message: MutableMapping[str, Any]) -> None:
        parts.append(message.get("body", b""))

    await app({**scope, "path": LIST, "raw_path": LIST.encode(), "method": "GET"}, receive, keep)
    name = scope["path"].removeprefix(f"{LIST}/")
    for model in json.loads(b"".join(parts))["data"]:
        if model["id"] == name:
            return json.dumps(model).encode()
    raise RefusedError(f"There is no such model. Expected one that {LIST} lists.", "model_not_found", 404)
