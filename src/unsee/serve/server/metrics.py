"""Counters beside vLLM's own, at the same `/metrics`."""

from typing import Any, Literal, final

from unsee.serve.engine.compat import part
from unsee.serve.engine.verdict import Verdict

Outcome = Literal["steered", "unsteered", "refused", "unavailable", "failed"]


@final
class Metrics:
    """One set per process: the registry of Prometheus is global."""

    def __init__(self) -> None:
        counter: Any = part("prometheus_client:Counter")
        self._requests = counter("unsee_requests", "Requests by what became of them", ["outcome"])
        self._positions = counter("unsee_positions_steered", "Positions steered, over layers")
        self._fired = counter("unsee_erasers_fired", "Erasers that fired, over requests")
        self._read = counter("unsee_erasers_read", "Erasers whose gates were read, over requests")

    def count(self, outcome: Outcome) -> None:
        """One request has ended so."""
        self._requests.labels(outcome).inc()

    def answered(self, verdict: Verdict) -> None:
        """One request was answered."""
        self.count("steered" if verdict.fired else "unsteered")
        self._positions.inc(verdict.steered)
        self._fired.inc(verdict.fired)
        self._read.inc(verdict.erasers)
