"""The effect on one model: reads prompts, decides each request once, and adds along the trajectory while it answers.

Sums of states lie beside the key-value cache, one per cache block and layer read, so that a prompt whose beginning
comes from the cache has the mean that it would have without. Only the last prompt token and answers are ever steered,
so every block before them holds the same states whatever is in force, and one cache serves all sets.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import torch

from unsee.erase.eraser import Eraser
from unsee.erase.eraser_set import together
from unsee.errors import MismatchError, SteeringError
from unsee.serve.engine.resident import Bank, Resident
from unsee.serve.engine.tracking import NO_SET, Plan, Requests, Tracked
from unsee.shapes import Float, Tensor

KEPT_REPORTS = 10_000


@final
@dataclass(frozen=True)
class Shape:
    """What the model and its cache are like.

    Attributes:
        family: as the adapters name it.
        depth: decoder blocks.
        width: of the residual stream.
        read: layers that gates may read; fixed, because blocks that were cached before a gate came must have sums.
        blocks: of the cache.
        block_size: tokens per block.
    """

    family: str
    depth: int
    width: int
    read: tuple[int, ...]
    blocks: int
    block_size: int


@final
class Steerer:
    """Everything that steers one model in one process; the engine calls it step by step."""

    def __init__(self, shape: Shape, device: torch.device) -> None:
        self.shape, self._device = shape, device
        self.resident = Resident(device)
        self.requests = Requests(shape.block_size, shape.blocks, device)
        self._thresholds: dict[str, dict[str, Tensor]] = {NO_SET: {}}
        self._limits: dict[tuple[tuple[int, ...], str], Tensor] = {}
        self._mandated: str | None = None
        self._sums = torch.zeros(len(shape.read), shape.blocks, shape.width, device=device)
        # Per running request and group of trajectories: the largest margin of a gate that fired, and what it steers by.
        self._margin = torch.full((0, 0), -torch.inf, device=device)
        self._move = torch.zeros(0, 0, dtype=torch.int64, device=device)
        self._coefficient = torch.zeros(0, 0, device=device)
        self._applied = torch.zeros(0, dtype=torch.int64, device=device)
        self._scores: dict[tuple[int, ...], Tensor] = {}
        self._readings: list[tuple[Sequence[Tracked], Bank, Tensor]] = []
        self._plan: Plan | None = None
        self._idle = False
        self._reports: dict[str, list[dict[str, Any]]] = {}

    def load(self, erasers: Mapping[str, Eraser], sets: Mapping[str, Sequence[str]], mandated: str | None) -> None:
        """Hold exactly these erasers and sets, from the next step on.

        The thresholds of a set are those of all its erasers together (`eraser_set.together`), so an eraser may
        have another one in each.

        Raises:
            MismatchError: an eraser is for another model, or reads a layer that has no sums.
            SteeringError: a set names an eraser that is not there, or a running request's set is gone.
        """
        self._settle()
        for content_id, eraser in erasers.items():
            self._require_fits(content_id, eraser)
        known = {name: frozenset(ids) for name, ids in sets.items()} | {NO_SET: frozenset[str]()}
        absent = {i for ids in known.values() for i in ids} - erasers.keys()
        lost = {t.set_name for t in self.requests.live.values() if not t.decided} - known.keys()
        if absent or lost or (mandated is not None and mandated not in known):
            raise SteeringError(
                f"sets name {len(absent)} eraser(s) that were not given, {len(lost)} set(s) of running requests are "
                f"missing, and the mandated one is {mandated!r}. Expected all of them. Nothing was changed."
            )
        held = self.resident.erasers
        same = {i for i in held if held[i] is erasers.get(i)}
        thresholds = {
            name: before
            if (before := self._thresholds.get(name)) is not None and before.keys() == ids <= same
            else _together({i: erasers[i] for i in sorted(ids)})
            for name, ids in known.items()
        }
        self.resident.replace(erasers)
        self._thresholds = thresholds
        self._limits = {
            (bank.layers, name): bank.limits(own)
            for bank in self.resident.banks
            for name, own in self._thresholds.items()
        }
        self._mandated = mandated
        self._grow(0)

    def hear(self, scheduled: Any) -> None:
        """The scheduler has decided on a step: requests end, come and go on."""
        self._plan = None
        for tracked in self.requests.finish(scheduled.finished_req_ids):
            self._keep(tracked)
        for tracked in self.requests.hear(scheduled, self._mandated):
            if tracked.set_name not in self._thresholds:
                raise SteeringError(
                    f"request {tracked.id} asks for a set of erasers that is not loaded. Nothing is answered. Load "
                    "the set before the request is sent."
                )
            self._grow(tracked.slot + 1)
            self._margin[tracked.slot], self._applied[tracked.slot] = -torch.inf, 0

    def begin(self, order: Sequence[str], tokens: dict[str, int]) -> None:
        """The step runs now, its requests in this order."""
        self._plan = plan = self.requests.plan(order, tokens)
        self._idle = False
        self._scores.clear()
        if len(plan.begun):
            self._sums.index_fill_(1, plan.begun, 0.0)
        for tracked, count in plan.steered:
            tracked.answered += count

    def visit(self, layer: int, hidden: Float[Tensor, "T D"], residual: Float[Tensor, "T D"] | None) -> None:
        """A decoder block is about to run on `hidden + residual`: read it, and steer `hidden` in place."""
        plan = self._plan
        if plan is None:
            return  # a run that measures memory or warms up, with no request in it
        plan.visited.append(layer)
        if layer in self.shape.read:
            states = hidden[: plan.tokens] if residual is None else hidden[: plan.tokens] + residual[: plan.tokens]
            self._read(plan, layer, states.float())
        groups = [] if self._idle or not len(plan.answering) else self.resident.written(layer)
        if groups:
            self._write(plan, layer, groups, hidden)

    def end(self) -> None:
        """The step has run: every block must have been visited.

        Raises:
            SteeringError: it was not, so answers of this step may be unsteered.
        """
        plan, self._plan = self._plan, None
        if plan is not None and plan.visited != list(range(self.shape.depth)):
            raise SteeringError(
                f"expected decoder blocks 0 to {self.shape.depth - 1} to run once each and in order, got "
                f"{plan.visited}. Nothing is answered. The engine ran a graph that was made without hooks."
            )
        for tracked in () if plan is None else plan.ending:
            tracked.decided = True
        if self._device.type == "cpu":
            self._settle()

    def reports(self, ticket: str, final: bool) -> list[dict[str, Any]]:
        """What happened to the requests of a ticket so far; after `final` nothing is held of them."""
        self._settle()
        ended = self._reports.pop(ticket, []) if final else self._reports.get(ticket, [])
        live = [tracked for tracked in self.requests.live.values() if tracked.ticket == ticket]
        found = [*ended, *(self._report(tracked) for tracked in live)]
        for tracked in live if final else ():
            tracked.ticket = ""
        return found

    def _read(self, plan: Plan, layer: int, states: Float[Tensor, "T D"]) -> None:
        sums = self._sums[self.shape.read.index(layer)]
        sums.index_add_(0, plan.block, states)
        banks = [bank for bank in self.resident.banks if layer in bank.weight] if plan.ending else []
        if not banks:
            return
        total = states.new_zeros(len(plan.ending), self.shape.width)
        total.index_add_(0, plan.prompt_of, sums[plan.prompt_blocks])
        length = torch.tensor([t.prompt_tokens for t in plan.ending], device=self._device)
        features = torch.cat([states[plan.last], total / length.unsqueeze(1)], dim=1)
        for bank in banks:
            scores = features @ bank.weight[layer].mT
            self._scores[bank.layers] = self._scores[bank.layers] + scores if bank.layers in self._scores else scores
            if layer == bank.layers[-1]:
                self._decide(plan, bank)

    def _decide(self, plan: Plan, bank: Bank) -> None:
        limits = torch.stack([self._limits[bank.layers, t.set_name] for t in plan.ending])
        margins = bank.margins(self._scores[bank.layers], limits)
        slots = torch.tensor([t.slot for t in plan.ending], device=self._device)
        for g, members in bank.members.items():
            largest, first = margins[:, members].max(1)
            before, chosen = self._margin[slots, g], members[first]
            selected = (largest >= 0) & (largest > before)
            self._margin[slots, g] = torch.where(selected, largest, before)
            self._move[slots, g] = torch.where(selected, bank.move[chosen], self._move[slots, g])
            self._coefficient[slots, g] = torch.where(selected, bank.coefficient[chosen], self._coefficient[slots, g])
        self._readings.append((plan.ending, bank, margins))

    def _write(self, plan: Plan, layer: int, groups: Sequence[int], hidden: Tensor) -> None:
        """Each row once: along the trajectory of the gate that is furthest above its threshold, of those that fired."""
        margins = self._margin[plan.slot]
        if self._device.type == "cpu" and not bool((margins >= 0).any()):
            # Asking costs nothing on a CPU. Every gate has been read by now: layers that are read come first.
            self._idle = layer >= self.shape.read[-1]
            return
        largest, first = torch.stack([margins[:, g] for g in groups], dim=1).max(1)
        steered = largest >= 0
        added = hidden.new_zeros(len(plan.answering), self.shape.width, dtype=torch.float32)
        for i, g in enumerate(groups):
            table = self.resident.groups[g].at[layer]
            factor = self._coefficient[plan.slot, g] * (steered & (first == i))
            step = plan.step.clamp(max=table.shape[1] - 1)
            added += table[self._move[plan.slot, g], step] * factor.unsqueeze(1)
        hidden.index_add_(0, plan.answering, added.to(hidden.dtype))
        self._applied.index_add_(0, plan.slot, steered.long())

    def _settle(self) -> None:
        """Bring what the gates said to the host."""
        for ending, bank, margins in self._readings:
            for tracked, row in zip(ending, margins.tolist(), strict=True):
                if any(margin != margin for margin in row):
                    tracked.unreadable = True  # its report says so, and others in the batch go on
                    continue
                fires = [e for e, margin in enumerate(row) if margin >= 0]
                tracked.fired |= {bank.ids[e]: row[e] for e in fires}
                tracked.steered |= {layer for e in fires for layer in bank.written[e]}
                tracked.highest = max(tracked.highest, *row)
        self._readings.clear()

    def _report(self, tracked: Tracked) -> dict[str, Any]:
        return {
            "set": tracked.set_name,
            "decided": tracked.decided,
            "unreadable": tracked.unreadable,
            "fired": dict(tracked.fired),
            "highest": tracked.highest if tracked.highest > -torch.inf else None,
            "prompt_tokens": tracked.prompt_tokens,
            "answered": tracked.answered,
            "required": tracked.answered * len(tracked.steered),
            "steered": int(self._applied[tracked.slot]),
        }

    def _keep(self, tracked: Tracked) -> None:
        self._settle()
        if not tracked.ticket:
            return
        self._reports.setdefault(tracked.ticket, []).append(self._report(tracked))
        while len(self._reports) > KEPT_REPORTS:  # of clients that went away
            self._reports.pop(next(iter(self._reports)))

    def _grow(self, rows: int) -> None:
        rows, groups = max(rows, len(self._applied)), len(self.resident.groups)
        if rows > len(self._applied) or groups > self._margin.shape[1]:
            rows = max(rows, 2 * len(self._applied)) if rows > len(self._applied) else rows
            self._margin = _padded(self._margin, rows, groups, -torch.inf)
            self._move, self._coefficient = (
                _padded(table, rows, groups, 0) for table in (self._move, self._coefficient)
            )
            self._applied = _padded(self._applied.unsqueeze(1), rows, 1, 0).squeeze(1)

    def _require_fits(self, content_id: str, eraser: Eraser) -> None:
        # Late, because it brings in transformers.
        from unsee.erase.steer.hooks import require_fits
        from unsee.serve.engine.resident import require_served

        require_served(eraser, content_id)
        if eraser.reply.kind != "steer":
            raise MismatchError(
                f"artifact {content_id[:19]}... answers by {eraser.reply.kind!r}, which this engine does not do: it "
                "steers. Serve an eraser whose reply is 'steer'."
            )
        require_fits(eraser, self.shape.family, self.shape.depth, self.shape.width)
        unread = set(eraser.gate.layers) - set(self.shape.read)
        if unread:
            raise MismatchError(
                f"artifact {content_id[:19]}... reads layers {sorted(unread)}, but this engine keeps sums of layers "
                f"{list(self.shape.read)}. Start it again with --read-layers, naming these too."
            )


def _together(erasers: Mapping[str, Eraser]) -> dict[str, Tensor]:
    """Thresholds by content id."""
    raised = together(list(erasers.values()))
    gates = {i: eraser.gate for i, eraser in zip(erasers, raised, strict=True)}
    return {i: gate.threshold for i, gate in gates.items() if gate.latched}


def _padded(table: Tensor, rows: int, columns: int, value: float) -> Tensor:
    larger = table.new_full((rows, columns), value)
    larger[: table.shape[0], : table.shape[1]] = table
    return larger
