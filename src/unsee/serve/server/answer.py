"""What vLLM sends, held back until it is known to be steered as it had to be.

The head of every answer waits until the engine has said what its gates read, and a whole answer until the positions
that were steered are those that had to be.
"""

import time
from collections.abc import Callable
from typing import final

from unsee.errors import SteeringError, UnseeError
from unsee.serve.server.admission import Admission, Admitted
from unsee.serve.server.asgi import Message, Send
from unsee.serve.server.metrics import Record
from unsee.serve.server.verdict import Verdict, verdict_of


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
        admission: Admission,
        record: Record,
        note: Callable[[bytes, bool], None] | None,
        tell_gates: bool,
    ) -> None:
        """Wait for an answer.

        Args:
            send: to the client.
            admitted: what was asked under which set.
            answers: to one prompt.
            admission: asks the engine what happened.
            record: takes down what becomes of it.
            note: remembers a sound answer: its bytes, and whether it was streamed.
            tell_gates: whether the client is told what fired.
        """
        self._send, self._admitted, self._answers, self._admission = send, admitted, answers, admission
        self._record, self._note, self._tell, self._asked = record, note, tell_gates, time.monotonic()
        self._start: Message | None = None
        self._held: list[bytes] = []
        self._streaming = self._failed = self.begun = False
        self._error: UnseeError | OSError | None = None

    async def take(self, message: Message) -> None:
        """One ASGI message of the answer; after an error everything else is dropped."""
        if self._error is not None:
            return
        try:
            await self._take(message)
        except (UnseeError, OSError) as error:
            self._error = error  # raised here it would go through the handlers of vLLM's application

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
        if self._failed:
            await self._begin(None)
            if not more:
                self._record.outcome = "failed"
                await self._admission.reports(self._admitted.ticket, final=True)
            return await self._send({"type": "http.response.body", "body": body, "more_body": more})
        if not self._streaming or self._note is not None:
            self._held.append(body)
        if not self._streaming:
            if more:
                return None
            verdict = await self._verdict(final=True)
            await self._begin(verdict)
            return await self._send({"type": "http.response.body", "body": b"".join(self._held)})
        if self._start is not None and body:
            await self._begin(await self._verdict(final=False))
        if more:
            return await self._send({"type": "http.response.body", "body": body, "more_body": True})
        verdict = await self._verdict(final=True)
        await self._begin(verdict)
        comment = f": unsee steered={verdict.steered} forced={verdict.forced}\n\n" if self._tell else ""
        return await self._send({"type": "http.response.body", "body": body + comment.encode()})

    async def _verdict(self, final: bool) -> Verdict:
        """What the engine says; an error here leaves the client without an answer."""
        reports = await self._admission.reports(self._admitted.ticket, final)
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
