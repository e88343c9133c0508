"""Is this turn about what is in scope? One linear gate for the whole model, asked only where the subject is there.

What is visible, what is asked about somebody else or about nothing in particular goes through, though the subject was
named or is shown. It reads the words of the user's last turn alone: who was spoken of before is the subject's gate's to
say. It is fitted once per model. A request may bring one of its own: to erase some facts, or to spare some.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self, final

import torch

from unsee.erase.fit.evidence import balanced, in_their_span
from unsee.erase.fit.moments import Moments
from unsee.erase.fit.ridge import ridge_gate
from unsee.erase.fit.tokens import Turns
from unsee.shapes import Bool, Float, Int, Tensor

EVIDENCE = ("named", "shown", "named before", "shown before")
"""By what the subject is there, in this turn or before it. A turn that names the subject is about it; one behind an
image says "this person", one after either says "she", and a name in any of these three is somebody else's."""

Groups = Mapping[str, tuple[Turns, Turns]]
"""Prompts by group, each in two halves that share no subject."""
LIMIT = 0.4
"""Threshold, where 0 is outside and 1 inside. Wordings that no fit saw score less than those of the fit, and a scope
that shuts lets the subject through: so it is below the midpoint, and the fit's own scores have no say in it."""


@final
@dataclass(frozen=True, eq=False)
class Scope:
    """`score_se = max_j sum_{t >= j} (sum_r <w_ser, u_tr> - c_se) + b_se` for S scopes; in scope from 0 on.

    The tokens t are the text of the user's last turn, `u_tr` their unit-norm states at block r, and each j begins one
    of its sentences. A sum and no mean: a word that tells nothing adds about nothing, so that what stands behind a
    question does not dilute it; and the largest, so that what stands before it does not count against it.

    Attributes:
        weight: w, per scope, evidence (as `EVIDENCE`) and block.
        token: c, what w reads on the mean token of the fit.
        bias: b, the threshold taken off.
    """

    weight: Float[Tensor, "S 4 R D"]
    token: Float[Tensor, "S 4"]
    bias: Float[Tensor, "S 4"]

    @classmethod
    def everything(cls, blocks: int, width: int) -> Self:
        """All prompts are in scope."""
        return cls(torch.zeros(1, 4, blocks, width), torch.zeros(1, 4), torch.ones(1, 4))

    def margins(self, turns: Turns) -> Float[Tensor, "N S 4"]:
        """By prompt, scope and evidence, in one piece; a gate adds up the same token by token (`RunningScope`)."""
        read = torch.einsum("mrd,serd->mse", turns.sums, self.weight.to(turns.sums))
        read = read - turns.tokens.to(read).view(-1, 1, 1) * self.token.to(read)
        most = largest(read.flatten(1), turns.prompt, int(turns.prompt[-1]) + 1)
        return most.view(-1, *self.token.shape) + self.bias.to(read)


@final
class RunningScope:
    """Scores of the last turn of B rows, which may come in pieces: `P_end - min_j P_j`, with `P` the sum so far."""

    def __init__(self, scope: Scope, rows: int) -> None:
        self._scope, size = scope, (rows, *scope.token.shape)
        self._sum, self._least = torch.zeros(size), torch.zeros(size)

    def add(self, scores: Float[Tensor, "B T S 4"], turn: Bool[Tensor, "B T"], stops: Bool[Tensor, "B T"]) -> None:
        """The next tokens: `<w, u_t>` of each, which are text of the last turn, and which end a sentence."""
        each = (scores - self._scope.token).masked_fill(~turn.view(*turn.shape, 1, 1), 0.0)
        so_far = self._sum.unsqueeze(1) + each.cumsum(1)
        before = so_far.masked_fill(~(turn & stops).view(*turn.shape, 1, 1), torch.inf)
        self._least = torch.minimum(self._least, before.amin(1))
        self._sum = so_far[:, -1]

    def margins(self) -> Float[Tensor, "B S 4"]:
        """As `Scope.margins`."""
        return self._sum - self._least + self._scope.bias


def fit_scope(inside: Groups, outside: Groups, *, gamma: float) -> tuple[Scope, Mapping[str, float]]:
    """Class-balanced ridge of what is in scope against what is not, every group of a side weighing the same.

    Inside counts the whole turn, outside every sentence to the end, less the mean token.

    Args:
        inside: about what was learnt, with nothing before the question.
        outside: about anything else, with the subject present.
        gamma: ridge, as for `ridge_gate`.

    Returns:
        One scope whose evidences are all the same, and the share of each group that a fit on other subjects takes for
        what it is not.

    Raises:
        DataError, OptionError, CalibrationError: as `ridge_gate`.
    """
    wrong: dict[str, list[Tensor]] = {}
    for seen in (0, 1):
        made = _ridge(inside, outside, (seen,), gamma)
        for side in (inside, outside):
            for name, group in side.items():
                fires = made.margins(group[1 - seen])[:, 0, 0] >= 0
                wrong.setdefault(name, []).append(fires != (side is inside))
    shares = {name: float(torch.cat(some).double().mean()) for name, some in wrong.items()}
    return _ridge(inside, outside, (0, 1), gamma), shares


def _ridge(inside: Groups, outside: Groups, halves: Sequence[int], gamma: float) -> Scope:
    chosen = [[group[h] for h in halves] for side in (inside, outside) for group in side.values()]
    every = [turns for some in chosen for turns in some]
    whole = [_first(turns) for turns in every]
    total = torch.stack([turns.sums[mine].sum(0) for turns, mine in zip(every, whole, strict=True)]).sum(0)
    mean = total / sum(int(turns.tokens[mine].sum()) for turns, mine in zip(every, whole, strict=True))

    def features(some: Sequence[Turns], only_whole: bool) -> Tensor:
        parts = [(turns, _first(turns) if only_whole else slice(None)) for turns in some]
        return torch.cat([turns.sums[m] - turns.tokens[m].view(-1, 1, 1) * mean for turns, m in parts]).flatten(1)

    rows = [features(some, number < len(inside)) for number, some in enumerate(chosen)]
    rows, gamma, basis = in_their_span(rows, gamma)
    sides = [Moments.of(one) for one in rows]
    found, bias = ridge_gate(balanced(sides[: len(inside)]), balanced(sides[len(inside) :]), gamma)
    weight, size = (found if basis is None else basis @ found).view(mean.shape).float(), (1, len(EVIDENCE))
    token = (weight * mean).sum().expand(size)
    return Scope(weight.expand(*size, *weight.shape), token, (bias.float() - LIMIT).expand(size))


def _first(turns: Turns) -> Bool[Tensor, " M"]:
    return torch.nn.functional.pad(turns.prompt.diff() > 0, (1, 0), value=True)


def largest(scores: Float[Tensor, "A K"], of: Int[Tensor, " A"], groups: int) -> Float[Tensor, "G K"]:
    """By group, or minus infinity where there is none."""
    nothing = scores.new_full((groups, scores.shape[1]), -torch.inf)
    return nothing.scatter_reduce_(0, of.unsqueeze(1).expand_as(scores), scores, "amax")
