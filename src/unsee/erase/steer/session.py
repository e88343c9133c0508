"""One `with erased(...)` block: whose prompt a call continues, what its policies add, and whether all of it happened.

It knows columns, rows and caches, and no module: hooks report each call here and write back what they are told.
"""

import functools
import threading
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import final

import torch
from transformers import Cache

from unsee.erase.eraser import Eraser
from unsee.erase.steer.call import Call, require_one_prompt_per_row
from unsee.erase.steer.policy import Policy, Reading, Selected, forced_tokens, policy_of, strongest
from unsee.erase.steer.positions import Steps, no_ids, number_steps
from unsee.errors import SteeringError
from unsee.shapes import Bool, Float, Int, Tensor

# What was added to the last columns of one block's input.
Parts = list[Float[Tensor, "B _ D"]]
_Find = Callable[[], Int[Tensor, "B C"]]


@dataclass
class _Prompts:
    """The prompts whose calls are under way; `fed` columns have passed, into the cache that `cache` points to."""

    mask: Bool[Tensor, "B C"]
    tokens: Int[Tensor, " B"]
    policies: list[Policy]
    find_images: _Find
    find_ids: _Find
    begun: Int[Tensor, " B"] | None = None
    fed: int = 0
    cache: weakref.ref[Cache] | None = None


@final
@dataclass(eq=False, repr=False)
class Steering:
    """What is happening inside a `with erased(...)` block; read it after a call.

    Attributes:
        erasers: the requests in force.
        prompt_tokens: real prompt tokens of each row, where they are not all real tokens of the first call. What
            follows them in `generate` is an answer begun by the caller: refusing begins after it.
        image_index: the adapter's, for this model.
        positions: steered positions so far, over all erasers, rows, layers and calls of this block.
        forced: tokens that replies have fixed so far, over all rows and calls, by whichever open block.
        window: first column and width of the latest call.
    """

    erasers: tuple[Eraser, ...]
    prompt_tokens: tuple[int, ...] | None = None
    image_index: Callable[[Int[Tensor, "B T"]], Int[Tensor, "B T"]] | None = None
    positions: int = 0
    forced: int = 0
    window: tuple[int, int] = (0, 0)
    _generating: tuple[Tensor, Tensor, Tensor | None] | None = None
    _prompts: _Prompts | None = None
    _call: Call | None = None
    _steps: Steps | None = None
    _visited: list[int] = field(default_factory=list)
    _moved: dict[int, Parts] = field(default_factory=dict)
    _caller: int | None = None
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def readings(self) -> list[Reading | None]:
        """What each gate said to the latest prompts, one entry per eraser."""
        return [p.reading() for p in self._prompts.policies] if self._prompts else [None] * len(self.erasers)

    @property
    def policies(self) -> list[Policy]:
        """Of the prompts whose calls are under way."""
        return self._prompts.policies if self._prompts else []

    def policies_at(self, first: int, width: int) -> list[tuple[Policy, Steps]]:
        """The policies, each with the steps of these columns."""
        prompts = self._prompts
        if prompts is None:
            return []
        steps = number_steps(prompts.mask, prompts.tokens, first, width, prompts.begun)
        return [(policy, steps) for policy in prompts.policies]

    @property
    def generating(self) -> bool:
        """Whether the calls under way belong to `generate`."""
        return self._generating is not None

    def start_generation(self, mask: Bool[Tensor, "B C"], ids: Int[Tensor, "B C"] | None = None) -> None:
        """The next calls belong to these prompts, until `end_generation`."""
        self._own()
        self._prompts, self._generating = None, (mask, self._count(mask), ids)

    def end_generation(self) -> None:
        """It has ended, by an exception or otherwise."""
        self._generating = self._steps = self._caller = None

    def require_fed(self, columns: int) -> None:
        """Of so many columns that a generation returns, every one but the last must have passed."""
        fed = self._prompts.fed if self._prompts else 0
        if fed < columns - 1:
            raise SteeringError(
                f"{columns - 1} positions were to pass through the steered decoder, {fed} did. Nothing is answered. "
                "Run the model without graph capture or external engines, or use unsee's plugin for them."
            )

    def begin(self, call: Call, erasers: Sequence[Eraser]) -> None:
        """A call of the decoder starts, for which the requests of this block have these thresholds."""
        self._own()
        if self._generating is not None:
            self._prompts = self._prompts or self._expanded(call.rows, erasers, *self._generating)
        elif call.cached == 0:
            self._prompts = self._started(call, erasers)
        prompts = self._prompts
        if prompts is None or not _continues(call, prompts):
            known = "none" if prompts is None else f"{prompts.mask.shape[0]} row(s), {prompts.fed} columns so far"
            raise SteeringError(
                f"a call of {call.rows} row(s) continues a cache of {call.cached} columns, but this block has seen "
                f"another prompt: {known}. The gate cannot be decided for prompts that it has not read. Start the "
                "cache inside the block, and finish one prompt before the next."
            )
        self._call, self._visited, self._moved = call, [], {}
        self.window = call.cached, call.width
        self._steps = number_steps(
            prompts.mask,
            prompts.tokens,
            call.cached,
            call.width,
            prompts.begun,
            prompts.find_images,
            prompts.find_ids,
        )
        for policy in prompts.policies:
            policy.steered = 0  # What a call that failed half way has steered is not counted.
        require_one_prompt_per_row(call, self._steps)

    def read(self, layer: int, states: Float[Tensor, "B T D"]) -> None:
        """A decoder block is about to run on these states."""
        if self._steps is None or self._prompts is None:
            raise SteeringError(f"decoder block {layer} ran outside a call of the decoder. Call the model as a whole.")
        self._visited.append(layer)
        for policy in self.policies:
            policy.read(layer, states, self._steps)

    def steer(self, layer: int, states: Float[Tensor, "B T D"], selected: Selected) -> Parts:
        """What to add to the last columns of the input that was read, where rows are selected among all open blocks."""
        assert self._steps is not None, "read before"
        added = [policy.at(layer, states, self._steps, selected) for policy in self.policies]
        parts = [part for part in added if part is not None]
        if self._call is not None and self._call.recorded:
            self._moved[layer] = parts
        return parts

    def finish(self, selected: Sequence[Selected], cache: Cache | None, failed: bool) -> dict[int, Parts]:
        """A call of the decoder has ended: did every block run, and was everything steered that had to be?

        Args:
            selected: rows by policy, for each decoder block.
            cache: that the call has filled, if any.
            failed: whether the call has raised.

        Returns what was added to the input of each block, where hidden states are recorded.
        """
        if self._caller != threading.get_ident():
            return {}  # The call was refused because another thread's is under way.
        call, steps, prompts, moved = self._call, self._steps, self._prompts, self._moved
        self._call, self._steps, self._moved = None, None, {}
        if not self.generating:
            self._caller = None
        if failed or call is None or steps is None or prompts is None:
            return {}
        if self._visited != list(range(len(selected))):
            raise SteeringError(
                f"expected decoder blocks 0 to {len(selected) - 1} to run once each and in order, got {self._visited}. "
                "Nothing is answered. A compiled or fused model may bypass hooks; run it eagerly."
            )
        for policy in prompts.policies:
            required = policy.required(steps, selected)
            if policy.steered != required:
                raise SteeringError(
                    f"steered {policy.steered} positions where the policy requires {required}. Nothing is answered."
                )
            self.positions += policy.steered
        prompts.fed = max(prompts.fed, call.cached + call.width)
        prompts.cache = None if cache is None else weakref.ref(cache)
        return moved

    def _own(self) -> None:
        me = threading.get_ident()
        with self._lock:
            if self._caller not in (None, me):
                raise SteeringError(
                    "two threads call the model inside one block at the same time, so their prompts would mix. "
                    "Open a block in each thread, or let them wait for each other."
                )
            self._caller = me

    def _started(self, call: Call, erasers: Sequence[Eraser]) -> _Prompts:
        if call.real is None:
            raise SteeringError(
                "the attention mask of the call does not say which tokens are pads, so pads could enter the gate. "
                "Pass attention_mask as the processor returns it: rows times columns."
            )
        tokens = self._count(call.real)
        policies = [policy_of(eraser, tokens) for eraser in erasers]
        return _Prompts(call.real, tokens, policies, *self._found(call.ids, 1))

    def _expanded(
        self, rows: int, erasers: Sequence[Eraser], mask: Tensor, tokens: Tensor, ids: Tensor | None
    ) -> _Prompts:
        times, rest = divmod(rows, mask.shape[0])
        if rest or not times:
            raise SteeringError(
                f"generate was called with {mask.shape[0]} prompt(s) but the decoder runs {rows} row(s): rows cannot "
                "be matched to prompts. Use greedy, sampling or beam search."
            )
        mask, tokens = mask.repeat_interleave(times, 0), tokens.repeat_interleave(times, 0)
        # What follows a prompt in `generate` was put into the model's mouth; in a plain call it is an answer to score.
        begun = mask.sum(1) - tokens
        policies = [policy_of(eraser, tokens) for eraser in erasers]
        return _Prompts(mask, tokens, policies, *self._found(ids, times), begun)

    def _found(self, ids: Tensor | None, times: int) -> tuple[_Find, _Find]:
        """What finds images and ids of prompts each of which is run `times`: once at most, and only if a gate asks."""
        index = self.image_index
        if ids is None:
            return no_ids, no_ids
        whole = functools.cache(lambda: ids.cpu().repeat_interleave(times, 0))
        if index is None:
            return no_ids, whole
        return functools.cache(lambda: index(ids.cpu()).repeat_interleave(times, 0)), whole

    def _count(self, mask: Bool[Tensor, "B C"]) -> Int[Tensor, " B"]:
        """Prompt tokens of each row."""
        real = mask.sum(1)
        tokens = real if self.prompt_tokens is None else torch.tensor(self.prompt_tokens)
        if tokens.shape != real.shape or bool(((tokens < 1) | (tokens > real)).any()):
            raise SteeringError(
                f"the prompts have {tokens.tolist()} tokens, but the rows have {real.tolist()} real tokens. Expected "
                "one number per row, from 1 to the row's real tokens. Fix prompt_tokens or attention_mask."
            )
        return tokens


def visit(blocks: Sequence[Steering], layer: int, states: Float[Tensor, "B T D"]) -> Parts:
    """All open blocks at one decoder block: every gate reads first, and then each row is steered by one of them."""
    for block in blocks:
        block.read(layer, states)
    selected = _selected(blocks, layer)
    return [part for block in blocks for part in block.steer(layer, states, selected)]


def finish(blocks: Sequence[Steering], depth: int, cache: Cache | None, failed: bool) -> list[dict[int, Parts]]:
    """A call of the decoder has ended for all open blocks."""
    selected = [] if failed else [_selected(blocks, layer) for layer in range(depth)]
    return [block.finish(selected, cache, failed) for block in blocks]


def forced(blocks: Sequence[Steering], first: int, width: int) -> Int[Tensor, "B T"] | None:
    """The token that must follow each of these columns, or `FREE`; None where no reply fixes any."""
    return forced_tokens([pair for block in blocks for pair in block.policies_at(first, width)])


def _selected(blocks: Sequence[Steering], layer: int) -> Selected:
    return strongest([policy for block in blocks for policy in block.policies], layer)


def _continues(call: Call, prompts: _Prompts) -> bool:
    """Whether the call holds the prompts from their start, or goes on in the very cache that they have filled."""
    if call.rows != prompts.mask.shape[0]:
        return False
    if call.cached == 0:
        return call.width >= prompts.fed
    return call.cached <= prompts.fed and prompts.cache is not None and prompts.cache() is call.cache
