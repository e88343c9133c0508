"""The requests of an engine, as its scheduler tells of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from unsee.errors import SteeringError
from unsee.serve.engine.fired import Outcome
from unsee.shapes import Int

SET, TICKET, CACHE, NO_SET = "unsee_set", "unsee_ticket", "unsee_cache", "none"
"""Keys of a request's extra arguments, and the name of the set that holds nothing.

Who asks finds what the engine reports of a request under its `TICKET`. Prompts find what others have left in the cache
only under the same `CACHE`: a name for one set, held without a break.
"""


@final
@dataclass(eq=False)
class Tracked:
    """One request of the engine.

    Attributes:
        id: the engine's.
        set_name: the set that decides on it.
        ids: tokens of its prompt.
        images: of each of them, 0 for text and j for the j-th image.
        slot: row of the table of decisions.
        blocks: cache blocks that hold its tokens, in order.
        computed: tokens that have passed, or are cached.
        decided: whether its gates have been read.
        outcome: what they said, once the host knows.
        unreadable: whether a gate read no number, or no whole prompt, so that nothing says whether it fires.
        answered: positions from the last prompt token on that have passed since.
        due: tokens of its answer that had to be fixed, of those that were reported on.
    """

    id: str
    set_name: str
    ids: Int[np.ndarray, " T"]
    images: Int[np.ndarray, " T"]
    slot: int
    blocks: list[int]
    computed: int
    decided: bool = False
    outcome: Outcome | None = None
    unreadable: bool = False
    answered: int = 0
    due: int = 0

    @property
    def prompt_tokens(self) -> int:
        """Length of its prompt."""
        return len(self.ids)

    @property
    def shut(self) -> bool:
        """Whether it is known that no gate fired."""
        return self.outcome is not None and not self.outcome.fired


@final
class Requests:
    """What the scheduler has said so far.

    Attributes:
        live: by the engine's id.
    """

    def __init__(self) -> None:
        self._free: list[int] = []
        self._slots = 0
        self.live: dict[str, Tracked] = {}

    def hear(self, scheduled: Any, mandated: str | None) -> list[Tracked]:
        """Take in a scheduler output; returns requests never seen before."""
        self._free += [self.live.pop(name).slot for name in scheduled.finished_req_ids if name in self.live]
        fresh = [self._receive(new, mandated) for new in scheduled.scheduled_new_reqs]
        cached = scheduled.scheduled_cached_reqs
        for index, name in enumerate(cached.req_ids):
            tracked, blocks = self.live[name], cached.new_block_ids[index]
            if name in cached.resumed_req_ids:
                tracked.blocks = []
            if blocks is not None:
                tracked.blocks += blocks[0]
            tracked.computed = cached.num_computed_tokens[index]
        return [tracked for tracked in fresh if tracked is not None]

    def _receive(self, new: Any, mandated: str | None) -> Tracked | None:
        known = self.live.get(new.req_id)
        if known is not None:  # it was preempted and comes again; what was decided stays decided
            known.blocks, known.computed = list(new.block_ids[0]), new.num_computed_tokens
            return None
        extra = {} if new.sampling_params is None else new.sampling_params.extra_args or {}
        name = extra.get(SET, mandated)
        if name is None or not new.prompt_token_ids:
            raise SteeringError(
                f"request {new.req_id} came without a set of erasers or without the tokens of a prompt, and no set is "
                "mandated, so nothing says what may be answered. Nothing is answered. Load a set before the first "
                "request."
            )
        ids = np.asarray(new.prompt_token_ids, dtype=np.int64)
        tracked = Tracked(
            new.req_id,
            str(name),
            ids,
            _images(new.mm_features or (), len(ids)),
            self._slot(),
            list(new.block_ids[0]),
            new.num_computed_tokens,
        )
        self.live[new.req_id] = tracked
        return tracked

    def _slot(self) -> int:
        if self._free:
            return self._free.pop()
        self._slots += 1
        return self._slots - 1


def _images(features: Iterable[Any], length: int) -> np.ndarray:
    """Per prompt token the number of its image, from 1 and in order, or 0: where the engine puts their embeddings."""
    found = np.zeros(length, dtype=np.int64)
    places = sorted((feature.mm_position for feature in features), key=lambda place: place.offset)
    for number, place in enumerate(places, 1):
        own = slice(place.offset, place.offset + place.length)
        embedded = True if place.is_embed is None else np.asarray(place.is_embed, dtype=bool)
        found[own] = np.where(embedded, number, found[own])
    return found
