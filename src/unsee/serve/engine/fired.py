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


def strongest(fired: Sequence[Fired]) -> Fired | None:
    """The one that is furthest above its threshold."""
    return max(fired, key=lambda one: (one.margin, -one.rank), default=None)


def steered_layers(fired: Sequence[Fired]) -> int:
    """How many layers are steered at each position."""
    layers = {layer for one in fired for layer in one.eraser.layers}
    winners = [strongest([one for one in fired if layer in one.eraser.layers]) for layer in layers]
    return sum(one is not None and one.eraser.reply.steers for one in winners)


def fixed_tokens(fired: Sequence[Fired], steps: Sequence[int]) -> int:
    """At how many of these steps the token that follows is fixed."""
    first = strongest(fired)
    if first is None or not steps:
        return 0
    return int((first.eraser.reply.forced(torch.tensor(steps)) != FREE).sum())


def as_required(report: Mapping[str, Any]) -> bool:
    """Whether a request was decided on, and as many positions steered and tokens fixed as had to be."""
    counted = report["steered"] == report["required"] and report["forced"] == report["due"]
    return report["decided"] and not report["unreadable"] and counted
