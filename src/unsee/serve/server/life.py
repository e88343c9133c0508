"""Whether a server is well, and what ends its requests when it is not.

Every request is answered inside `Life.request`, which has a limit of time; when the engine dies or the server must end,
the limit of all is now.
"""

import asyncio
import logging
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, final

from unsee.errors import UnseeError
from unsee.serve.errors import CanaryError, EngineError

LOG = logging.getLogger("unsee.serve")
LOOK_SECONDS = 0.25
LEDGER_SECONDS = 2.0
RETRY_SECONDS = 15.0
END_SECONDS = 5.0
"""From the end of all requests to the end of the process, however the engine takes it."""


@final
class Life:
    """What is wrong with a server, and its running requests.

    Attributes:
        parts: server, engine, ledger (with its policy and the tenants' file) and canary, each with what is wrong; empty
            if well.
    """

    def __init__(self) -> None:
        self.parts = {"server": "", "engine": "", "ledger": "", "canary": ""}
        self._limits: set[asyncio.Timeout] = set()
        self._closed: set[str] = set()

    @property
    def ready(self) -> bool:
        """Whether requests can be answered."""
        return not any(self.parts.values())

    @asynccontextmanager
    async def request(self, seconds: float) -> AsyncIterator[None]:
        """A request is answered.

        Raises:
            EngineError: nothing is answered any more, or not until the canary passes again.
            TimeoutError: it took too long, or the server must end.
        """
        if self._closed:
            wrong = ", ".join(f"{part} {self.parts[part]}" for part in sorted(self._closed))
            raise EngineError(f"{wrong}: nothing is answered. See /ready, and the runbook in docs, Serving.")
        async with asyncio.timeout(seconds) as limit:
            self._limits.add(limit)
            try:
                yield
            finally:
                self._limits.discard(limit)

    def close(self, part: str, reason: str) -> None:
        """Answer nothing more because of a part; what is being answered ends now."""
        self.parts[part] = reason
        self._closed.add(part)
        for limit in self._limits:
            if not limit.expired():
                limit.reschedule(asyncio.get_running_loop().time())

    def well(self, part: str) -> None:
        """Nothing is wrong with a part (again)."""
        self.parts[part] = ""
        self._closed.discard(part)


async def watch_engine(life: Life, engine: Any, server: Any) -> None:
    """Until the engine dies: then all requests end, and the server does."""
    while not engine.errored:
        await asyncio.sleep(LOOK_SECONDS)
    life.close("engine", "dead")
    end_within(END_SECONDS)
    server.should_exit = True


async def watch_end(life: Life, server: Any, seconds: float) -> None:
    """Until the server is told to end: then running requests have so long to be answered."""
    while not server.should_exit:
        await asyncio.sleep(LOOK_SECONDS)
    end_within(seconds + END_SECONDS)
    await asyncio.sleep(seconds)
    life.close("server", "shutting down")


async def watch_ledger(life: Life, look: Callable[[], Awaitable[None]]) -> None:
    """Look again and again whether what is in force can be read."""
    while True:
        try:
            await look()
            life.well("ledger")
        except (UnseeError, OSError) as error:
            LOG.error("what is in force cannot be read: %s", error)
            life.parts["ledger"] = "unreadable"
        await asyncio.sleep(LEDGER_SECONDS)


async def watch_canary(life: Life, fly: Callable[[], Awaitable[None]], seconds: float) -> None:
    """Test the running engine again and again; while it answers otherwise than the library it answers nobody."""
    while True:
        await asyncio.sleep(min(RETRY_SECONDS, seconds) if life.parts["canary"] else seconds)
        try:
            await fly()
            life.well("canary")
        except CanaryError as error:
            LOG.error("the canary has failed: %s", error)
            life.close("canary", "failed")
        except (UnseeError, OSError) as error:  # too slow, for one: nothing says that it steers otherwise
            LOG.error("the canary has not finished: %s", error)
            life.parts["canary"] = life.parts["canary"] or "not finished"


async def watch_connections(server: Any, seconds: float) -> None:
    """Close connections on which no request is being answered for so long: heads that never end, bodies left over."""
    waiting: dict[Any, float] = {}
    clock = asyncio.get_running_loop().time
    while True:
        idle = (c for c in server.server_state.connections if c.cycle is None or c.cycle.response_complete)
        waiting = {connection: waiting.get(connection, clock()) for connection in idle}
        for connection, since in waiting.items():
            if clock() - since > seconds:
                connection.transport.abort()
        await asyncio.sleep(min(1.0, seconds / 4))


def end_within(seconds: float) -> None:
    """End the process by then, whatever still waits; its engine notices and ends too."""
    timer = threading.Timer(seconds, os._exit, (os.EX_UNAVAILABLE,))
    timer.daemon = True
    timer.start()
