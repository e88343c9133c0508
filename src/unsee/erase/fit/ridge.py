"""Class-balanced ridge regression: a vector that reads about 1 on what is forgotten and about 0 on the rest.

It weighs both classes equally and needs their `Moments` only, so a gate can be refitted exactly when data is added or
a request is revoked.
"""

from collections.abc import Sequence
from functools import reduce
from operator import add

import torch

from unsee.erase.fit.moments import Moments
from unsee.errors import CalibrationError, DataError, OptionError
from unsee.shapes import Float, Tensor

_UNEXPLAINED = 1e-10
"""A feature that the others explain up to this share of its energy adds nothing: half precision rounds at 1e-7."""


def ridge_gate(
    positive: Moments, negative: Moments, gamma: float
) -> tuple[Float[Tensor, "*batch D"], Float[Tensor, "*batch"]]:
    """Class-balanced ridge regression to 1 (forgotten) and 0 (retained); the score is `<w, h> + bias`.

    Minimises `1/2 mean_+ (<w,h> + b - 1)^2 + 1/2 mean_- (<w,h> + b)^2 + rho |w|^2`: each class has total weight 1/2
    however many states it has, and the intercept is free. With class means `m+`, `m-`, `delta = m+ - m-`::

        S    = 1/2 scatter+ / n+  +  1/2 scatter- / n-  +  1/4 delta delta^T     (weighted centred second moment)
        rho  = gamma trace(S) / D                                               (scale free)
        w    = (S + rho I)^-1 delta / 4
        bias = 1/2 - <w, (m+ + m-) / 2>

    Leading dimensions of the moments are independent gates.

    Args:
        positive: moments of the forgotten states.
        negative: moments of the retained states.
        gamma: ridge relative to the mean spread of one feature, at least 0.

    Returns:
        The vector `w` and the intercept, in float64.

    Raises:
        OptionError: gamma is out of range.
        DataError: a class holds no state, or the two have different shapes.
        CalibrationError: all states are equal, or gamma is too small to solve.
    """
    require_gamma(gamma)
    positive.require_some("forget moments")
    negative.require_some("retain moments")
    positive.require_like(negative)
    delta = positive.mean - negative.mean
    # scatter / n = second / n - mean mean^T: the three outer products in one product, as the matrices are large.
    outer = torch.stack([positive.mean, negative.mean, delta], dim=-1)
    share = torch.tensor([-0.5, -0.5, 0.25], dtype=outer.dtype, device=outer.device)
    spread = positive.second * (0.5 / positive.count) + negative.second * (0.5 / negative.count)
    spread += (outer * share) @ outer.mT
    energy = (_trace(positive.second) + _trace(negative.second)) / (positive.count + negative.count)
    if (_trace(spread) <= rounding(positive.total) * energy).any():
        raise CalibrationError(
            "all forget and retain states are equal, so no gate can tell them apart. "
            "Expected prompts that differ, read at a layer after the first block."
        )
    width = spread.shape[-1]
    rho = gamma * _trace(spread) / width
    spread.diagonal(dim1=-2, dim2=-1).add_(rho[..., None])
    weight = solved(spread, delta / 4, gamma)
    bias = 0.5 - (weight * (positive.mean + negative.mean)).sum(-1) / 2
    return weight, bias


def ridge_gates(
    positives: Sequence[Moments], negative: Moments, gamma: float, others: bool = False
) -> tuple[Float[Tensor, "K *batch D"], Float[Tensor, " K *batch"]]:
    """One `ridge_gate` per forgotten subject against common negatives.

    Args:
        positives: moments of each subject's states, one entry per subject.
        negative: moments of the retained states.
        gamma: see `ridge_gate`.
        others: also count the other forgotten subjects as negatives, so that each gate knows its own subject only.
            Every gate then depends on every request: refit all of them when one is added or revoked.

    Returns:
        The K vectors and K intercepts, in the order of `positives`.

    Raises:
        OptionError: gamma is out of range.
        DataError: there is no subject, a class holds no state, or shapes differ.
        CalibrationError: see `ridge_gate`.
    """
    if not positives:
        raise DataError("there is no forgotten subject, expected at least one to fit a gate for")
    everything = reduce(add, positives, negative) if others else negative
    gates = [ridge_gate(one, everything - one if others else negative, gamma) for one in positives]
    return torch.stack([weight for weight, _ in gates]), torch.stack([bias for _, bias in gates])


def solved(
    matrix: Float[Tensor, "*batch A A"], right: Float[Tensor, "*batch A"], gamma: float
) -> Float[Tensor, "*batch A"]:
    """`matrix^-1 right` of symmetric matrices.

    Raises:
        CalibrationError: the matrix is singular, at this gamma.
    """
    factor, failed = torch.linalg.cholesky_ex(matrix)
    diagonal = matrix.diagonal(dim1=-2, dim2=-1)
    # A squared pivot over its diagonal entry is the part of a feature that the earlier ones do not explain. Rounding
    # can make it positive where it should be zero, and then the solution is noise although the factorisation worked.
    unexplained = factor.diagonal(dim1=-2, dim2=-1).square()
    if failed.any() or (unexplained <= _UNEXPLAINED * diagonal).any():
        raise CalibrationError(
            f"the gate's linear system is singular at gamma {gamma}: there are fewer different states than dimensions, "
            "or states or features that repeat one another. Use a larger gamma (0.01 is a good first try), or more "
            "prompts."
        )
    return torch.cholesky_solve(right.unsqueeze(-1), factor).squeeze(-1)


def _trace(matrix: Float[Tensor, "*batch D D"]) -> Float[Tensor, "*batch"]:
    return matrix.diagonal(dim1=-2, dim2=-1).sum(-1)


def rounding(vector: Float[Tensor, "*batch D"]) -> float:
    """Relative error of a float64 sum over this vector."""
    # Errors of sums over the width, with room for the sums over the samples before them.
    return 16 * vector.shape[-1] * torch.finfo(torch.float64).eps


def require_gamma(gamma: float) -> None:
    """Refuse a ridge that is negative or not finite.

    Raises:
        OptionError: it is.
    """
    if not 0 <= gamma < float("inf"):
        raise OptionError(f"gamma is {gamma}, expected a finite ridge of at least 0; larger means a weaker gate")
