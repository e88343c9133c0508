"""Bodies of requests, each and all together within bounds of bytes and of time."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import final

from unsee.serve.errors import RefusedError
from unsee.serve.server.asgi import Receive
from unsee.serve.server.options import Limits


@final
class Bodies:
    """Those that a server holds just now.

    Attributes:
        held: their bytes.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits, self.held = limits, 0

    @asynccontextmanager
    async def received(self, headers: Mapping[str, str], receive: Receive) -> AsyncIterator[bytearray]:
        """A whole body; its bytes count as held until the block ends.

        Raises:
            RefusedError: too large, too slow, cut off, or there is no room beside the others.
        """
        announced, body = headers.get("content-length", ""), bytearray()
        self._require_size(int(announced[:20]) if announced.isdecimal() else 0)
        try:
            await self._fill(body, receive)
            yield body
        finally:
            self.held -= len(body)

    async def _fill(self, body: bytearray, receive: Receive) -> None:
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise RefusedError("The connection was closed before the request was complete.", "closed")
                    part = message.get("body", b"")
                    self._require_size(len(body) + len(part))
                    if self.held + len(part) > self._limits.bodies_bytes:
                        raise RefusedError("Too many large requests at once. Try again later.", "busy", 429)
                    self.held += len(part)
                    body += part
                    if not message.get("more_body", False):
                        return
        except TimeoutError as error:
            raise RefusedError(
                f"The request was not complete after {self._limits.body_seconds:g} s.", "slow_body", 408
            ) from error

    def _require_size(self, size: int) -> None:
        if size > self._limits.body_bytes:
            raise RefusedError(f"The request is larger than {self._limits.body_bytes} bytes.", "too_large", 413)
