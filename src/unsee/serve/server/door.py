"""The only door of the server: what is not on its list is not there, and no answer leaves it unsteered.

A pure ASGI application around vLLM's own. It holds the head of every answer until the engine has said what its gates
read, and a whole answer until the positions that were steered are those that had to be.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, final

from unsee.errors import SteeringError, UnseeError
from unsee.serve.engine.verdict import Verdict, verdict_of
from unsee.serve.errors import RefusedError
from unsee.serve.server.admission import Admission, Admitted
from unsee.serve.server.images import plain_png
from unsee.serve.server.metrics import Metrics
from unsee.serve.server.models import LIST, model_named
from unsee.serve.server.schema import ChatRequest, forwarded, images, parse, schema
from unsee.serve.server.tenants import Tenants

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

CHAT = "/v1/chat/completions"
OPEN = {"/health": "GET", "/v1/models": "GET", "/metrics": "GET", "/version": "GET"}
"""What is passed on as it is."""

UNAVAILABLE = "What is in force cannot be read just now, so nothing is answered. Try again later."
LOG = logging.getLogger("unsee.serve")


@final
@dataclass(frozen=True)
class Settings:
    """How a server receives requests.

    Attributes:
        markers: tokens that stand for an image in a prompt.
        special_tokens: whether the tokenizer adds the start token, because the chat template does not.
        most_bytes: of a request.
        decoders: images decoded at the same time.
    """

    markers: tuple[str, ...]
    special_tokens: bool
    most_bytes: int = 64 * 2**20
    decoders: int = 4


@final
class BrokenStream(RuntimeError):
    """Raised to the web server, which then closes the connection: its client must not take the answer for whole."""


@final
class Gatekeeper:
    """Wraps vLLM's application."""

    def __init__(
        self, app: Application, admission: Admission, tenants: Tenants, settings: Settings, metrics: Metrics
    ) -> None:
        self._app, self._admission, self._tenants = app, admission, tenants
        self._settings, self._metrics = settings, metrics
        self._decoding = asyncio.Semaphore(settings.decoders)
        self._schema = json.dumps(schema("unsee serve", version("unsee"))).encode()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one connection."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})
        path, method = scope["path"], scope["method"]
        if path == "/openapi.json" and method == "GET":
            return await _reply(send, 200, self._schema)
        if path in OPEN and method in (OPEN[path], "HEAD"):
            return await self._app(scope, receive, send)
        try:
            if path.startswith(f"{LIST}/") and method == "GET":
                return await _reply(send, 200, await model_named(self._app, scope, receive))
            if path != CHAT:
                raise RefusedError(f"There is nothing at this address. Expected {CHAT} or /v1/models.", "path", 404)
            if method != "POST":
                raise RefusedError("Expected POST.", "method", 405)
            await self._chat(scope, receive, send)
        except RefusedError as refused:
            self._metrics.count("refused")
            await _refuse(send, refused.status, refused.code, str(refused))
        except (UnseeError, OSError) as error:
            self._metrics.count("unavailable")
            LOG.error("nothing is answered: %s", error)
            await _refuse(send, 503, "unavailable", UNAVAILABLE)
        return None

    async def _chat(self, scope: Message, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        tenant = self._tenants.of(headers.get("authorization", ""))
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise RefusedError("Expected the content type application/json.", "content_type", 415)
        request = parse(await self._body(receive), self._settings.markers)
        async with self._decoding:
            await asyncio.to_thread(_plain_images, request)
        async with self._admission.admitted(tenant, request.unsee.erasures) as admitted:
            salt = f"tenant {tenant.name}" if tenant.name else None
            body = forwarded(request, admitted.set_name, admitted.ticket, self._settings.special_tokens, salt)
            answer = _Answer(send, admitted, self._admission, self._metrics)
            await self._app(_with_length(scope, len(body)), _whole(body, receive), answer.take)
            answer.require_sound()

    async def _body(self, receive: Receive) -> bytes:
        parts, size, more = [], 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise RefusedError("The connection was closed before the request was complete.", "closed")
            part = message.get("body", b"")
            size += len(part)
            if size > self._settings.most_bytes:
                raise RefusedError(f"The request is larger than {self._settings.most_bytes} bytes.", "too_large", 413)
            parts.append(part)
            more = message.get("more_body", False)
        return b"".join(parts)


@final
class _Answer:
    """What vLLM sends, held back until it is known to be steered as it had to be."""

    def __init__(self, send: Send, admitted: Admitted, admission: Admission, metrics: Metrics) -> None:
        self._send, self._admitted, self._admission, self._metrics = send, admitted, admission, metrics
        self._start: Message | None = None
        self._held: list[bytes] = []
        self._streaming = self._failed = self._begun = False
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
        """Raise what went wrong meanwhile; a stream that has begun can only be broken off."""
        error = self._error
        if error is None and not self._begun:
            error = SteeringError("the engine's server gave no answer. Nothing is answered; look at its log.")
        if error is not None and self._begun:
            self._metrics.count("failed")
            raise BrokenStream(str(error)) from error
        if error is not None:
            raise error

    async def _take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._start = message
            kind = dict(message["headers"]).get(b"content-type", b"")
            self._streaming, self._failed = kind.startswith(b"text/event-stream"), message["status"] >= 400
        elif message["type"] == "http.response.body":
            await self._body(message.get("body", b""), message.get("more_body", False))

    async def _body(self, body: bytes, more: bool) -> None:
        if self._failed:
            await self._begin(None)
            if not more:
                self._metrics.count("failed")
                await self._admission.reports(self._admitted.ticket, final=True)
            return await self._send({"type": "http.response.body", "body": body, "more_body": more})
        if not self._streaming:
            self._held.append(body)
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
        if self._start is not None:
            await self._begin(verdict)
        comment = f": unsee steered={verdict.steered} required={verdict.required}\n\n".encode()
        return await self._send({"type": "http.response.body", "body": body + comment})

    async def _verdict(self, final: bool) -> Verdict:
        """What the engine says; an error here leaves the client without an answer."""
        verdict = verdict_of(await self._admission.reports(self._admitted.ticket, final), self._admitted, final)
        if final:
            self._metrics.answered(verdict)
        return verdict

    async def _begin(self, verdict: Verdict | None) -> None:
        if self._start is None:
            return
        told = {} if verdict is None else verdict.headers(whole=not self._streaming)
        start, self._start, self._begun = self._start, None, True
        added = [(name.encode(), value.encode()) for name, value in told.items()]
        await self._send({**start, "headers": [*start["headers"], *added]})


def _plain_images(request: ChatRequest) -> None:
    for image in images(request):
        image.url = plain_png(image.url)


def _with_length(scope: Message, length: int) -> Message:
    kept = [(n, v) for n, v in scope["headers"] if n.lower() not in (b"content-length", b"transfer-encoding")]
    return {**scope, "headers": [*kept, (b"content-length", str(length).encode())]}


def _whole(body: bytes, receive: Receive) -> Receive:
    told = False

    async def once() -> Message:
        nonlocal told
        if told:
            return await receive()  # a disconnect, which ends the answer
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return once


async def _refuse(send: Send, status: int, code: str, message: str) -> None:
    kind = "invalid_request_error" if status < 500 else "server_error"
    error = {"message": message, "type": kind, "param": None, "code": code}
    await _reply(send, status, json.dumps({"error": error}).encode())


async def _reply(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 405:
        headers.append((b"allow", b"POST"))
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if status == 503:
        headers.append((b"retry-after", b"5"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
