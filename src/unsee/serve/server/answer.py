"""What vLLM sends, let through only where it is known to be steered as it had to be.

What gates read, and what was done for it, comes with the tokens of the answer: every piece of a stream, and every whole
answer, is looked at before it goes out.
"""

import time
from collections.abc import Callable
from typing import final

from unsee.errors import SteeringError, UnseeError
from unsee.serve.server.admission import Admitted
from unsee.serve.server.asgi import Message, Send
from unsee.serve.server.metrics import Record
from unsee.serve.server.verdict import Verdict, require_sound, verdict_of


@final
class BrokenStream(RuntimeError):
    """Raised to the web server, which then closes the connection: its client must not take the answer for whole."""


@final
class Answer:
    """One answer on its way.

    Attributes:
        begun: whether the client has been sent something.
    """

    def __init__(
        self,
        send: Send,
        admitted: Admitted,
        answers: int,
        record: Record,
        note: Callable[[bytes, bool], None] | None,
        tell_gates: bool,
    ) -> None:
        """Wait for an answer.

        Args:
            send: to the client.
            admitted: what was asked under which set.
            answers: to one prompt.
            record: takes down what becomes of it.
            note: remembers a sound answer: its bytes, and whether it was streamed.
            tell_gates: whether the client is told what fired.
        """
        self._send, self._admitted, self._answers, self._record = send, admitted, answers, record
        self._note, self._tell, self._asked = note, tell_gates, time.monotonic()
        self._start: Message | None = None
        self._held: list[bytes] = []
        self._streaming = self._failed = self._ended = self.begun = False
        self._error: UnseeError | OSError | None = None

    async def take(self, message: Message) -> None:
        """One ASGI message of the answer; after an error everything else is dropped."""
        if self._error is not None:
            return
        try:
            await self._take(message)
        except (UnseeError, OSError) as error:
            self._error = error  # raised here it would go through the handlers of vLLM's application

    def left(self) -> None:
        """Its client is not there any more."""
        self._record.left = not self._ended and self._error is None

    def require_sound(self) -> None:
        """Raise what went wrong meanwhile."""
        if self._error is not None:
            raise self._error
        if not self.begun:
            raise SteeringError("the engine's server gave no answer. Nothing is answered; look at its log.")

    async def _take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start, self._record.status = message, message["status"]
            kind = dict(message["headers"]).get(b"content-type", b"")
            self._streaming, self._failed = kind.startswith(b"text/event-stream"), message["status"] >= 400
        elif message["type"] == "http.response.body":
            await self._body(message.get("body", b""), message.get("more_body", False))

    async def _body(self, body: bytes, more: bool) -> None:
        self._ended = not more
        if self._failed:
            await self._begin(None)
            if not more:
                self._record.outcome = "failed"
            return await self._send({"type": "http.response.body", "body": body, "more_body": more})
        if not self._streaming or self._note is not None:
            self._held.append(body)
        if not self._streaming:
            if more:
                return None
            await self._begin(self._verdict(final=True))
            return await self._send({"type": "http.response.body", "body": b"".join(self._held)})
        if more:
            if body and self._start is not None:
                await self._begin(self._verdict(final=False))
            elif body:
                require_sound(self._admitted.asked.reports(), self._admitted, None)
            return await self._send({"type": "http.response.body", "body": body, "more_body": True})
        verdict = self._verdict(final=True)
        await self._begin(verdict)
        comment = f": unsee steered={verdict.steered} forced={verdict.forced}\n\n" if self._tell else ""
        return await self._send({"type": "http.response.body", "body": body + comment.encode()})

    def _verdict(self, final: bool) -> Verdict:
        """What the engine says; an error here leaves the client without an answer, or breaks its stream off."""
        reports = self._admitted.asked.reports()
        verdict = verdict_of(reports, self._admitted, self._answers if final else None)
        self._record.decided(verdict, time.monotonic() - self._asked, final)
        if final and self._note is not None:
            self._note(b"".join(self._held), self._streaming)
        return verdict

    async def _begin(self, verdict: Verdict | None) -> None:
        if self._start is None:
            return
        added = {} if verdict is None else verdict.headers(whole=not self._streaming, gates=self._tell)
        start, self._start, self.begun = self._start, None, True
        head = [(name.encode(), value.encode()) for name, value in added.items()]
        await self._send({**start, "headers": [*start["headers"], *head]})
