"""The effect on one model: reads prompts, decides each request once, and steers or fixes its answer accordingly.

What gates read of a prompt lies beside the key-value cache, so that a prompt whose beginning comes from the cache is
decided as it would be without. Only the last prompt token and answers are ever steered.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch

from unsee.erase.eraser import Eraser
from unsee.errors import MismatchError, SteeringError
from unsee.serve.engine.counted import Counted
from unsee.serve.engine.fired import Fired, Outcome
from unsee.serve.engine.loaded import Loaded
from unsee.serve.engine.plan import Plan, Planner, Reading
from unsee.serve.engine.resident import Held, Resident, require_served
from unsee.serve.engine.said import Said
from unsee.serve.engine.slots import Moves, Slots, force
from unsee.serve.engine.tracking import Requests, Tracked
from unsee.shapes import Float, Int, Tensor


@final
@dataclass(frozen=True)
class Shape:
    """What the model and its cache are like.

    Attributes:
        family: as the adapters name it.
        depth: decoder blocks.
        width: of the residual stream.
        vocabulary: tokens that it may choose from.
        blocks: of the cache.
        block_size: tokens per block.
    """

    family: str
    depth: int
    width: int
    vocabulary: int
    blocks: int
    block_size: int


@final
class Steerer:
    """Everything that steers one model in one process; the engine calls it step by step."""

    def __init__(self, shape: Shape, device: torch.device) -> None:
        self.shape, self._device = shape, device
        self.loaded = Loaded.nothing(Resident(shape.blocks, shape.block_size, device))
        self.requests, self.planner = Requests(), Planner(shape.block_size, shape.blocks, device)
        self.slots = Slots(shape.depth, device)
        self._mandated: str | None = None
        self._said: list[Said] = []
        self._settling = threading.Lock()  # reports may be made in a thread of the engine's
        self._decided: list[tuple[Held, Tensor]] = []
        self._shut = False
        self._plan: Plan | None = None
        self._answering: Int[Tensor, "3 A"] | None = None
        self._deciding = False
        self._moves: list[Moves] = []
        self._choosing: list[tuple[Tracked, int, int]] = []
        self._fixed: tuple[Int[Tensor, " N"], Int[Tensor, " N"], Int[Tensor, " N"]] | None = None

    def load(self, erasers: Mapping[str, Eraser], sets: Mapping[str, Sequence[str]], mandated: str | None) -> None:
        """Hold exactly these erasers and sets, from the next step on; as `prepared` and `swap`."""
        self.swap(self.prepared(erasers, sets), mandated)

    def prepared(self, erasers: Mapping[str, Eraser], sets: Mapping[str, Sequence[str]]) -> Loaded:
        """What is to be held, made beside what is: steps may go on meanwhile, in another thread.

        Raises:
            MismatchError: an eraser is for another model.
            EngineError: its gate is of a kind that is not served.
            SteeringError: a set names an eraser that is not there.
        """
        for content_id, eraser in erasers.items():
            self._require_fits(content_id, eraser)
        return self.loaded.other(erasers, sets, self._running())

    def swap(self, loaded: Loaded, mandated: str | None) -> None:
        """Hold this from the next step on; between two steps.

        Raises:
            SteeringError: a running request's set is gone, or there is no mandated one.
        """
        self._settle()
        lost = {t.set_name for t in self.requests.live.values() if not t.decided} - loaded.orders.keys()
        if lost or (mandated is not None and mandated not in loaded.orders):
            raise SteeringError(
                f"{len(lost)} set(s) of running requests are missing, and the mandated one is {mandated!r}. Expected "
                "all of them. Nothing was changed."
            )
        running = self._running()
        stale = loaded.number != self.loaded.number + 1  # something else was loaded since it was prepared
        if stale or not all(loaded.resident.answers(eraser) for eraser in running):  # or a gate has opened
            loaded = self.loaded.other(loaded.resident.erasers, loaded.sets, running)
        self.slots.renumber(loaded.resident.follow(self.resident))
        self.planner.loads += 1
        since, now = self.planner.since, self.planner.loads
        self.planner.since = {n: since[n] if n in loaded.stay else now for n, own in loaded.orders.items() if own}
        self.loaded, self._mandated = loaded, mandated
        self.slots.know(self.resident.groups)

    @property
    def resident(self) -> Resident:
        """All erasers that are loaded."""
        return self.loaded.resident

    def _running(self) -> list[Eraser]:
        outcomes = [tracked.outcome for tracked in list(self.requests.live.values())]
        return [one.eraser for outcome in outcomes if outcome is not None for one in outcome.fired]

    def hear(self, scheduled: Any) -> None:
        """The scheduler has decided on a step: requests end, come and go on."""
        self._plan, self._choosing = None, []
        for tracked in self.requests.hear(scheduled, self._mandated):
            if tracked.set_name not in self.loaded.orders:
                raise SteeringError(
                    f"request {tracked.id} asks for a set of erasers that is not loaded. Nothing is answered. Load "
                    "the set before the request is sent."
                )
            self.slots.grow(tracked.slot + 1)
            self.slots.clear(tracked.slot)

    def begin(self, order: Sequence[str], tokens: dict[str, int]) -> None:
        """The step runs now, its requests in this order."""
        self._settle(wait=False)
        plan = self.planner.plan([(self.requests.live[name], tokens[name]) for name in order])
        self._plan, self._moves, self._decided = plan, [], []
        # Known to be so on the host, and nobody else is decided in this step: no block has anything to add.
        self._shut = not plan.ending and all(tracked.shut for tracked, *_ in plan.steered)
        for tracked, _, _, count in plan.steered:
            tracked.answered += count
        self._answering = None if self._shut else plan.answering(self._device)
        # Until some gate is read in it, only answers from before this step may have anything to add.
        self._deciding = any(tracked.decided and not tracked.shut for tracked, *_ in plan.steered)

    def visit(self, layer: int, hidden: Float[Tensor, "T D"], residual: Float[Tensor, "T D"] | None) -> None:
        """A decoder block is about to run on `hidden + residual`: read it, and steer `hidden` in place."""
        plan = self._plan
        if plan is None:
            return  # a run that measures memory or warms up, with no request in it
        plan.visited.append(layer)
        reading = plan.reading
        if reading is not None and layer in self.resident.reading:
            states = hidden[reading.row] if residual is None else hidden[reading.row] + residual[reading.row]
            self._read(reading, layer, states.float())
        if self._answering is None:
            return
        if self._deciding:
            who = tuple(tracked.slot for tracked, _, _, count in plan.steered for _ in range(count))
            self._moves.append(self.slots.moves(self._answering, who, self.resident.steering, hidden.dtype))
            self._deciding = False
        if self._moves:
            self.slots.steer(self._moves[-1], layer, hidden)

    def end(self) -> None:
        """The step has run: every block must have been visited.

        Raises:
            SteeringError: it was not, so answers of this step may be unsteered.
        """
        plan, self._plan = self._plan, None
        if plan is None:
            return
        if plan.visited != list(range(self.shape.depth)):
            raise SteeringError(
                f"expected decoder blocks 0 to {self.shape.depth - 1} to run once each and in order, got "
                f"{plan.visited}. Nothing is answered. The engine ran a graph that was made without hooks."
            )
        for moves in self._moves:
            self.slots.count(moves)
        for tracked in plan.ending:
            tracked.decided = True
        if plan.ending:
            self._said.append(Said(plan.ending, self._decided))
        self._choosing = plan.choosing

    def fix(self, logits: Float[Tensor, "R V"]) -> None:
        """Tokens are about to be chosen: leave one where a reply fixes it; in place, a row for each of the batch."""
        self._settle(wait=False)
        rows = [
            (tracked.slot, row, step)
            for tracked, row, step in self._choosing
            if tracked.outcome is None or tracked.outcome.fixes_after(step)
        ]
        if rows and any(group.forced is not None for group in self.resident.groups):
            slot, row, step = torch.tensor(rows, device=self._device).unbind(1)
            token = self.slots.fixed(slot, step, self.resident.groups)
            force(logits, row, token)
            self._fixed = slot, row, token

    def said(self, tokens: Int[Tensor, "R _"]) -> Counted:
        """Tokens were chosen: count those that were fixed and were said; returns what is to be reported of the step."""
        fixed, self._fixed = self._fixed, None
        if fixed is not None:
            slot, row, token = fixed
            self.slots.forced.index_add_(0, slot, (tokens[row, 0] == token).long())
        choosing, self._choosing = [(tracked, step) for tracked, _, step in self._choosing], []
        done = None
        if choosing and not self._shut:
            done = self.slots.done(torch.tensor([tracked.slot for tracked, _ in choosing], device=self._device))
        return Counted(choosing, done, lambda: self._settle(wait=False, until=[tracked for tracked, _ in choosing]))

    def _read(self, reading: Reading, layer: int, states: Float[Tensor, "P D"]) -> None:
        for key, held in self.resident.reading[layer]:
            held.bank.read(layer, states, reading)
            if reading.ending and layer == held.bank.layers[-1]:
                limits, ranks = (
                    torch.stack([table[key, tracked.set_name] for tracked in reading.ending])
                    for table in (self.loaded.limits, self.loaded.ranks)
                )
                margins = held.bank.margins(reading, limits)
                self.slots.decide(reading.slots, held, margins, ranks)
                self._decided.append((held, margins))
                self._deciding = True

    def _settle(self, wait: bool = True, until: Sequence[Tracked] = ()) -> None:
        """Take in what the gates said, as far as it has come to the host; or wait for all of it, or for some requests.

        Steps that are still running are waited for only where all is asked for, as before a load.
        """
        with self._settling:
            while self._said and (wait or self._said[0].there or any(tracked.outcome is None for tracked in until)):
                said = self._said.pop(0)
                for tracked, margins in zip(said.ending, said.margins(), strict=True):
                    tracked.outcome = self._outcome(tracked, margins)

    def _outcome(self, tracked: Tracked, margins: Mapping[str, float]) -> Outcome:
        if any(margin != margin for margin in margins.values()):
            tracked.unreadable = True  # its report says so, and others in the batch go on
            return Outcome.of((), None)
        rank, erasers = self.loaded.orders[tracked.set_name], self.resident.erasers
        fired = [Fired(name, margin, rank[name], erasers[name]) for name, margin in margins.items() if margin >= 0]
        highest = max(margins.values(), default=-torch.inf)
        return Outcome.of(fired, highest if highest > -torch.inf else None)

    def _require_fits(self, content_id: str, eraser: Eraser) -> None:
        # Late, because it brings in transformers.
        from unsee.erase.steer.hooks import require_fits

        require_served(eraser, content_id)
        require_fits(eraser, self.shape.family, self.shape.depth, self.shape.width)
        words = getattr(eraser.reply, "tokens", ())
        if max(words, default=0) >= self.shape.vocabulary:
            raise MismatchError(
                f"artifact {content_id[:19]}... answers with token {max(words)}, but this model has tokens below "
                f"{self.shape.vocabulary}. Make the reply with this model."
            )
