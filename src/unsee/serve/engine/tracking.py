"""Which token of a flat batch belongs to whom, and which step of its answer it is: from the scheduler's output.

Steps are those of `erase.steer.positions`: 0 is the last prompt token. They come from positions and never from how many
tokens a call holds, so that chunks, cached prefixes and answers resumed after a preemption all mean the same.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
import torch

from unsee.errors import SteeringError
from unsee.shapes import Int, Tensor

SET, TICKET, NO_SET = "unsee_set", "unsee_ticket", "none"
"""Keys of a request's extra arguments, and the name of the set that holds nothing."""


@final
@dataclass(eq=False)
class Tracked:
    """One request of the engine.

    Attributes:
        id: the engine's.
        ticket: the server's; several requests have the same where several answers were asked for.
        set_name: the set that decides on it.
        prompt_tokens: length of its prompt.
        slot: row of the table of decisions.
        blocks: cache blocks that hold its tokens, in order.
        computed: tokens that have passed, or are cached.
        decided: whether its gates have been read.
        unreadable: whether a gate read no number, so that nothing says whether it fires.
        answered: positions from the last prompt token on that have passed since.
        fired: score less threshold of the erasers that fired, once decided.
        steered: layers that they steer, each once, however many of them do.
        highest: the largest score less threshold, of any eraser of its set.
    """

    id: str
    ticket: str
    set_name: str
    prompt_tokens: int
    slot: int
    blocks: list[int]
    computed: int
    decided: bool = False
    unreadable: bool = False
    answered: int = 0
    fired: dict[str, float] = field(default_factory=dict)
    steered: set[int] = field(default_factory=set)
    highest: float = -np.inf


@final
@dataclass(eq=False)
class Plan:
    """One step of the engine; tensors lie on its device.

    Attributes:
        tokens: real ones of the batch, before any padding.
        block: cache block of each token.
        begun: blocks whose first token is here: what they held before was another request's.
        ending: requests whose last prompt token is here and that are not decided yet.
        last: place of that token.
        prompt_blocks: blocks of their prompts, behind one another.
        prompt_of: which of `ending` each of those blocks belongs to.
        answering: places of the tokens that may be steered.
        slot: of each of those.
        step: of each of those, from 0.
        steered: requests that have such tokens, and how many.
        visited: decoder blocks that have run so far.
    """

    tokens: int
    block: Int[Tensor, " T"]
    begun: Int[Tensor, " M"]
    ending: list[Tracked]
    last: Int[Tensor, " N"]
    prompt_blocks: Int[Tensor, " M"]
    prompt_of: Int[Tensor, " M"]
    answering: Int[Tensor, " A"]
    slot: Int[Tensor, " A"]
    step: Int[Tensor, " A"]
    steered: list[tuple[Tracked, int]]
    visited: list[int] = field(default_factory=list)


@final
class Requests:
    """What the scheduler has said so far.

    Attributes:
        live: by the engine's id.
    """

    def __init__(self, block_size: int, blocks: int, device: torch.device) -> None:
        self._block_size, self._device = block_size, device
        self._counted = np.zeros(blocks, dtype=np.int64)
        self._free: list[int] = []
        self._slots = 0
        self.live: dict[str, Tracked] = {}

    def finish(self, ids: Iterable[str]) -> list[Tracked]:
        """Forget requests that have ended; returns them."""
        ended = [self.live.pop(i) for i in ids if i in self.live]
        self._free += [tracked.slot for tracked in ended]
        return ended

    def hear(self, scheduled: Any, mandated: str | None) -> list[Tracked]:
        """Take in a scheduler output; returns requests never seen before."""
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

    def plan(self, order: Sequence[str], tokens: dict[str, int]) -> Plan:
        """The step that is about to run, with the requests in the order of the batch.

        Raises:
            SteeringError: the states of a prompt were not all read here.
        """
        places, blocks, starts = 0, [], []
        ending, last, answering, slots, steps, steered = [], [], [], [], [], []
        for name in order:
            tracked, count = self.live[name], tokens[name]
            first, end = tracked.computed, tracked.computed + count
            positions = np.arange(first, end)
            own = np.asarray(tracked.blocks)[positions // self._block_size]
            blocks.append(own)
            starts.append(own[positions % self._block_size == 0])
            open_from = max(first, tracked.prompt_tokens - 1)
            if open_from < end:
                answering.append(np.arange(places + open_from - first, places + count))
                slots.append(np.full(end - open_from, tracked.slot))
                steps.append(np.arange(open_from, end) - (tracked.prompt_tokens - 1))
                steered.append((tracked, end - open_from))
                if not tracked.decided:
                    ending.append(tracked)
                    last.append(places + open_from - first)
            places += count
        block, begun = np.concatenate(blocks), np.concatenate(starts)
        self._counted[begun] = 0
        np.add.at(self._counted, block, 1)
        prompts = [self._prompt_blocks(tracked) for tracked in ending]
        return Plan(
            places,
            self._tensor(block),
            self._tensor(begun),
            ending,
            self._tensor(np.asarray(last, dtype=np.int64)),
            self._tensor(_joined(prompts)),
            self._tensor(_joined([np.full(len(p), i) for i, p in enumerate(prompts)])),
            self._tensor(_joined(answering)),
            self._tensor(_joined(slots)),
            self._tensor(_joined(steps)),
            steered,
        )

    def _receive(self, new: Any, mandated: str | None) -> Tracked | None:
        known = self.live.get(new.req_id)
        if known is not None:  # it was preempted and comes again; what was decided stays decided
            known.blocks, known.computed = list(new.block_ids[0]), new.num_computed_tokens
            return None
        extra = {} if new.sampling_params is None else new.sampling_params.extra_args or {}
        name = extra.get(SET, mandated)
        if name is None or new.prompt_len < 1:
            raise SteeringError(
                f"request {new.req_id} came without a set of erasers or without a prompt, and no set is mandated, so "
                "nothing says what may be answered. Nothing is answered. Load a set before the first request."
            )
        tracked = Tracked(
            new.req_id,
            str(extra.get(TICKET, new.req_id)),
            str(name),
            new.prompt_len,
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

    def _prompt_blocks(self, tracked: Tracked) -> np.ndarray:
        """Blocks of a whole prompt, every token of which must have been read, in this step or before."""
        count = -(-tracked.prompt_tokens // self._block_size)
        blocks = np.asarray(tracked.blocks[:count])
        read = int(self._counted[blocks].sum())
        if read != tracked.prompt_tokens:
            raise SteeringError(
                f"the gates have read {read} tokens of a prompt that has {tracked.prompt_tokens}: its cached states "
                "came from somewhere else. Nothing is answered. Switch cache transfer and offloading off."
            )
        return blocks

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(values.astype(np.int64, copy=False)).to(self._device, non_blocking=True)


def _joined(parts: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int64)
