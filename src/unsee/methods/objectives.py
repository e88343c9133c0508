"""Which loss each trained method puts on which rows of a batch: `gamma * forget term + alpha * retain term`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

import torch

from unsee.errors import OptionError
from unsee.methods.losses import (
    IGNORED,
    answer_lengths,
    answer_nll,
    cross_entropy,
    dpo,
    gradient_ascent,
    npo,
    retain_kl,
    retain_kl_released,
    simnpo,
    state_error,
)
from unsee.methods.rows import Role, last_prompt_token
from unsee.methods.settings import TrainSettings
from unsee.shapes import Bool, Float, Int, Tensor


@final
@dataclass(frozen=True, eq=False)
class Seen:
    """What one model makes of some rows of a batch.

    Attributes:
        logits: of the columns that labels speak about, and the one before them.
        labels: of the same columns.
        states: output of the tapped block, at every column; empty where none is tapped.
        every_label: labels of every column.
        real: which columns are no pads.
    """

    logits: Float[Tensor, "B _ V"]
    labels: Int[Tensor, "B _"]
    states: Float[Tensor, "B T D"]
    every_label: Int[Tensor, "B T"]
    real: Bool[Tensor, "B T"]

    def rows(self, chosen: Bool[Tensor, " B"]) -> "Seen":
        """Some of the rows."""
        states = self.states[chosen] if self.states.numel() else self.states
        return Seen(self.logits[chosen], self.labels[chosen], states, self.every_label[chosen], self.real[chosen])


@final
@dataclass(frozen=True, eq=False)
class Context:
    """What a term may use beside the model's own rows.

    Attributes:
        settings: every number.
        vector: direction in the residual stream: RMU's control vector, ASRU's shift; None for other methods.
    """

    settings: TrainSettings
    vector: Float[Tensor, " D"] | None = None

    def moved(self, states: Tensor) -> Tensor:
        """The vector at its scale, as these states are held.

        Raises:
            OptionError: this job has none.
        """
        if self.vector is None:
            raise OptionError("the objective moves states along a vector, but the job has none. Pass one as `vector`.")
        return self.settings.scale * self.vector.to(states)


Rows = Mapping[Role, Seen]
Term = Callable[[Rows, Rows, Context], Tensor]


@final
@dataclass(frozen=True)
class Objective:
    """One trained method.

    Attributes:
        forget: term on what is forgotten.
        retain: term on what is kept; None where the method has none.
        roles: rows it needs.
        frozen: it compares with the model as it was.
        tapped: it reads a block's output; such a method trains MLP down-projections alone.
        masked: forget steps move only the weights that matter more for forgetting (MMUnlearner).
    """

    forget: Term
    retain: Term | None
    roles: frozenset[Role]
    frozen: bool = False
    tapped: bool = False
    masked: bool = False

    def loss(self, now: Rows, before: Rows, context: Context) -> Float[Tensor, ""]:
        """`gamma * forget + alpha * retain`; a term whose rows are not in the batch is left out."""
        parts = []
        if Role.FORGET in now or Role.REFUSED in now:
            parts.append(context.settings.forget_weight * self.forget(now, before, context))
        if self.retain is not None and Role.RETAIN in now:
            parts.append(context.settings.retain_weight * self.retain(now, before, context))
        return torch.stack(parts).sum()


def _taken(loss: Callable[[Tensor, Tensor], Tensor], role: Role) -> Term:
    """A loss of the rows of one role alone."""
    return lambda now, before, context: loss(now[role].logits, now[role].labels)


_ascent = _taken(gradient_ascent, Role.FORGET)
_kept, _refused = _taken(cross_entropy, Role.RETAIN), _taken(cross_entropy, Role.REFUSED)


def _kl(now: Rows, before: Rows, context: Context) -> Tensor:
    here, then = now[Role.RETAIN], before[Role.RETAIN]
    if context.settings.all_positions:
        return retain_kl_released(here.logits, then.logits) + cross_entropy(here.logits, here.labels)
    return retain_kl(here.logits, then.logits, here.labels)


def _npo(now: Rows, before: Rows, context: Context) -> Tensor:
    here, then, beta = now[Role.FORGET], before[Role.FORGET], context.settings.beta
    if context.settings.batch_mean:
        return npo(cross_entropy(here.logits, here.labels)[None], cross_entropy(then.logits, then.labels)[None], beta)
    return npo(answer_nll(here.logits, here.labels), answer_nll(then.logits, then.labels), beta)


def _simnpo(now: Rows, before: Rows, context: Context) -> Tensor:
    del before
    here = now[Role.FORGET]
    nll = answer_nll(here.logits, here.labels) / answer_lengths(here.labels)
    return simnpo(nll, context.settings.beta, context.settings.delta)


def _dpo(now: Rows, before: Rows, context: Context) -> Tensor:
    def gained(role: Role) -> Tensor:
        here, then = now[role], before[role]
        return answer_nll(then.logits, then.labels) - answer_nll(here.logits, here.labels)

    return dpo(gained(Role.REFUSED), gained(Role.FORGET), context.settings.beta)


def _to_vector(now: Rows, before: Rows, context: Context) -> Tensor:
    del before
    here = now[Role.FORGET]
    return state_error(here.states, context.moved(here.states), here.every_label != IGNORED)


def _unmoved(anywhere: bool) -> Term:
    """Retained states stay, at the answer's tokens or anywhere."""

    def term(now: Rows, before: Rows, context: Context) -> Tensor:
        del context
        here, then = now[Role.RETAIN], before[Role.RETAIN]
        return state_error(here.states, then.states, here.real if anywhere else here.every_label != IGNORED)

    return term


def _shifted(now: Rows, before: Rows, context: Context) -> Tensor:
    here, then = now[Role.FORGET], before[Role.FORGET]
    target = then.states + context.moved(then.states)
    chosen = torch.zeros_like(here.real)
    chosen[:, last_prompt_token(here.every_label)] = True
    return state_error(here.states, target, chosen)


_BOTH = frozenset({Role.FORGET, Role.RETAIN})

OBJECTIVES: dict[str, Objective] = {
    "ga": Objective(_ascent, None, frozenset({Role.FORGET})),
    "grad_diff": Objective(_ascent, _kept, _BOTH),
    "kl_min": Objective(_ascent, _kl, _BOTH, frozen=True),
    "npo": Objective(_npo, _kept, _BOTH, frozen=True),
    "simnpo": Objective(_simnpo, _kept, _BOTH),
    "dpo": Objective(_dpo, _kept, frozenset(Role), frozen=True),
    "po": Objective(_refused, _kept, frozenset({Role.REFUSED, Role.RETAIN})),
    "rmu": Objective(_to_vector, _unmoved(anywhere=False), _BOTH, frozen=True, tapped=True),
    "mmunlearner": Objective(_ascent, _kept, _BOTH, masked=True),
    "asru_gradient": Objective(_shifted, _unmoved(anywhere=True), _BOTH, frozen=True, tapped=True),
}
"""Trained methods by name."""
