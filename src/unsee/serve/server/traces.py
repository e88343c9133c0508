"""A span of every request, in which vLLM's own of the same request lies.

vLLM sets the process's tracer up where --otlp-traces-endpoint is given; without one nothing is recorded here either.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import propagate, trace

from unsee.serve.server.metrics import Record

NAME = "unsee_request"
FAILED = 500


@contextmanager
def traced(headers: Mapping[str, str], record: Record) -> Iterator[None]:
    """Trace a request of a client, as a part of the client's own trace if its headers name one; never its words."""
    tracer, context = trace.get_tracer("unsee.serve"), propagate.extract(headers)
    with tracer.start_as_current_span(
        NAME,
        context,
        kind=trace.SpanKind.SERVER,
        record_exception=False,  # its text may quote what was asked
        set_status_on_exception=False,
    ) as span:
        try:
            yield
        finally:
            span.set_attributes({f"unsee.{name}": value for name, value in record.about().items()})
            if record.status >= FAILED or record.outcome == "failed":
                span.set_status(trace.StatusCode.ERROR, record.outcome)


def following() -> dict[str, str]:
    """Headers by which vLLM's span becomes a part of the one that is open; none where nothing is recorded."""
    headers: dict[str, str] = {}
    propagate.inject(headers)
    return headers
