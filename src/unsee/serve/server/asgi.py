"""The shapes of ASGI, and answers of the server's own."""

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from starlette.responses import JSONResponse, Response

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

# A client that is refused may still be sending: its connection is closed instead of being read to the end.
_HEADERS: Mapping[int, Mapping[str, str]] = {
    401: {"www-authenticate": "Bearer", "connection": "close"},
    405: {"allow": "POST"},
    408: {"connection": "close"},
    413: {"connection": "close"},
    429: {"connection": "close", "retry-after": "5"},
    503: {"retry-after": "5"},
}


def refusal(status: int, code: str, message: str) -> Response:
    """An error as OpenAI words it."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    error = {"message": message, "type": kind, "param": None, "code": code}
    return JSONResponse({"error": error}, status, dict(_HEADERS.get(status, {})))
