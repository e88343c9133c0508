"""Many requests on one model: gates fitted together from sums that add up, so that one can be added or taken back.

All gates share one D x D matrix, so that one request more costs one factorisation and one column, however many there
are. The matrix is made of per-request sums; a request that is taken back is subtracted, and what is left is what a fit
without it would have seen.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import final

import torch

from unsee.erase.fit.moments import Moments
from unsee.errors import CalibrationError, DataError, OptionError
from unsee.shapes import Float, Tensor


@final
@dataclass(frozen=True, eq=False)
class Share:
    """What one request brings to a joint fit, in float64.

    Attributes:
        forget: moments of the forget prompts of each of its subjects, at least one.
        keep: of prompts about them that must still be answered; may be empty.
        retained: of those retained prompts of the profile that are about its subjects: they no longer count while the
            request is in force. As a rule there are none.
    """

    forget: tuple[Moments, ...]
    keep: Moments
    retained: Moments

    def __post_init__(self) -> None:
        if not self.forget:
            raise DataError("a request has no subject, expected forget prompts of at least one")
        for one in self.forget:
            one.require_some("forget moments of a subject")


@final
@dataclass(frozen=True, eq=False)
class Stack:
    """The requests in force together and everything that their joint fit needs; a value, as `Moments` is.

    Attributes:
        retain: moments of retained prompts, without those about subjects in force.
        keep: moments of what must still be answered about subjects in force.
        second: `sum_k second_k / n_k` over all K forgotten subjects: each weighs the same.
        means: per request, the mean state of each of its subjects.
    """

    retain: Moments
    keep: Moments
    second: Float[Tensor, "D D"]
    means: Mapping[str, Float[Tensor, "_ D"]] = field(default_factory=dict)

    @staticmethod
    def of(retain: Moments, shares: Mapping[str, Share] | None = None) -> "Stack":
        """No request but these, in the order of their ids: the same set gives the same bits."""
        width = retain.total.shape[-1]
        nobody = Stack(retain, Moments.empty(width), torch.zeros_like(retain.second))
        for name in sorted(shares or {}):
            nobody = nobody.with_request(name, (shares or {})[name])
        return nobody

    def with_request(self, name: str, share: Share) -> "Stack":
        """One request more.

        Raises:
            OptionError: it is in force already.
            DataError: its retained prompts are not among those of the stack.
        """
        if name in self.means:
            raise OptionError(f"request {name!r} is in the stack already, expected each once. Take it out first.")
        return Stack(
            self.retain - share.retained,
            self.keep + share.keep,
            self.second + _normalised(share),
            {**self.means, name: torch.stack([one.mean for one in share.forget])},
        )

    def without(self, name: str, share: Share) -> "Stack":
        """As if that request had never been, but for rounding; its subjects are kept again.

        Raises:
            OptionError: it is not in force.
        """
        if name not in self.means:
            raise OptionError(f"request {name!r} is not in the stack, which holds {len(self.means)}. Check its id.")
        left = {other: mean for other, mean in self.means.items() if other != name}
        second = self.second - _normalised(share) if left else torch.zeros_like(self.second)
        return replace(
            self, retain=self.retain + share.retained, keep=self.keep - share.keep, second=second, means=left
        )

    @property
    def owners(self) -> tuple[str, ...]:
        """The request of each gate, in the order of `gates`."""
        return tuple(name for name in sorted(self.means) for _ in range(len(self.means[name])))

    def gates(self, gamma: float) -> tuple[Float[Tensor, "K D"], Float[Tensor, " K"]]:
        """One class-balanced ridge gate per subject, from one matrix for all; score k is `<w_k, h> + b_k`.

        As `ridge_gate` of subject k against all that is kept, with the subjects' spread around their own means pooled:
        each weighs the same, and what must still be answered about them weighs as much as all else that is kept.
        Subjects in force are nobody's negatives. With class means `m_k` and `m-`, `delta_k = m_k - m-`::

            A   = 1/2 mean_k scatter_k / n_k  +  1/2 scatter- / n-
            S_k = A + 1/4 delta_k delta_k^T
            rho = gamma mean_k trace(S_k) / D
            w_k = (S_k + rho I)^-1 delta_k / 4                 (Sherman-Morrison: one factorisation, of A + rho I)
            b_k = 1/2 - <w_k, (m_k + m-) / 2>

        With one subject this is `ridge_gate`. Scores of all gates compare: 0 is kept, 1 forgotten.

        Raises:
            OptionError: gamma is out of range.
            DataError: no request, or no retained prompt.
            CalibrationError: gamma is too small to solve.
        """
        if not 0 <= gamma < float("inf"):
            raise OptionError(f"gamma is {gamma}, expected a finite ridge of at least 0; larger means a weaker gate")
        if not self.means:
            raise DataError("the stack holds no request, expected at least one to fit a gate for")
        self.retain.require_some("retain moments")
        means = torch.cat([self.means[name] for name in sorted(self.means)])
        count, width = means.shape
        kept, second = _mean(self.retain), self.retain.second / self.retain.count
        if self.keep.count:
            kept, second = (kept + _mean(self.keep)) / 2, (second + self.keep.second / self.keep.count) / 2
        spread = (self.second - means.mT @ means) / count + second - kept.unsqueeze(1) * kept
        delta = means - kept
        ridge = gamma * (spread.trace() / 2 + delta.square().sum() / count / 4) / width
        factor, failed = torch.linalg.cholesky_ex(spread / 2 + ridge * torch.eye(width, dtype=spread.dtype))
        if bool(failed):
            raise CalibrationError(
                f"the gates' linear system is singular at gamma {gamma}: there are fewer different states than "
                "dimensions, or features that repeat one another. Use a larger gamma (0.01 is a good first try)."
            )
        towards = torch.cholesky_solve(delta.mT, factor).mT / 4
        weight = towards / (1 + (towards * delta).sum(1, keepdim=True))
        return weight, 0.5 - (weight * (means + kept)).sum(1) / 2


def _mean(moments: Moments) -> Float[Tensor, " D"]:
    return moments.total / moments.count


def _normalised(share: Share) -> Float[Tensor, "D D"]:
    total = torch.zeros_like(share.retained.second)
    for one in share.forget:
        total += one.second / one.count
    return total
