"""Which erasers fired on a request, and what its answer must be for it: worked out on the host, apart from the tables.

The same rule as `erase.steer.policy`: at each layer the gate that is furthest above its threshold steers, if its reply
does; of all gates the furthest fixes the tokens. Of equals, which requests that share a scope often are, the first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch

from unsee.erase.eraser import Eraser
from unsee.erase.replies.base import FREE


@final
@dataclass(frozen=True, eq=False)
class Fired:
    """One of them.

    Attributes:
        id: content id.
        margin: score less threshold, at least 0.
        rank: its place in its set.
        eraser: the request.
    """

    id: str
    margin: float
    rank: int
    eraser: Eraser


@final
@dataclass(frozen=True, eq=False)
class Outcome:
    """What the gates have decided on one request.

    Attributes:
        fired: erasers.
        layers: how many are steered at each position.
        fixes: after which steps of the answer the token is fixed; after later ones as after the last.
        told: of it, what every report says.
    """

    fired: tuple[Fired, ...]
    layers: int
    fixes: tuple[bool, ...]
    told: Mapping[str, Any]

    @staticmethod
    def of(fired: Sequence[Fired], highest: float | None) -> "Outcome":
        """From those that fired, and the largest score less threshold of any gate."""
        first = strongest(fired)
        steered = {layer for one in fired for layer in one.eraser.layers}
        winners = [strongest([one for one in fired if layer in one.eraser.layers]) for layer in steered]
        layers = sum(one is not None and one.eraser.reply.steers for one in winners)
        words = 0 if first is None else len(getattr(first.eraser.reply, "tokens", ()))
        fixes = [False] if first is None else (first.eraser.reply.forced(torch.arange(words + 1)) != FREE).tolist()
        reply = None if first is None else first.eraser.reply.kind
        told = {"fired": {one.id: one.margin for one in fired}, "reply": reply, "highest": highest}
        return Outcome(tuple(fired), layers, tuple(fixes), told)

    def fixes_after(self, step: int) -> bool:
        """Whether the token that follows a step of the answer is fixed."""
        return self.fixes[min(step, len(self.fixes) - 1)]


def strongest(fired: Sequence[Fired]) -> Fired | None:
    """The one that is furthest above its threshold."""
    return max(fired, key=lambda one: (one.margin, -one.rank), default=None)


def as_counted(report: Mapping[str, Any]) -> bool:
    """Whether as many positions were steered, and tokens fixed, as had to be."""
    return report["steered"] == report["required"] and report["forced"] == report["due"]


def as_required(report: Mapping[str, Any]) -> bool:
    """Whether a request was decided on, too."""
    return report["decided"] and not report["unreadable"] and as_counted(report)
