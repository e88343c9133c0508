"""The published gate: a vector per steered block in the directions where retained states have the least energy.

Every block reads the last prompt token for itself and scales its own addition by what it reads.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, Self, final

import torch

from unsee.erase.artifact import TensorSpec
from unsee.erase.fit.moments import require_finite
from unsee.erase.fit.ridge import require_gamma, rounding, solved
from unsee.erase.gates.base import Reading, register
from unsee.erase.steer.positions import Steps, pooled
from unsee.errors import CalibrationError, DataError, OptionError
from unsee.shapes import Float, Int, Tensor


@register
@final
@dataclass(frozen=True, eq=False)
class NullSpaceGate:
    """`g_l = <w_l, h_l>` at the last prompt token of every steered block.

    Attributes:
        weight: per steered block, in the order of the eraser's layers.
    """

    weight: Float[Tensor, "L D"]

    kind: ClassVar[str] = "null-space"
    latched: ClassVar[Literal[False]] = False
    spec: ClassVar[Mapping[str, TensorSpec]] = {"weight": (torch.float32, ("L", "D"))}

    @property
    def layers(self) -> tuple[int, ...]:
        """None: it reads where it steers."""
        return ()

    @property
    def sizes(self) -> tuple[int, int]:
        """Blocks and width."""
        return self.weight.shape[0], self.weight.shape[1]

    def tensors(self) -> dict[str, Tensor]:
        """By the names of `spec`."""
        return {"weight": self.weight}

    @classmethod
    def of(cls, layers: tuple[int, ...], tensors: Mapping[str, Tensor]) -> Self:
        """The gate of these tensors."""
        del layers
        return cls(tensors["weight"])

    def rule(self, prompt_tokens: Int[Tensor, " B"]) -> "NullSpaceRule":
        """For the prompts of a batch."""
        del prompt_tokens
        return NullSpaceRule(self)


@final
class NullSpaceRule:
    """The gate at work on one batch."""

    def __init__(self, gate: NullSpaceGate) -> None:
        self._gate = gate
        self._values: dict[int, Tensor] = {}

    def factor(self, place: int, states: Float[Tensor, "B T D"], steps: Steps) -> Float[Tensor, " B"]:
        """What the gate of this steered block reads at the last prompt token."""
        value = pooled(states, steps)[:, 0] @ self._gate.weight[place].to(states.device, torch.float32)
        self._values[place] = value.detach().cpu()
        return value

    def reading(self) -> Reading | None:
        """The value at each steered block, once all have been read."""
        if len(self._values) < len(self._gate.weight):
            return None
        values = torch.stack([self._values[place] for place in range(len(self._gate.weight))], dim=1)
        return Reading(values, torch.ones(values.shape[0], dtype=torch.bool))


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
    require_gamma(gamma)
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
    if inside.square().sum() <= rounding(states) * states.square().sum():
        raise CalibrationError(
            f"the forget states have no component in the null space of the retain states ({basis.shape[1]} of "
            f"{basis.shape[0]} dimensions), so no gate can tell them apart. Raise the null space ratio, or remove "
            "retained prompts that repeat the forgotten ones."
        )
    ridge = gamma * torch.eye(basis.shape[1], dtype=basis.dtype, device=basis.device)
    return basis @ solved(inside.mT @ inside + ridge, inside.sum(0), gamma)


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
