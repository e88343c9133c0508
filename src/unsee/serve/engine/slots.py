"""One row for each running request: which gates have fired on it, and what is done about it, on the device."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

import torch

from unsee.erase.replies.base import FREE
from unsee.serve.engine.resident import Held
from unsee.serve.engine.ways import Ways
from unsee.shapes import Float, Int, Tensor


@final
@dataclass(frozen=True, eq=False)
class Steered:
    """What is done about the requests of a step, however far their answers are.

    Attributes:
        ways: groups that steer.
        trajectory: by group, of each token that may be steered.
        factor: by group, layer and token, how hard; 0 where another group has the say, or none.
        counted: positions that are steered, 0 or 1 a token and layer.
        all: over all layers.
    """

    ways: list[Ways]
    trajectory: list[Int[Tensor, " A"]]
    factor: list[Float[Tensor, "L A 1"]]
    counted: Int[Tensor, "A L"]
    all: Int[Tensor, " A"]


@final
@dataclass(frozen=True, eq=False)
class Moves:
    """What is added in a step.

    Attributes:
        row: places in the batch of the tokens that may be steered.
        slot: of each of those.
        added: by layer, to each of them; 0 where no gate has fired.
        steered: what it is made of.
        done: layers at which it was added so far.
    """

    row: Int[Tensor, " A"]
    slot: Int[Tensor, " A"]
    added: Mapping[int, Float[Tensor, "A D"]]
    steered: Steered
    done: list[int] = field(default_factory=list)


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
        self._lately: tuple[tuple[int, ...], Steered] | None = None  # until something is decided
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
        self._lately = None
        self.margin[slot], self.winner[slot] = -torch.inf, -1
        self.way[slot] = self.steered[slot] = self.forced[slot] = 0

    def renumber(self, moved: Sequence[Int[Tensor, " V"]]) -> None:
        """Ways have other numbers: of all rows, also those that nothing fired on and that nobody has."""
        self._lately, self.way = None, self.way.clone()
        for g, numbers in enumerate(moved):
            if len(numbers):
                self.way[:, g] = numbers.to(self.way.device)[self.way[:, g]]

    def decide(
        self, slots: Int[Tensor, " N"], held: Held, margins: Float[Tensor, "N E"], ranks: Int[Tensor, "N E"]
    ) -> None:
        """One bank has read the prompts of these rows: the largest margin has the say, of equals the lowest rank."""
        self._lately = None
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

    def moves(
        self, answering: Int[Tensor, "3 A"], who: tuple[int, ...], groups: Mapping[int, Ways], dtype: torch.dtype
    ) -> Moves:
        """What is added in a step, as decided so far; `who` are the slots of its tokens, known on the host."""
        (row, slot, step), (before, steered) = answering, self._lately or ((), None)
        if steered is None or before != who:
            steered = self._steered(slot, groups)
        self._lately, added = (who, steered), dict[int, Tensor]()
        for ways, trajectory, factor in zip(steered.ways, steered.trajectory, steered.factor, strict=True):
            along = (ways.table[:, trajectory, step.clamp(max=ways.table.shape[2] - 1)] * factor).to(dtype)
            for layer, part in zip(ways.layers, along, strict=True):
                added[layer] = added[layer] + part if layer in added else part
        return Moves(row, slot, added, steered)

    def _steered(self, slot: Int[Tensor, " A"], groups: Mapping[int, Ways]) -> Steered:
        winner, trajectory, factor = self.winner[slot], list[Tensor](), list[Tensor]()
        counted = torch.zeros_like(winner)
        for g, ways in groups.items():
            way = self.way[slot, g]
            mine = (winner == g) & ways.steers[way].unsqueeze(1)
            trajectory.append(ways.trajectory[way])
            factor.append((ways.coefficient[way].unsqueeze(1) * mine)[:, ways.columns].mT.unsqueeze(2))
            counted += mine
        layers = sorted({layer for ways in groups.values() for layer in ways.layers})
        return Steered(list(groups.values()), trajectory, factor, counted, counted[:, layers].sum(1))

    def steer(self, moves: Moves, layer: int, hidden: Float[Tensor, "T D"]) -> None:
        """Each row once, on the way of the gate that has the say at this layer."""
        if layer in moves.added:
            hidden.index_add_(0, moves.row, moves.added[layer])
            moves.done.append(layer)

    def count(self, moves: Moves) -> None:
        """Positions that were steered, at the layers where it was done."""
        whole = len(moves.done) == len(moves.added)
        self.steered.index_add_(
            0, moves.slot, moves.steered.all if whole else moves.steered.counted[:, moves.done].sum(1)
        )

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
    """Leave one token where one is fixed: 0 for it, minus infinity for every other; in place."""
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
