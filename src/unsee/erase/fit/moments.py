"""Counts, sums and second moments that merge exactly, and the rank statistic that judges a score.

Everything that is learnt from activations is learnt from `Moments`, because they add up: shards, machines and
later data combine to what one pass would have given, and a revoked request is subtracted again.
"""

from dataclasses import dataclass
from typing import final

import torch

from unsee.errors import DataError
from unsee.shapes import Float, Tensor


def require_finite(values: Float[Tensor, "..."], what: str) -> None:
    """Refuse NaN and infinity, which would silently poison every later sum.

    Raises:
        DataError: at least one value is not finite.
    """
    if values.sum().isfinite():  # one pass; where the sum of finite values overflows, they are counted
        return
    wrong = int((~values.isfinite()).sum())
    if wrong:
        raise DataError(
            f"the {what} contain {wrong} non-finite of {values.numel()} values, expected finite numbers only. "
            "Overflow in float16 is the usual cause: run the model in bfloat16 or float32 and capture again."
        )


@final
@dataclass(frozen=True, eq=False)
class Moments:
    """Zeroth, first and second moment of N states: `n`, `sum h` and `sum h h^T`, in float64.

    Leading dimensions are independent statistics over the same samples (one per layer or gate feature).
    float64 is not a luxury: `scatter` subtracts two large numbers, and a merge must not depend on its order.

    Attributes:
        count: number of states, at least 0.
        total: sum of the states, in units of the residual stream.
        second: sum of outer products, symmetric, not centred.
    """

    count: int
    total: Float[Tensor, "*batch D"]
    second: Float[Tensor, "*batch D D"]

    def __post_init__(self) -> None:
        if self.count < 0:
            raise DataError(f"moments cannot describe {self.count} states, expected a count of at least 0")
        if {self.total.dtype, self.second.dtype} != {torch.float64}:
            raise DataError(
                f"moments must be float64, got {self.total.dtype} and {self.second.dtype}. "
                "Sums in less do not merge exactly; make them with Moments.of(states)."
            )
        if self.second.shape != (*self.total.shape, self.total.shape[-1]):
            raise DataError(
                f"a total of shape {tuple(self.total.shape)} needs a second moment of shape "
                f"{(*self.total.shape, self.total.shape[-1])}, got {tuple(self.second.shape)}"
            )

    @classmethod
    def empty(cls, width: int, batch: tuple[int, ...] = (), device: torch.device | None = None) -> "Moments":
        """The neutral element of `+`: moments of no state of `width` features."""
        total = torch.zeros(*batch, width, dtype=torch.float64, device=device)
        return cls(0, total, total.new_zeros(*batch, width, width))

    @classmethod
    def of(cls, states: Float[Tensor, "N *batch D"]) -> "Moments":
        """Moments of a shard, which may be empty: `n = N`, `total = sum_i h_i`, `second = sum_i h_i h_i^T`.

        Raises:
            DataError: a state is not finite.
        """
        require_finite(states, "states")
        states = states.double()
        gram = torch.einsum("n...d,n...e->...de", states, states)
        # A matrix product need not return a bitwise symmetric result; its two halves are averaged once, here,
        # and sums and differences of symmetric matrices stay symmetric.
        return cls(states.shape[0], states.sum(0), (gram + gram.mT) / 2)

    def __add__(self, other: "Moments") -> "Moments":
        """Moments of both sets of states.

        Raises:
            DataError: the shapes differ.
        """
        self.require_like(other)
        return Moments(self.count + other.count, self.total + other.total, self.second + other.second)

    def __sub__(self, other: "Moments") -> "Moments":
        """Moments without states that were added before; with none left, exactly zero.

        Raises:
            DataError: the shapes differ, or `other` holds more states than are here.
        """
        self.require_like(other)
        if other.count > self.count:
            raise DataError(
                f"cannot take {other.count} states out of {self.count}. "
                "Subtract only what was added before, and only once."
            )
        if other.count == self.count:
            # Rounding must not survive as a ghost of the states that were taken back.
            return Moments(0, torch.zeros_like(self.total), torch.zeros_like(self.second))
        return Moments(self.count - other.count, self.total - other.total, self.second - other.second)

    def repeated(self, times: int) -> "Moments":
        """Moments of every state `times` over: what a weight is, in counts."""
        return Moments(self.count * times, self.total * times, self.second * times)

    @property
    def mean(self) -> Float[Tensor, "*batch D"]:
        """Mean state, `total / n`.

        Raises:
            DataError: there is no state.
        """
        self.require_some("moments")
        return self.total / self.count

    @property
    def scatter(self) -> Float[Tensor, "*batch D D"]:
        """Centred second moment, `sum_i (h_i - mean)(h_i - mean)^T = second - total total^T / n`; symmetric.

        Its rounding error is of the order of 1e-16 times `second`, so directions of less spread than that are noise.

        Raises:
            DataError: there is no state.
        """
        self.require_some("moments")
        return self.second - self.total.unsqueeze(-1) * self.total.unsqueeze(-2) / self.count

    def require_some(self, what: str) -> None:
        """Refuse moments of nothing, which have no mean.

        Raises:
            DataError: there is no state.
        """
        if self.count == 0:
            raise DataError(f"the {what} hold no state, expected at least one. Capture activations for that set first.")

    def require_like(self, other: "Moments") -> None:
        """Refuse moments of something else.

        Raises:
            DataError: the shapes differ.
        """
        if self.total.shape != other.total.shape:
            raise DataError(
                f"cannot combine moments of shape {tuple(self.total.shape)} with {tuple(other.total.shape)}. "
                "Both must come from the same model and the same layers."
            )


def auc(positive: Float[Tensor, " N"], negative: Float[Tensor, " M"]) -> float:
    """Probability that a positive scores above a negative, a tie counting one half, in [0, 1].

    `AUC = (#{p > q} + #{p = q} / 2) / (N M)`, the Mann-Whitney U statistic over its maximum, counted exactly.

    Raises:
        DataError: a side is empty or not finite.
    """
    for scores, side in ((positive, "positive scores"), (negative, "negative scores")):
        require_finite(scores, side)
        if not scores.numel():
            raise DataError(f"there are no {side}; an AUC compares at least one positive with one negative")
    ordered, sought = negative.double().contiguous().sort().values, positive.double().contiguous()
    below = torch.searchsorted(ordered, sought)
    not_above = torch.searchsorted(ordered, sought, right=True)
    return int((below + not_above).sum()) / (2 * positive.numel() * negative.numel())
