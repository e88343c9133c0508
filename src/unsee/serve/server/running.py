"""A door over an engine, and what watches over both while it is open."""

import asyncio
import signal
import socket
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, final

import uvicorn

from unsee.serve.server import life as living
from unsee.serve.server.admission import Admission
from unsee.serve.server.asgi import Application
from unsee.serve.server.door import Door, Served
from unsee.serve.server.life import Life
from unsee.serve.server.metrics import Metrics
from unsee.serve.server.options import Options
from unsee.serve.server.prepare import Prepared
from unsee.serve.server.tenants import Roster

Watches = Callable[[uvicorn.Server, float], list[Coroutine[Any, Any, None]]]


@final
@dataclass(frozen=True)
class Behind:
    """What a door stands in front of.

    Attributes:
        app: answers.
        engine: says `errored` once it is dead.
        admission: to the engine.
        test: sends the canary in.
    """

    app: Application
    engine: Any
    admission: Admission
    test: Callable[[], Awaitable[None]]


async def door(behind: Behind, options: Options, prepared: Prepared) -> tuple[Door, Watches]:
    """A door, with what is in force loaded, and what must run beside it.

    Raises:
        LedgerError, ArtifactError, EngineError: nothing can be served.
    """
    roster, life, metrics = Roster(options.tenants), Life(), Metrics()

    async def look() -> None:
        now = await behind.admission.refresh()
        unlisted = roster.now().unlisted(now.active)
        metrics.in_force(now.digest(now.folders), len(now.folders), len(unlisted), now.version)
        for part, wrong in life.parts.items():
            metrics.well(part, not wrong)

    async def test() -> None:
        await behind.test()
        metrics.passed()

    await look()
    metrics.passed()
    longest = getattr(getattr(behind.engine, "model_config", None), "max_model_len", 0)
    served = Served(prepared.markers, prepared.special_tokens, longest)

    def watches(server: uvicorn.Server, drain_seconds: float) -> list[Coroutine[Any, Any, None]]:
        return [
            living.watch_engine(life, behind.engine, server),
            living.watch_end(life, server, drain_seconds),
            living.watch_ledger(life, look),
            living.watch_canary(life, test, 60 * options.canary_minutes),
            living.watch_connections(server, options.limits.head_seconds),
        ]

    return Door(behind.app, behind.admission, roster, life, metrics, options, served), watches


async def attend(server: uvicorn.Server, listener: socket.socket, watches: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Run a server and its watches until it ends."""
    for number in (signal.SIGINT, signal.SIGTERM):
        # uvicorn raises again what it has handled; the engine has to be ended first.
        signal.signal(number, lambda *_: None)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(watch) for watch in watches]
        await server.serve([listener])
        for task in tasks:
            task.cancel()
