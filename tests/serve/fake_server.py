"""A server as `unsee serve` runs it, over an engine that is pretended: `python -m tests.serve.fake_server PORT`.

What a client writes decides what the engine does: "slow" streams a word every 0.2 s, "hang" says nothing more, "die"
ends the engine, after which every question to its workers hangs as vLLM's does.
"""

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, cast

import uvicorn

from unsee.serve.engine.reports import Asked, Told
from unsee.serve.errors import CanaryError
from unsee.serve.server.admission import Admission, Admitted
from unsee.serve.server.logs import configure
from unsee.serve.server.options import Options
from unsee.serve.server.prepare import Prepared
from unsee.serve.server.running import Behind, attend, door

REPORT = {
    "set": "s", "tokens": 1, "decided": True, "unreadable": False, "fired": {}, "highest": None, "steered": 0,
    "required": 0, "forced": 0, "due": 0, "reply": None,
}  # fmt: skip


class Engine:
    """What a server sees of vLLM: `errored`, questions to workers, and answers."""

    def __init__(self) -> None:
        self.errored, self.steers = False, True

    async def alive(self) -> None:
        if self.errored:
            await asyncio.sleep(3600)

    @asynccontextmanager
    async def admitted(self, tenant: Any, extras: Any) -> AsyncIterator[Admitted]:
        await self.alive()
        asked = Asked()
        asked.told["r"] = Told(1, REPORT)
        yield Admitted("sha256:s", "s", "s/0", 0, "ticket", asked, {"ledger": 0.001, "queue": 0.0})

    async def refresh(self) -> Any:
        return SimpleNamespace(active=(), folders={}, version=7, digest=lambda ids: "sha256:s")

    async def test(self) -> None:
        if not self.steers:
            raise CanaryError("it does not steer")

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return await lifespan(receive, send)
        asked = json.loads((await receive())["body"])["messages"][-1]["content"] if scope["method"] == "POST" else ""
        kind = b"text/event-stream" if asked in ("slow", "hang") else b"application/json"
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
        if asked == "die":
            self.errored = True
        await self.alive()
        self.steers = asked != "steer no more"
        for number in range(10 if asked == "slow" else 1):
            await send({"type": "http.response.body", "body": b"data: %d\n\n" % number, "more_body": True})
            await asyncio.sleep(0.2 if asked == "slow" else 3600 if asked == "hang" else 0)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def lifespan(receive: Any, send: Any) -> None:
    for kind in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{kind}.complete"})


async def main(port: int, given: dict[str, Any], drain: int) -> None:
    options, engine = Options.model_validate({"model": "m", **given}), Engine()
    configure(as_json=True)
    behind = Behind(engine.app, engine, cast("Admission", engine), engine.test)  # pyright: ignore[reportArgumentType]
    keeper, watches = await door(behind, options, cast("Prepared", SimpleNamespace(markers=(), special_tokens=True)))
    listener = socket.create_server(("127.0.0.1", port))
    config = uvicorn.Config(
        keeper, http="h11", limit_concurrency=options.limits.connections, timeout_graceful_shutdown=drain + 2
    )
    print("ready", flush=True)
    server = uvicorn.Server(config)
    await attend(server, listener, watches(server, drain))
    await engine.alive()  # as vLLM's shutdown may hang once its engine is dead


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), json.loads(sys.argv[2]), int(sys.argv[3])))
