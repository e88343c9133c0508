"""One row for each running request: which gates have fired on it, and what is done about it, on the device."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import torch

from unsee.erase.replies.base import FREE
from unsee.serve.engine.plan import Plan
from unsee.serve.engine.resident import Held
from unsee.serve.engine.ways import Ways
from unsee.shapes import Float, Int, Tensor


@final
@dataclass(frozen=True, eq=False)
class Moves:
    """What is added in a step.

    Attributes:
        added: by layer, to each of the tokens that may be steered; 0 where no gate has fired.
        counted: positions that are steered, 0 or 1 a token and layer.
    """

    added: Mapping[int, Float[Tensor, "A D"]]
    counted: Int[Tensor, "A L"]


@final
class Slots:
    """Decisions, and counts of what was done for them.

    Attributes:
        margin: by group of ways, the largest of a gate that fired; minus infinity where none did.
        rank: of that gate's eraser in its set.
        way: and how it answers.
        winner: by layer, the group that has the say there, or -1; in the last column, of all layers together.
        steered: positions steered so far, over layers.
        forced: tokens that were fixed and chosen.
    """

    def __init__(self, depth: int, device: torch.device) -> None:
        self._writes = torch.zeros(0, depth + 1, dtype=torch.bool, device=device)
        self.margin: Float[Tensor, "N G"] = torch.full((0, 0), -torch.inf, device=device)
        self.rank: Int[Tensor, "N G"] = torch.zeros(0, 0, dtype=torch.int64, device=device)
        self.way: Int[Tensor, "N G"] = torch.zeros(0, 0, dtype=torch.int64, device=device)
        self.winner: Int[Tensor, "N L"] = torch.full((0, depth + 1), -1, dtype=torch.int64, device=device)
        self.steered: Int[Tensor, " N"] = torch.zeros(0, dtype=torch.int64, device=device)
        self.forced: Int[Tensor, " N"] = torch.zeros(0, dtype=torch.int64, device=device)

    def know(self, groups: Sequence[Ways]) -> None:
        """There are these groups of ways from now on."""
        self._writes = torch.zeros(len(groups), self.winner.shape[1], dtype=torch.bool, device=self._writes.device)
        for g, group in enumerate(groups):
            self._writes[g, [*group.layers, -1]] = True
        self.grow(0)

    def grow(self, rows: int) -> None:
        """Make room for so many rows."""
        (have, columns), groups = self.margin.shape, len(self._writes)
        if rows > have or groups > columns:
            rows = max(rows, 2 * have) if rows > have else have
            self.margin = _padded(self.margin, rows, groups, -torch.inf)
            self.rank, self.way = (_padded(table, rows, groups, 0) for table in (self.rank, self.way))
            self.winner = _padded(self.winner, rows, self.winner.shape[1], -1)
            self.steered, self.forced = (
                _padded(x.unsqueeze(1), rows, 1, 0).squeeze(1) for x in (self.steered, self.forced)
            )

    def clear(self, slot: int) -> None:
        """Another request has this row."""
        self.margin[slot], self.winner[slot] = -torch.inf, -1
        self.way[slot] = self.steered[slot] = self.forced[slot] = 0

    def renumber(self, moved: Sequence[Int[Tensor, " V"]]) -> None:
        """Ways have other numbers: of all rows, also those that nothing fired on and that nobody has."""
        self.way = self.way.clone()
        for g, numbers in enumerate(moved):
            if len(numbers):
                self.way[:, g] = numbers.to(self.way.device)[self.way[:, g]]

    def decide(
        self, slots: Int[Tensor, " N"], held: Held, margins: Float[Tensor, "N E"], ranks: Int[Tensor, "N E"]
    ) -> None:
        """One bank has read the prompts of these rows: the largest margin has the say, of equals the lowest rank."""
        for g, members in held.members.items():
            largest, rank, first = _first(margins[:, members], ranks[:, members])
            before, other = self.margin[slots, g], self.rank[slots, g]
            selected = (largest >= 0) & ((largest > before) | ((largest == before) & (rank < other)))
            self.margin[slots, g] = torch.where(selected, largest, before)
            self.rank[slots, g] = torch.where(selected, rank, other)
            self.way[slots, g] = torch.where(selected, held.ways[g][first], self.way[slots, g])
        margin = self.margin[slots].unsqueeze(1).masked_fill(~self._writes.mT, -torch.inf)  # N L G
        largest, _, group = _first(margin, self.rank[slots].unsqueeze(1).expand_as(margin))
        self.winner[slots] = group.masked_fill(~(largest >= 0), -1)

    def moves(self, plan: Plan, groups: Mapping[int, Ways], dtype: torch.dtype) -> "Moves":
        """What is added in a step, as decided so far."""
        winner, added = self.winner[plan.slot], dict[int, Tensor]()
        counted = torch.zeros_like(winner)
        for g, ways in groups.items():
            way = self.way[plan.slot, g]
            mine = (winner == g) & ways.steers[way].unsqueeze(1)
            step = plan.step.clamp(max=ways.table.shape[2] - 1)
            factor = (ways.coefficient[way].unsqueeze(1) * mine)[:, ways.columns]
            along = (ways.table[:, ways.trajectory[way], step] * factor.mT.unsqueeze(2)).to(dtype)
            for layer, part in zip(ways.layers, along, strict=True):
                added[layer] = added[layer] + part if layer in added else part
            counted += mine
        return Moves(added, counted)

    def steer(self, plan: Plan, layer: int, moves: "Moves", hidden: Float[Tensor, "T D"]) -> None:
        """Each row once, on the way of the gate that has the say at this layer."""
        if layer in moves.added:
            hidden.index_add_(0, plan.answering, moves.added[layer])
            self.steered.index_add_(0, plan.slot, moves.counted[:, layer])

    def done(self, slot: Int[Tensor, " N"]) -> Int[Tensor, "2 N"]:
        """Positions steered and tokens fixed so far, of these rows."""
        return torch.stack([self.steered[slot], self.forced[slot]])

    def fixed(self, slot: Int[Tensor, " N"], step: Int[Tensor, " N"], groups: Sequence[Ways]) -> Int[Tensor, " N"]:
        """The token that has to follow in each row, or `FREE`."""
        winner, token = self.winner[slot, -1], torch.full_like(slot, FREE)
        for g, ways in enumerate(groups):
            if ways.forced is not None:
                own = ways.forced[self.way[slot, g], step.clamp(max=ways.forced.shape[1] - 1)]
                token = torch.where(winner == g, own, token)
        return token


def force(logits: Float[Tensor, "R V"], row: Int[Tensor, " N"], token: Int[Tensor, " N"]) -> None:
    """In rows where a token is fixed, 0 for it and minus infinity for every other, in place."""
    fixed = token != FREE
    own = logits[row].masked_fill_(fixed.unsqueeze(1), -torch.inf)
    at = token.clamp(min=0).unsqueeze(1)
    own.scatter_(1, at, torch.where(fixed.unsqueeze(1), 0.0, own.gather(1, at)))
    logits[row] = own


def _first(margins: Float[Tensor, "*N E"], ranks: Int[Tensor, "*N E"]) -> tuple[Tensor, Tensor, Tensor]:
    """Along the last axis: the largest margin, the lowest rank that has it, and where; NaN is larger than all."""
    largest = margins.amax(-1, keepdim=True)
    rank, place = ranks.masked_fill(margins != largest, torch.iinfo(torch.int64).max).min(-1)
    return largest.squeeze(-1), rank, place


def _padded(table: Tensor, rows: int, columns: int, value: float) -> Tensor:
    larger = table.new_full((rows, columns), value)
    larger[: table.shape[0], : table.shape[1]] = table
    return larger
