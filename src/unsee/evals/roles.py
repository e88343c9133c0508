"""Which way of every rate and measure is good, by the role of the set."""

from unsee.data.task import ANSWERED, REFUSED, Role
from unsee.metrics import CARDS
from unsee.registry import METRICS, Better

RATES: dict[str, str] = {"right": "correct", "refused": "refused", "leaked": "leaked", "fluent": "fluent"}
"""Verdicts that every row has, by the name in tables, to the field of the row."""


def better(measure: str, role: Role) -> Better:
    """Which way of a measure or a rate is good on a set of that role; empty where the set is not scored so."""
    if role == "unlabelled":
        return ""
    if measure in RATES:
        return _rate(measure, role)
    forget, keep, _, _ = facts_of(measure)
    return keep if role in ANSWERED else forget


def shown(measure: str, role: Role) -> bool:
    """Whether a set of that role is scored by the measure; one of no known role is, and nothing is called good."""
    return bool(better(measure, role)) if role != "unlabelled" else measure not in RATES


def limits(measure: str) -> tuple[float | None, float | None]:
    """Least and greatest possible value."""
    return (0.0, 1.0) if measure in RATES else facts_of(measure)[2:]


def facts_of(measure: str) -> tuple[Better, Better, float | None, float | None]:
    """Good way on forget sets, good way on kept sets, least and greatest value: of ours or of another package's."""
    if measure in CARDS:
        card = CARDS[measure]
        return card.forget, card.keep, card.low, card.high
    facts = METRICS.named(measure).facts
    return facts["forget"], facts["keep"], facts["low"], facts["high"]


def rates_of(role: Role) -> tuple[str, ...]:
    """The verdicts to read off a set first."""
    if role in ANSWERED:
        return ("right", "refused")
    return ("refused",) if role in REFUSED else ("refused", "leaked", "right")


def _rate(measure: str, role: Role) -> Better:
    if measure == "fluent":
        return "higher"
    if role == "forget":
        return {"right": "lower", "refused": "higher", "leaked": "lower"}[measure]  # pyright: ignore[reportReturnType]
    if measure == "leaked":
        return ""
    return "higher" if role in REFUSED or measure == "right" else "lower"
