"""An OpenTelemetry collector on loopback that keeps what it is sent."""

import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, ClassVar, Self


@dataclass
class Span:
    """One, with its ids in hexadecimal digits."""

    name: str
    trace: str
    id: str
    parent: str
    attributes: dict[str, Any]


class Collector:
    """Takes OTLP over HTTP."""

    ENVIRONMENT: ClassVar = {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf", "OTEL_BSP_SCHEDULE_DELAY": "200"}

    def __init__(self) -> None:
        self.kept: list[Span] = []
        kept = self.kept

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                kept.extend(_spans(self.rfile.read(int(self.headers["content-length"]))))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1/traces"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()

    def spans(self, trace: str, *names: str, seconds: float = 20) -> list[Span]:
        """One of each name in a trace, once all have come."""
        limit = time.monotonic() + seconds
        while True:
            found = {span.name: span for span in list(self.kept) if span.trace == trace}
            if set(names) <= set(found):
                return [found[name] for name in names]
            assert time.monotonic() < limit, (names, found)
            time.sleep(0.1)


def _spans(body: bytes) -> list[Span]:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    sent = ExportTraceServiceRequest.FromString(body)
    return [
        Span(
            one.name,
            one.trace_id.hex(),
            one.span_id.hex(),
            one.parent_span_id.hex(),
            {each.key: str(each.value).strip() for each in one.attributes},
        )
        for resource in sent.resource_spans
        for scope in resource.scope_spans
        for one in scope.spans
    ]
