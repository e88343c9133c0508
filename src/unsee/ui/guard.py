"""Who may talk to the page: this machine's browser, or who has the token; and what the page may load: its own files."""

import hmac
import re
import secrets
from http.cookies import SimpleCookie
from typing import final
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOCAL = ("127.0.0.1", "localhost", "::1", "[::1]")
_COOKIE = "unsee_ui"


@final
class Guard:
    """ASGI middleware in front of pages, uploads and sockets.

    - Other hosts' names (DNS rebinding) and other pages' origins are refused with 403.
    - With a token, a request needs it: `?token=...` once, which becomes a cookie.
    - Every page has a policy under which only its own scripts run, each marked by a number used once.
    """

    def __init__(self, app: ASGIApp, hosts: tuple[str, ...], token: str | None = None) -> None:
        self._app, self._hosts, self._token = app, hosts, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, or pass on."""
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        refusal = self._refusal(scope)
        if refusal is not None:
            if scope["type"] == "websocket":
                return await send({"type": "websocket.close", "code": 1008})
            return await refusal(scope, receive, send)
        await self._app(scope, receive, _with_policy(send) if scope["type"] == "http" else send)

    def _refusal(self, scope: Scope) -> PlainTextResponse | RedirectResponse | None:
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if self._hosts and _name(host) not in self._hosts:
            return PlainTextResponse(f"This page is served for {', '.join(self._hosts)} only.", 403)
        if origin is not None and urlsplit(origin).netloc != host:
            return PlainTextResponse("Another page may not talk to this one.", 403)
        if self._token is None:
            return None
        cookies = SimpleCookie(headers.get("cookie", ""))
        if _COOKIE in cookies and hmac.compare_digest(cookies[_COOKIE].value.encode(), self._token.encode()):
            return None
        given = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [""])[0]
        if scope["type"] == "http" and hmac.compare_digest(given.encode(), self._token.encode()):
            answer = RedirectResponse(scope["path"] or "/", 303)
            answer.set_cookie(_COOKIE, self._token, httponly=True, samesite="strict")
            return answer
        return PlainTextResponse("A token is needed: open the address that 'unsee ui' printed.", 401)


def _name(host: str) -> str:
    return host.rpartition(":")[0] if re.search(r"[^:]:\d+$", host) else host


def _with_policy(send: Send) -> Send:
    """Headers on everything; in pages, the number on each script."""
    number, held, start = secrets.token_urlsafe(16), bytearray(), {}

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["x-content-type-options"] = "nosniff"
            headers["referrer-policy"] = "no-referrer"
            headers["content-security-policy"] = _policy(number)
            start["page"] = headers.get("content-type", "").startswith("text/html")
            if start["page"]:
                headers["cache-control"] = "no-store"
                start["message"] = message
                return
        elif start.get("page"):
            held.extend(message.get("body", b""))
            if message.get("more_body"):
                return
            body = re.sub(rb"<script\b", f'<script nonce="{number}"'.encode(), bytes(held))
            first = start["message"]
            MutableHeaders(scope=first)["content-length"] = str(len(body))
            await send(first)
            message = {"type": "http.response.body", "body": body}
        await send(message)

    return sent


def _policy(number: str) -> str:
    # Vue builds its templates with `new Function`, and sets styles on elements.
    return (
        f"default-src 'none'; script-src 'nonce-{number}' 'strict-dynamic' 'unsafe-eval'; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; "
        "manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
