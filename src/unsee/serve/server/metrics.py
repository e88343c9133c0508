"""What became of requests: a record of each, as metrics beside vLLM's own and a line of the log, never a prompt."""

import logging
import time
from dataclasses import dataclass, field
from typing import Literal, final

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client import generate_latest as page

from unsee.serve.server.verdict import Verdict

LOG = logging.getLogger("unsee.serve.requests")
SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60, 300)


@final
@dataclass
class Record:
    """One request.

    Attributes:
        tenant: who asked; empty where there are no tenants, or not yet known.
        status: of HTTP.
        outcome: steered, unsteered, refused, unavailable, failed (also a stream that broke off), left by its client.
        left: whether its client went before the answer had ended.
        verdict: what the gates read.
        seconds: of stages, so far: reading the ledger, waiting for the set, until the gates were read.
        began: on the monotonic clock.
    """

    tenant: str = ""
    status: int = 0
    outcome: Literal["steered", "unsteered", "refused", "unavailable", "failed", "left"] = "failed"
    left: bool = False
    verdict: Verdict | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)

    def decided(self, verdict: Verdict, seconds: float, final: bool) -> None:
        """The engine has said what its gates read; `final` for the whole answer."""
        self.verdict = verdict
        self.seconds.setdefault("gate", seconds)
        if final:
            self.outcome = "steered" if verdict.fired else "unsteered"

    @property
    def fired(self) -> list[str]:
        """Erasers whose gate was open, by the beginning of their content id."""
        return [] if self.verdict is None else sorted(i[7:19] for i in self.verdict.fired)

    def about(self) -> dict[str, str | int | float | list[str]]:
        """What an operator may read of it."""
        about: dict[str, str | int | float | list[str]] = {
            "tenant": self.tenant or "everybody",
            "status": self.status,
            "outcome": self.outcome,
            "seconds": round(time.monotonic() - self.began, 4),
        }
        if (verdict := self.verdict) is not None:
            about |= {"set": verdict.digest, "fired": self.fired, "reply": verdict.reply, "steered": verdict.steered}
        return about


@final
class Metrics:
    """Of one server.

    Attributes:
        media_type: of the page.
    """

    media_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        labels = ["tenant", "status", "outcome", "reply"]
        self._requests = Counter("unsee_requests", "Requests", labels, registry=self._registry)
        self._fired = Counter(
            "unsee_erasers_fired", "Answers, by eraser", ["tenant", "eraser"], registry=self._registry
        )
        self._positions = Counter("unsee_positions_steered", "Positions, over layers", registry=self._registry)
        self._forced = Counter("unsee_tokens_forced", "Tokens that replies fixed", registry=self._registry)
        self._seconds = Histogram(
            "unsee_stage_seconds", "Time of a stage", ["stage"], buckets=SECONDS, registry=self._registry
        )
        self._set = Gauge("unsee_set_info", "Set in force for everybody: 1", ["digest"], registry=self._registry)
        self._erasers = Gauge("unsee_erasers_in_force", "Of all tenants", registry=self._registry)
        self._unlisted = Gauge("unsee_requests_unlisted", "In force, no tenant's", registry=self._registry)
        self._sequence = Gauge("unsee_ledger_sequence", "Newest row of the ledger", registry=self._registry)
        self._well = Gauge("unsee_part_well", "As /ready says", ["part"], registry=self._registry)
        self._canary = Gauge("unsee_canary_passed_timestamp_seconds", "Last time", registry=self._registry)

    def page(self) -> bytes:
        """For Prometheus."""
        return page(REGISTRY) + page(self._registry)

    def observe(self, record: Record) -> None:
        """A request has ended."""
        verdict, tenant, seconds = record.verdict, record.tenant or "everybody", time.monotonic() - record.began
        self._requests.labels(tenant, record.status, record.outcome, verdict.reply if verdict else "none").inc()
        for stage, taken in {**record.seconds, "answer": seconds}.items():
            self._seconds.labels(stage).observe(taken)
        for eraser in record.fired:
            self._fired.labels(tenant, eraser).inc()
        if verdict is not None:
            self._positions.inc(verdict.steered)
            self._forced.inc(verdict.forced)
        LOG.info(record.about())

    def in_force(self, digest: str, erasers: int, unlisted: int, sequence: int) -> None:
        """What the ledger says."""
        self._set.clear()
        self._set.labels(digest).set(1)
        self._erasers.set(erasers)
        self._unlisted.set(unlisted)
        self._sequence.set(sequence)

    def well(self, part: str, well: bool) -> None:
        """Whether a part of the server is."""
        self._well.labels(part).set(well)

    def passed(self) -> None:
        """The canary has."""
        self._canary.set_to_current_time()
