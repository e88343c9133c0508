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
@dataclass(eq=False)
class Plan:
    """One step of the engine; tensors lie on its device.

    Attributes:
        row: places in the batch of the tokens that belong to prompts; whatever gates read is in this order.
        block: cache block of each.
        place: place in the cache of each: blocks, and tokens inside them, behind one another.
        text: which of them are text.
        shown: and which are of images.
        begun: blocks whose first token is here: what they held before was another request's.
        ending: requests whose last prompt token is here and that are not decided yet.
        last: which of the prompts' tokens that is.
        prompts: places of all tokens of each prompt that ends, wherever they were computed; on the host.
        prompt_blocks: blocks of their prompts, behind one another.
        prompt_of: which of `ending` each of those blocks belongs to.
        answering: places in the batch of the tokens that may be steered.
        slot: of each of those.
        step: of each of those, from 0.
        steered: requests that have such tokens, and how many.
        choosing: requests whose next token is chosen after this step: row of the logits and step.
        visited: decoder blocks that have run so far.
    """

    row: Int[Tensor, " P"]
    block: Int[Tensor, " P"]
    place: Int[Tensor, " P"]
    text: Int[Tensor, " A"]
    shown: Int[Tensor, " B"]
    begun: Int[Tensor, " M"]
    ending: list[Tracked]
    last: Int[Tensor, " N"]
    prompts: list[np.ndarray]
    prompt_blocks: Int[Tensor, " M"]
    prompt_of: Int[Tensor, " M"]
    answering: Int[Tensor, " A"]
    slot: Int[Tensor, " A"]
    step: Int[Tensor, " A"]
    steered: list[tuple[Tracked, int]]
    choosing: list[tuple[Tracked, int, int]]
    visited: list[int] = field(default_factory=list)


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
        at, read, batch = 0, 0, _Batch()
        for row, (tracked, count) in enumerate(running):
            first, end, length = tracked.computed, tracked.computed + count, tracked.prompt_tokens
            prompt = np.arange(first, min(end, length))
            batch.rows.append(at + prompt - first)
            batch.places.append(self._places(tracked, prompt))
            batch.images.append(tracked.images[prompt])
            open_from = max(first, length - 1)
            if open_from < end:
                batch.answering.append(np.arange(at + open_from - first, at + count))
                batch.slots.append(np.full(end - open_from, tracked.slot))
                batch.steps.append(np.arange(open_from, end) - (length - 1))
                batch.steered.append((tracked, end - open_from))
                batch.choosing.append((tracked, row, end - length))
                if not tracked.decided:
                    batch.ending.append(tracked)
                    batch.last.append(read + len(prompt) - 1)
            at, read = at + count, read + len(prompt)
        place, image = _joined(batch.places), _joined(batch.images)
        block, begun = place // self._block_size, place[place % self._block_size == 0] // self._block_size
        self._counted[begun], self._loads[begun] = 0, self.loads
        np.add.at(self._counted, block, 1)
        prompts = [self._whole(tracked) for tracked in batch.ending]
        blocks = [whole[:: self._block_size] // self._block_size for whole in prompts]
        return Plan(
            self._tensor(_joined(batch.rows)),
            self._tensor(block),
            self._tensor(place),
            self._tensor(np.flatnonzero(image == 0)),
            self._tensor(np.flatnonzero(image)),
            self._tensor(begun),
            batch.ending,
            self._tensor(np.asarray(batch.last)),
            prompts,
            self._tensor(_joined(blocks)),
            self._tensor(_joined([np.full(len(own), i) for i, own in enumerate(blocks)])),
            self._tensor(_joined(batch.answering)),
            self._tensor(_joined(batch.slots)),
            self._tensor(_joined(batch.steps)),
            batch.steered,
            batch.choosing,
        )

    def _places(self, tracked: Tracked, positions: np.ndarray) -> np.ndarray:
        size = self._block_size
        return np.asarray(tracked.blocks, dtype=np.int64)[positions // size] * size + positions % size

    def _whole(self, tracked: Tracked) -> np.ndarray:
        """Places of a whole prompt, every token of which must have been read, in this step or before."""
        places = self._places(tracked, np.arange(tracked.prompt_tokens))
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
    """Pieces of a plan, one a request."""

    rows: list[np.ndarray] = field(default_factory=list)
    places: list[np.ndarray] = field(default_factory=list)
    images: list[np.ndarray] = field(default_factory=list)
    ending: list[Tracked] = field(default_factory=list)
    last: list[int] = field(default_factory=list)
    answering: list[np.ndarray] = field(default_factory=list)
    slots: list[np.ndarray] = field(default_factory=list)
    steps: list[np.ndarray] = field(default_factory=list)
    steered: list[tuple[Tracked, int]] = field(default_factory=list)
    choosing: list[tuple[Tracked, int, int]] = field(default_factory=list)


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
