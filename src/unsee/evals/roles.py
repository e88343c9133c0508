"""What a set of questions is for: which way of every measure is good on it."""

from typing import Literal

from unsee.metrics import CARDS
from unsee.metrics.estimate import Better
from unsee.metrics.verdicts import REFUSAL_SPLITS

Role = Literal["forget", "keep", "refuse"]

_FORGET = ("test", "target", "efficacy", "generality", "dangerous_topic", "outdated_facts")
"""Sets of what must be forgotten whose names do not say so; `test` is MLLMU-Bench's, of forgotten people."""

STRANGERS = "strangers"
"""Set of people whom no model was taught: a sound one refuses, and membership is measured against it."""

RATES: dict[str, str] = {"right": "correct", "refused": "refused", "leaked": "leaked", "fluent": "fluent"}
"""Verdicts that every row has, by the name in tables, to the field of the row."""

_RATE_IS_GOOD: dict[str, dict[Role, Better]] = {
    "right": {"forget": "lower", "keep": "higher", "refuse": "higher"},
    "refused": {"forget": "higher", "keep": "lower", "refuse": "higher"},
    "leaked": {"forget": "lower", "keep": "", "refuse": ""},
    "fluent": {"forget": "higher", "keep": "higher", "refuse": "higher"},
}


def role_of(name: str) -> Role:
    """What the set of that name is for."""
    if name in REFUSAL_SPLITS:
        return "refuse"
    return "forget" if "forget" in name or name in _FORGET else "keep"


def better(measure: str, role: Role) -> Better:
    """Which way of a measure or a rate is good on a set of that role; empty where the set is not scored so."""
    if measure in _RATE_IS_GOOD:
        return _RATE_IS_GOOD[measure][role]
    card = CARDS[measure]
    return card.keep if role == "keep" else card.forget


def limits(measure: str) -> tuple[float | None, float | None]:
    """Least and greatest possible value."""
    return (0.0, 1.0) if measure in RATES else (CARDS[measure].low, CARDS[measure].high)
