"""A read-only door: signed snapshots for servers, and for the requester, with a token, how the request stands."""

import hmac
import json
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from unsee.ledger.canonical import digest, stamp
from unsee.ledger.documents import head, snapshot
from unsee.ledger.errors import LedgerError
from unsee.ledger.request import Request
from unsee.ledger.store import Ledger

DOCUMENTS = {"/v1/snapshot": snapshot, "/v1/head": head}
STATUS = "/opendsr/requests/"


def server(ledger: Ledger, host: str, port: int) -> ThreadingHTTPServer:
    """Ready to serve; port 0 takes a free one."""

    class Handler(BaseHTTPRequestHandler):
        server_version, sys_version, timeout = "unsee", "", 10

        def do_GET(self) -> None:
            try:
                status, body = answer(ledger, self.path, self.headers.get("Authorization", ""))
            except LedgerError:
                status, body = HTTPStatus.SERVICE_UNAVAILABLE, {"error": "the ledger cannot say anything now"}
            data = json.dumps(body, sort_keys=True).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Cache-Control", "no-store")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            """Ids of requests are personal data; nothing is written down."""

    return ThreadingHTTPServer((host, port), Handler)


def answer(ledger: Ledger, path: str, authorization: str) -> tuple[HTTPStatus, dict[str, Any]]:
    """What a path says; an unknown id and a wrong token look alike."""
    if path in DOCUMENTS:
        return HTTPStatus.OK, DOCUMENTS[path](ledger)
    if not path.startswith(STATUS):
        return HTTPStatus.NOT_FOUND, {"error": f"expected {', '.join(DOCUMENTS)} or {STATUS}ID"}
    scheme, _, token = authorization.partition(" ")
    wanted = path.removeprefix(STATUS)
    request = next((one for one in ledger.requests() if one.id == wanted), None)
    fits = hmac.compare_digest(request.token if request else "", digest(token))
    if scheme != "Bearer" or request is None or not fits:
        return HTTPStatus.UNAUTHORIZED, {"error": "no request of that id opens to this token"}
    return HTTPStatus.OK, status(ledger, request)


def status(ledger: Ledger, request: Request) -> dict[str, Any]:
    """In OpenDSR's shape, for whoever made the request."""
    return {
        "api_version": "0.1",
        "controller_id": ledger.id,
        "subject_request_id": request.id,
        "subject_request_type": "erasure" if request.kind == "request" else request.kind,
        "request_status": request.status,
        "received_time": f"{request.received}T00:00:00Z",
        "expected_completion_time": f"{request.due}T23:59:59Z",
        "extended": bool(request.extended),
        "answered": request.answered and request.answered.isoformat(),
        "as_of": stamp(ledger.clock()),
    }
