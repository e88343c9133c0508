"""One step of the engine: which token of a flat batch belongs to whom, and which step of its answer it is.

Steps are those of `erase.steer.positions`: 0 is the last prompt token. They come from positions and never from how many
tokens a call holds, so that chunks, cached prefixes and answers resumed after a preemption all mean the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np
import torch

from unsee.errors import SteeringError
from unsee.serve.engine.tracking import Tracked
from unsee.shapes import Int, Tensor


@final
@dataclass(frozen=True, eq=False)
class Reading:
    """Tokens of prompts that pass in a step; tensors lie on the engine's device.

    Attributes:
        row: places in the batch of the tokens that belong to prompts; whatever gates read is in this order. A slice,
            where no token of an answer lies between them.
        block: cache block of each.
        place: place in the cache of each: blocks, and tokens inside them, behind one another.
        shown: which of them are of images; None where none is.
        begun: blocks whose first token is here: what they held before was another request's.
        ending: requests whose last prompt token is here and that are not decided yet.
        last: which of the prompts' tokens that is.
        prompts: places of all tokens of each prompt that ends, wherever they were computed; on the host.
        prompt_blocks: blocks of their prompts, behind one another.
        prompt_of: which of `ending` each of those blocks belongs to.
        slots: of `ending`, their rows of the table of decisions.
    """

    row: Int[Tensor, " P"] | slice
    block: Int[Tensor, " P"]
    place: Int[Tensor, " P"]
    shown: Int[Tensor, " B"] | None
    begun: Int[Tensor, " M"]
    ending: list[Tracked]
    last: Int[Tensor, " N"]
    prompts: list[np.ndarray]
    prompt_blocks: Int[Tensor, " M"]
    prompt_of: Int[Tensor, " M"]
    slots: Int[Tensor, " N"]


@final
@dataclass(eq=False)
class Plan:
    """One step.

    Attributes:
        reading: its tokens of prompts, if there are any.
        steered: requests that have tokens which may be steered, the first of them in the batch, and its step; how many.
        choosing: requests whose next token is chosen after this step: row of the logits and step.
        visited: decoder blocks that have run so far.
    """

    reading: Reading | None = None
    steered: list[tuple[Tracked, int, int, int]] = field(default_factory=list)
    choosing: list[tuple[Tracked, int, int]] = field(default_factory=list)
    visited: list[int] = field(default_factory=list)

    @property
    def ending(self) -> list[Tracked]:
        """Requests that are decided in it."""
        return [] if self.reading is None else self.reading.ending

    def answering(self, device: torch.device) -> Int[Tensor, "3 A"]:
        """Of every token that may be steered: its place in the batch, the slot of its request, and its step."""
        rows = [(at + n, tracked.slot, step + n) for tracked, at, step, count in self.steered for n in range(count)]
        return torch.tensor(rows, dtype=torch.int64).reshape(-1, 3).mT.contiguous().to(device, non_blocking=True)


@final
class Planner:
    """What was read of each block of the cache, and under which load of erasers.

    Attributes:
        loads: how often erasers were loaded.
        since: of each set that holds any, the load since which it is held.
    """

    def __init__(self, block_size: int, blocks: int, device: torch.device) -> None:
        self._block_size, self._device = block_size, device
        self._counted, self._loads = np.zeros(blocks, dtype=np.int64), np.zeros(blocks, dtype=np.int64)
        self.loads, self.since = 0, dict[str, int]()

    def plan(self, running: Sequence[tuple[Tracked, int]]) -> Plan:
        """The step that is about to run: requests in the order of the batch, and how many tokens of each.

        Raises:
            SteeringError: the states of a prompt were not all read here.
        """
        at, plan, batch = 0, Plan(), _Batch()
        for row, (tracked, count) in enumerate(running):
            first, end, length = tracked.computed, tracked.computed + count, tracked.prompt_tokens
            if first < length:
                batch.add(tracked, at, first, min(end, length), self._places(tracked, first, min(end, length)))
            if end >= length:
                begin = max(first, length - 1)
                plan.steered.append((tracked, at + begin - first, begin - (length - 1), end - begin))
                plan.choosing.append((tracked, row, end - length))
            at += count
        if batch.rows:
            plan.reading = self._reading(batch)
        return plan

    def _reading(self, batch: "_Batch") -> Reading:
        place, image = np.concatenate(batch.places), np.concatenate(batch.images)
        block, begun = place // self._block_size, place[place % self._block_size == 0] // self._block_size
        self._counted[begun], self._loads[begun] = 0, self.loads
        np.add.at(self._counted, block, 1)
        prompts = [self._whole(tracked) for tracked in batch.ending]
        blocks = [whole[:: self._block_size] // self._block_size for whole in prompts]
        none = [np.zeros(0, dtype=np.int64)]
        shown = np.flatnonzero(image)
        row = np.concatenate(batch.rows)
        first, end = int(row[0]), int(row[-1]) + 1
        return Reading(
            slice(first, end) if end - first == len(row) else self._tensor(row),
            self._tensor(block),
            self._tensor(place),
            self._tensor(shown) if len(shown) else None,
            self._tensor(begun),
            batch.ending,
            self._tensor(np.asarray(batch.last)),
            prompts,
            self._tensor(np.concatenate(blocks or none)),
            self._tensor(np.repeat(np.arange(len(blocks)), [len(own) for own in blocks])),
            self._tensor(np.asarray([tracked.slot for tracked in batch.ending])),
        )

    def _places(self, tracked: Tracked, first: int, end: int) -> np.ndarray:
        positions, size = np.arange(first, end), self._block_size
        return np.asarray(tracked.blocks, dtype=np.int64)[positions // size] * size + positions % size

    def _whole(self, tracked: Tracked) -> np.ndarray:
        """Places of a whole prompt, every token of which must have been read, in this step or before."""
        places = self._places(tracked, 0, tracked.prompt_tokens)
        since = self.since.get(tracked.set_name)
        if since is None:
            return places  # no gate decides on it
        blocks = places[:: self._block_size] // self._block_size
        read = int(self._counted[blocks].sum())
        if read != tracked.prompt_tokens:
            raise SteeringError(
                f"the gates have read {read} tokens of a prompt that has {tracked.prompt_tokens}: its cached states "
                "came from somewhere else. Nothing is answered. Switch cache transfer and offloading off."
            )
        # A part of it was computed before its set was loaded, under a name that does not tell (CACHE).
        tracked.unreadable |= bool(self._loads[blocks].min() < since)
        return places

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(values.astype(np.int64, copy=False)).to(self._device, non_blocking=True)


@final
@dataclass
class _Batch:
    """Pieces of what is read, one a request."""

    rows: list[np.ndarray] = field(default_factory=list)
    places: list[np.ndarray] = field(default_factory=list)
    images: list[np.ndarray] = field(default_factory=list)
    ending: list[Tracked] = field(default_factory=list)
    last: list[int] = field(default_factory=list)
    read: int = 0

    def add(self, tracked: Tracked, at: int, first: int, end: int, places: np.ndarray) -> None:
        """Tokens `first` to `end` of a prompt, which begin at a place in the batch."""
        self.rows.append(np.arange(at, at + end - first))
        self.places.append(places)
        self.images.append(tracked.images[first:end])
        self.read += end - first
        if end == tracked.prompt_tokens and not tracked.decided:
            self.ending.append(tracked)
            self.last.append(self.read - 1)
