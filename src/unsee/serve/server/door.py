"""The only door of the server: what is not on its list is not there, and no answer leaves it unsteered.

A pure ASGI application around vLLM's own, which is asked for answers and for nothing else.
"""

import asyncio
import hashlib
import hmac
import logging
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, final

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response

from unsee.errors import UnseeError
from unsee.serve.engine.compat import installed
from unsee.serve.engine.tracking import CACHE, SET, TICKET
from unsee.serve.errors import RefusedError
from unsee.serve.server.admission import Admission
from unsee.serve.server.answer import Answer, BrokenStream
from unsee.serve.server.asgi import Application, Message, Receive, Send, refusal
from unsee.serve.server.bodies import Bodies
from unsee.serve.server.history import History, answers
from unsee.serve.server.images import plain_png
from unsee.serve.server.life import Life
from unsee.serve.server.metrics import Metrics, Record
from unsee.serve.server.options import Options
from unsee.serve.server.quotas import Quotas
from unsee.serve.server.schema import ChatRequest, conversation, forwarded, images, parse, schema
from unsee.serve.server.tenants import Roster, Tenant, bearer
from unsee.serve.server.traces import following, traced

CHAT, MODELS = "/v1/chat/completions", "/v1/models"
UNAVAILABLE = "What is in force cannot be read just now, so nothing is answered. Try again later."
SHORT_BYTES = 4096
"""Of a request that is sooner read than handed to a thread."""
LOG = logging.getLogger("unsee.serve")


@final
@dataclass(frozen=True)
class Served:
    """The model behind a door.

    Attributes:
        markers: tokens that stand for an image in a prompt.
        special_tokens: whether the tokenizer adds the start token, because the chat template does not.
        longest: prompt with its answer, in tokens.
    """

    markers: tuple[str, ...]
    special_tokens: bool
    longest: int = 0


@final
class Door:
    """Wraps vLLM's application."""

    def __init__(
        self,
        app: Application,
        admission: Admission,
        roster: Roster,
        life: Life,
        metrics: Metrics,
        options: Options,
        served: Served,
    ) -> None:
        self._app, self._admission, self._roster = app, admission, roster
        self._life, self._metrics, self._options, self._served = life, metrics, options, served
        self._bodies, self._decoding = Bodies(options.limits), asyncio.Semaphore(options.limits.decoders)
        self._quotas, self._history = Quotas(), History()
        self._schema = schema("unsee serve", version("unsee"))

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one connection."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})
        if scope["path"] == "/health" and scope["method"] in ("GET", "HEAD"):
            return await self._app(scope, receive, send)
        if scope["path"] == CHAT and scope["method"] == "POST":
            return await self._chat(scope, receive, send)
        try:
            said = self._page(scope["path"], scope["method"], Headers(scope=scope).get("authorization", ""))
        except RefusedError as refused:
            said = refusal(refused.status, refused.code, str(refused))
        except (UnseeError, OSError) as error:
            LOG.error("%s is not answered: %s", scope["path"], error)
            said = refusal(503, "unavailable", UNAVAILABLE)
        return await said(scope, receive, send)

    def _page(self, path: str, method: str, authorization: str) -> Response:
        """What is not a conversation; all but the schema and readiness is for those with a key."""
        if path == CHAT:
            raise RefusedError("Expected POST.", "method", 405)
        if method in ("GET", "HEAD"):
            if path == "/openapi.json":
                return JSONResponse(self._schema)
            if path == "/ready":
                parts = {part: wrong or "ok" for part, wrong in self._life.parts.items()}
                ready = self._life.ready
                return JSONResponse({"ready": ready, **parts}, 200 if ready else 503)
            if path == "/metrics":
                self._require_metrics_key(authorization)
                return Response(self._metrics.page(), media_type=self._metrics.media_type)
            if path == "/version":
                self._roster.now().of(authorization)
                return JSONResponse({"version": installed(), "unsee": version("unsee")})
            if path == MODELS or path.startswith(f"{MODELS}/"):
                self._roster.now().of(authorization)
                return self._model(path.removeprefix(MODELS).removeprefix("/"))
        raise RefusedError(f"There is nothing at this address. Expected {CHAT} or {MODELS}.", "path", 404)

    def _model(self, name: str) -> Response:
        about = {"id": self._options.model, "object": "model", "created": 0, "owned_by": "unsee"}
        about |= {"max_model_len": self._served.longest}
        if not name:
            return JSONResponse({"object": "list", "data": [about]})
        if name != self._options.model:
            raise RefusedError(f"There is no such model. Expected one that {MODELS} lists.", "model_not_found", 404)
        return JSONResponse(about)

    def _require_metrics_key(self, authorization: str) -> None:
        expected = self._options.metrics_key_sha256
        if self._options.open_metrics or (expected is None and not self._roster.now().known):
            return
        # A tenant's key is not enough: these are figures of all tenants.
        given = hashlib.sha256(bearer(authorization)).hexdigest()
        if expected is None or not hmac.compare_digest(expected, given):
            raise RefusedError("Metrics need a key of their own (metrics_key_sha256).", "key", 401)

    async def _chat(self, scope: Message, receive: Receive, send: Send) -> None:
        record = Record()
        with traced(Headers(scope=scope), record):
            said = await self._recorded(scope, receive, send, record)
        if said is not None:
            await said(scope, receive, send)

    async def _recorded(self, scope: Message, receive: Receive, send: Send, record: Record) -> Response | None:
        """Answer, and count what becomes of it; what is to be said where there was no answer."""
        said = None
        try:
            await self._answer(scope, receive, send, record)
        except RefusedError as refused:
            record.outcome, record.status = "refused", refused.status
            said = refusal(refused.status, refused.code, str(refused))
        except BrokenStream:
            record.outcome = "failed"
            raise
        except (UnseeError, OSError) as error:
            record.outcome, record.status = "unavailable", 503
            LOG.error("nothing is answered: %s", error or "it took too long")
            said = refusal(503, "unavailable", UNAVAILABLE)
        finally:
            if record.left and record.outcome in ("failed", "unavailable"):
                record.outcome = "left"
            self._metrics.observe(record)
        return said

    async def _answer(self, scope: Message, receive: Receive, send: Send, record: Record) -> None:
        headers = Headers(scope=scope)
        tenant = self._roster.now().of(headers.get("authorization", ""))
        record.tenant = tenant.name
        with self._quotas.taken(tenant):
            await self._answer_for(tenant, scope, receive, send, record)

    async def _answer_for(self, tenant: Tenant, scope: Message, receive: Receive, send: Send, record: Record) -> None:
        headers = Headers(scope=scope)
        if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            raise RefusedError("Expected the content type application/json.", "content_type", 415)
        async with self._bodies.received(headers, receive) as raw, self._decoding:
            short = len(raw) <= SHORT_BYTES
            request = parse(raw, self._served.markers) if short else await asyncio.to_thread(self._understood, raw)
            if short and images(request):  # a few bytes may be many pixels
                await asyncio.to_thread(_plain, request)
            note = self._history_of(tenant, request)
        answer = None
        try:
            async with (
                self._life.request(self._options.limits.answer_seconds),
                self._admission.admitted(tenant, request.unsee.erasures) as admitted,
            ):
                salt = f"tenant {tenant.name}" if tenant.name else None
                extras = {SET: admitted.set_name, TICKET: admitted.ticket, CACHE: admitted.cache}
                body = forwarded(request, extras, self._served.special_tokens, salt)
                record.seconds |= admitted.seconds
                told = self._options.tell_gates
                answer = Answer(send, admitted, request.n or 1, record, note, told)
                await self._app(_asking(scope, len(body), admitted.ticket), _whole(body, receive, answer), answer.take)
                answer.require_sound()
        except (UnseeError, OSError) as error:
            if answer is not None and answer.begun:
                raise BrokenStream(str(error) or "it took too long") from error
            raise

    def _history_of(self, tenant: Tenant, request: ChatRequest) -> Callable[[bytes, bool], None] | None:
        """What remembers the answer, once the conversation before it was found to be this server's own."""
        if self._options.assistant_turns == "any":
            return None
        digest = self._history.require_own(tenant.name, conversation(request))
        return lambda body, streamed: self._history.note(digest, answers(body, streamed))

    def _understood(self, raw: bytearray) -> ChatRequest:
        return _plain(parse(raw, self._served.markers))


def _plain(request: ChatRequest) -> ChatRequest:
    """Its images as the model is shown them."""
    for image in images(request):
        image.url = plain_png(image.url)
    return request


def _asking(scope: Message, length: int, ticket: str) -> dict[str, Any]:
    """The scope of the request that vLLM is asked: with its length, and an id that no client has chosen."""
    own = {"content-length": str(length), "x-request-id": ticket, **following()}
    replaced = {name.encode() for name in own} | {b"transfer-encoding"}
    kept = [(name, value) for name, value in scope["headers"] if name.lower() not in replaced]
    return {**scope, "headers": [*kept, *((name.encode(), value.encode()) for name, value in own.items())]}


def _whole(body: bytes, receive: Receive, answer: Answer) -> Receive:
    parts = iter([{"type": "http.request", "body": body, "more_body": False}])
    del body

    async def once() -> Message:
        if (first := next(parts, None)) is not None:
            return first
        message = await receive()  # a disconnect, which ends the answer
        answer.left()
        return message

    return once
