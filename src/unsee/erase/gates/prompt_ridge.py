"""Gates: one vector per request and layer that reads about 1 on what is forgotten and about 0 on the rest.

Two ways to fit the vector. The published one looks for it in the directions in which retained states have the least
energy; the ridge regression weighs both classes equally and needs their `Moments` only, so a gate can be refitted
exactly when data is added or a request is revoked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import final

import torch

from unsee.erase.fit.moments import Moments, require_finite
from unsee.errors import CalibrationError, DataError, OptionError
from unsee.shapes import Float, Tensor


@final
@dataclass(frozen=True)
class NullSpace:
    """Settings of the published gate; `null_space_basis` and `gate_in_basis` check them.

    Attributes:
        ratio: share of the width that counts as null space, in (0, 1].
        gamma: ridge in squared units of the residual stream, at least 0; not scale free.
    """

    ratio: float
    gamma: float


RELEASED_LLAVA = NullSpace(ratio=0.3, gamma=0.1)
"""MLLMEraser on LLaVA-1.5-7B (32 blocks), run script for forget_10 in the public copy of its code.

Steered blocks 1 to 16 and 18 to 31, counted from 0 (17 is missing from the released list, 0 is off); strength
(lambda) 0.25 for classification, 0.35 for generation and 0.25 for cloze.
"""

RELEASED_QWEN = NullSpace(ratio=0.4, gamma=1.0)
"""MLLMEraser on Qwen2.5-VL-7B (28 blocks), run script for forget_10 in the public copy of its code.

Steered blocks 1 to 16 and 18 to 27, counted from 0; strength (lambda) 0.30 for classification, 0.26 for generation
and 0.27 for cloze. Its release for forget_5 defaults to 0.20, 0.20 and 0.30.
"""


_UNEXPLAINED = 1e-10
"""A feature that the others explain up to this share of its energy adds nothing: half precision rounds at 1e-7."""


def null_space_basis(retain_second: Float[Tensor, "D D"], ratio: float) -> Float[Tensor, "D R"]:
    """Orthonormal basis of the approximate null space of the retained states, in float64.

    `Q` = the `R = int(ratio D)` eigenvectors of `H_r^T H_r` with the smallest eigenvalues. With more retained states
    than dimensions nothing is exactly null; `residual_energy` says how much is left. Where the exact null space is
    larger than R, which part of it is taken depends on the eigensolver.

    Args:
        retain_second: `H_r^T H_r`, the uncentred `Moments.second` of the retained states.
        ratio: share of the width to keep, in (0, 1].

    Raises:
        OptionError: the ratio is outside (0, 1] or keeps no dimension.
        DataError: the second moment is zero or not finite.

    Source: MLLMEraser (arXiv 2510.04217) and AlphaSteer (arXiv 2506.07022, `src/utils/steering_utils.py`), which take
    the trailing singular vectors of the same matrix.
    """
    _require_ratio(ratio)
    width = retain_second.shape[-1]
    rank = int(ratio * width)
    if rank == 0:
        raise OptionError(
            f"null space ratio {ratio} keeps no dimension of a width of {width}; expected at least {1 / width:.4g}"
        )
    _require_energy(retain_second)
    return torch.linalg.eigh(retain_second.double()).eigenvectors[:, :rank]


def residual_energy(retain_second: Float[Tensor, "D D"], basis: Float[Tensor, "D R"]) -> float:
    """Share of the retained energy that the basis still sees, `tr(Q^T H_r^T H_r Q) / tr(H_r^T H_r)`, in [0, 1].

    Raises:
        DataError: the second moment is zero or not finite.
    """
    _require_energy(retain_second)
    second = retain_second.double()
    return float(((second @ basis) * basis).sum() / second.trace())


def gate_in_basis(basis: Float[Tensor, "D R"], forget: Float[Tensor, "N D"], gamma: float) -> Float[Tensor, " D"]:
    """The published gate as one vector: `w = Q (Z^T Z + gamma I)^-1 Z^T 1`, `Z = H_f Q`; the score is `<w, h>`.

    MLLMEraser solves for a D x D matrix `M = P pinv(X^T X + gamma P^T P) X^T (1 d^T)`, `P = Q Q^T`, `X = H_f P`. All
    forgotten states share the target `d`, so `M = w d^T` exactly and `h M = <w, h> d`.

    Args:
        basis: `Q` of `null_space_basis`; the slow part, the same for every request of a model.
        forget: states of the forgotten set, `H_f`.
        gamma: ridge in squared units of the residual stream, at least 0.

    Raises:
        OptionError: gamma is out of range.
        DataError: the forget set is empty, not finite, or of another width.
        CalibrationError: the forgotten states do not reach the null space, or gamma is too small to solve.

    Source: MLLMEraser (arXiv 2510.04217), closed form of W P.
    """
    _require_gamma(gamma)
    require_finite(forget, "forget states")
    if not forget.shape[0]:
        raise DataError("the forget states are empty, expected at least one. Capture activations for that set first.")
    if forget.shape[-1] != basis.shape[0]:
        raise DataError(
            f"forget states are {forget.shape[-1]} wide but retain states {basis.shape[0]}. "
            "Capture both with the same model."
        )
    states = forget.double()
    inside = states @ basis
    if inside.square().sum() <= _rounding(states) * states.square().sum():
        raise CalibrationError(
            f"the forget states have no component in the null space of the retain states ({basis.shape[1]} of "
            f"{basis.shape[0]} dimensions), so no gate can tell them apart. Raise the null space ratio, or remove "
            "retained prompts that repeat the forgotten ones."
        )
    ridge = gamma * torch.eye(basis.shape[1], dtype=basis.dtype, device=basis.device)
    return basis @ _solve(inside.mT @ inside + ridge, inside.sum(0), gamma)


def null_space_gate(
    retain_second: Float[Tensor, "D D"], forget: Float[Tensor, "N D"], ratio: float, gamma: float
) -> Float[Tensor, " D"]:
    """`null_space_basis` and `gate_in_basis` in one call, for a single request.

    Args:
        retain_second: `H_r^T H_r`, the uncentred `Moments.second` of the retained states.
        forget: states of the forgotten set, `H_f`.
        ratio: share of the width that counts as null space, in (0, 1].
        gamma: ridge in squared units of the residual stream, at least 0.

    Raises:
        OptionError: ratio or gamma is out of range.
        DataError: a set is empty, not finite, or of another width.
        CalibrationError: see `gate_in_basis`.
    """
    return gate_in_basis(null_space_basis(retain_second, ratio), forget, gamma)


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
    _require_gamma(gamma)
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
    if (_trace(spread) <= _rounding(positive.total) * energy).any():
        raise CalibrationError(
            "all forget and retain states are equal, so no gate can tell them apart. "
            "Expected prompts that differ, read at a layer after the first block."
        )
    width = spread.shape[-1]
    rho = gamma * _trace(spread) / width
    spread.diagonal(dim1=-2, dim2=-1).add_(rho[..., None])
    weight = _solve(spread, delta / 4, gamma)
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


def _solve(
    matrix: Float[Tensor, "*batch A A"], right: Float[Tensor, "*batch A"], gamma: float
) -> Float[Tensor, "*batch A"]:
    factor, failed = torch.linalg.cholesky_ex(matrix)
    diagonal = matrix.diagonal(dim1=-2, dim2=-1)
    # A squared pivot over its diagonal entry is the part of a feature that the earlier ones do not explain. Rounding
    # can make it positive where it should be zero, and then the solution is noise although the factorisation worked.
    unexplained = factor.diagonal(dim1=-2, dim2=-1).square()
    if failed.any() or (unexplained <= _UNEXPLAINED * diagonal).any():
        raise CalibrationError(
            f"the gate's linear system is singular at gamma {gamma}: there are fewer different states than dimensions, "
            "or features that repeat one another. Use a larger gamma (0.01 is a good first try), or more prompts."
        )
    return torch.cholesky_solve(right.unsqueeze(-1), factor).squeeze(-1)


def _trace(matrix: Float[Tensor, "*batch D D"]) -> Float[Tensor, "*batch"]:
    return matrix.diagonal(dim1=-2, dim2=-1).sum(-1)


def _rounding(vector: Float[Tensor, "*batch D"]) -> float:
    # Errors of sums over the width, with room for the sums over the samples before them.
    return 16 * vector.shape[-1] * torch.finfo(torch.float64).eps


def _require_energy(retain_second: Float[Tensor, "D D"]) -> None:
    require_finite(retain_second, "retain second moments")
    if not retain_second.any():
        raise DataError(
            "the retain second moment is zero, expected that of at least one retained state. "
            "Without retained states everything would be null space and the gate would fire on any prompt."
        )


def _require_ratio(ratio: float) -> None:
    if not 0 < ratio <= 1:
        raise OptionError(f"null space ratio is {ratio}, expected a share of the width in (0, 1]; 0.3 is a common one")


def _require_gamma(gamma: float) -> None:
    if not 0 <= gamma < float("inf"):
        raise OptionError(f"gamma is {gamma}, expected a finite ridge of at least 0; larger means a weaker gate")
