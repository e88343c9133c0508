"""What the metrics of a running `unsee serve` say: what is in force, requests by outcome, time by stage, the canary."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final

from prometheus_client.parser import text_string_to_metric_families

Bucket = tuple[float, int]
"""Upper end in seconds, and how many took at most that and more than the one before."""


@final
@dataclass(frozen=True)
class Serving:
    """One look.

    Attributes:
        sets: digests of the set in force for everybody.
        numbers: erasers in force, requests of no tenant, newest row of the ledger.
        parts: name of each part, and whether it is well.
        canary: when it passed last, in seconds since 1970; None where it has not.
        outcomes: requests by outcome.
        fired: answers by eraser.
        stages: buckets by stage, ascending.
    """

    sets: list[str] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)
    parts: dict[str, bool] = field(default_factory=dict)
    canary: float | None = None
    outcomes: Counter[str] = field(default_factory=Counter)
    fired: Counter[str] = field(default_factory=Counter)
    stages: dict[str, list[Bucket]] = field(default_factory=dict)


NUMBERS = {
    "unsee_erasers_in_force": "erasers in force", "unsee_requests_unlisted": "requests of no tenant",
    "unsee_ledger_sequence": "newest row of the ledger", "unsee_positions_steered_total": "positions steered",
}  # fmt: skip


def read(text: str) -> Serving:
    """A page of metrics in Prometheus' format.

    Raises:
        ValueError: it is none.
    """
    found, canary = Serving(), None
    counts: dict[str, list[Bucket]] = {}
    for family in text_string_to_metric_families(text):
        for one in family.samples:
            labels, value = one.labels, one.value
            if one.name == "unsee_set_info":
                found.sets.append(labels["digest"])
            elif one.name in NUMBERS:
                found.numbers[NUMBERS[one.name]] = int(value)
            elif one.name == "unsee_part_well":
                found.parts[labels["part"]] = value == 1
            elif one.name == "unsee_canary_passed_timestamp_seconds" and value > 0:
                canary = value
            elif one.name == "unsee_requests_total":
                found.outcomes[labels["outcome"]] += int(value)
            elif one.name == "unsee_erasers_fired_total":
                found.fired[labels["eraser"]] += int(value)
            elif one.name == "unsee_stage_seconds_bucket":
                counts.setdefault(labels["stage"], []).append((float(labels["le"]), int(value)))
    stages = {name: _apart(sorted(some)) for name, some in counts.items()}
    return Serving(found.sets, found.numbers, found.parts, canary, found.outcomes, found.fired, stages)


def quantile(buckets: Sequence[Bucket], share: float) -> float | None:
    """The time within which that share of them ended, at most: the upper end of its bucket; None where none has."""
    wanted, so_far = share * sum(count for _, count in buckets), 0
    for end, count in buckets:
        so_far += count
        if so_far >= wanted and so_far:
            return end
    return None


def _apart(cumulative: Sequence[Bucket]) -> list[Bucket]:
    before, apart = 0, list[Bucket]()
    for end, count in cumulative:
        apart.append((end, count - before))
        before = count
    return apart


def seconds(value: float | None) -> str:
    """As people write it."""
    if value is None:
        return "-"
    if math.isinf(value):
        return "more"
    return f"{1000 * value:g} ms" if value < 1 else f"{value:g} s"
