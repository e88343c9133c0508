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
    """Settings of the published gate; `null_components` and `gate_of_components` check them.

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


BLOCK = 256
"""Rows of a Gram matrix that are multiplied at a time; the fewer, the less of its upper half is."""
PASSES = 3


def null_components(
    retain: Float[Tensor, "N D"], forget: Float[Tensor, "M D"], ratio: float
) -> tuple[Float[Tensor, "M D"], float]:
    """Forgotten states in the approximate null space of retained ones, `Z = H_f P`, and what is left of those there.

    `P` leaves out the `D - R` directions in which retained states have the most energy, `R = int(ratio D)`. With more
    retained states than those it is `Q Q^T`, Q the R trailing eigenvectors of `H_r^T H_r` (D x D, the slow part), and
    nothing is exactly null. With as many or fewer, all of their span is left out, through their N x N Gram matrix, and
    nothing of them is left. The published rule does not say then which R of the D - N null directions it takes; any R
    that hold the forgotten states' components give this Z.

    Args:
        retain: states of the retain set, `H_r`.
        forget: states of the forgotten set, `H_f`, of any number of requests: rows do not affect one another.
        ratio: share of the width that counts as null space, in (0, 1].

    Returns:
        `Z` in float64, zero in rows that are rounding alone, and the share of the retained energy
        `tr(P H_r^T H_r) / tr(H_r^T H_r)` in [0, 1].

    Raises:
        OptionError: the ratio is outside (0, 1] or keeps no dimension.
        DataError: a set is empty, not finite, zero, or of another width.

    Source: MLLMEraser (arXiv 2510.04217) and AlphaSteer (arXiv 2506.07022, `src/utils/steering_utils.py`), which take
    the trailing singular vectors of `H_r^T H_r`.
    """
    rank = _require_rank(ratio, forget.shape[-1])
    _require_sets(retain, forget)
    kept, states = retain.double(), forget.double()
    count, width = kept.shape
    if count <= width - rank:
        inside, residual = _outside_span(kept, states), 0.0
    else:
        energies, directions = torch.linalg.eigh(kept.mT @ kept)
        basis = directions[:, :rank]
        inside, residual = (states @ basis) @ basis.mT, float(energies[:rank].clamp(min=0).sum() / energies.sum())
    reached = inside.square().sum(1) > rounding(states[0]) * states.square().sum(1)
    return inside * reached.unsqueeze(1), residual


def _outside_span(kept: Float[Tensor, "N D"], states: Float[Tensor, "M D"]) -> Float[Tensor, "M D"]:
    """States without their part in the span of the kept ones."""
    gram = kept.new_zeros(len(kept), len(kept))
    for start in range(0, len(kept), BLOCK):  # the lower half, which is all that is read
        end = start + BLOCK
        gram[start:end, :end] = kept[start:end] @ kept[:end].mT
    # States that repeat make it singular. Of a direction of energy s this little leaves the share little / (s +
    # little) at each pass, and of one that has less energy it is rounding that decides.
    gram.diagonal().add_(len(kept) * torch.finfo(gram.dtype).eps * gram.trace())
    factor = torch.linalg.cholesky(gram)
    for _ in range(PASSES):
        states = states - torch.cholesky_solve(kept @ states.mT, factor).mT @ kept
    return states


def gate_of_components(inside: Float[Tensor, "M D"], gamma: float) -> Float[Tensor, " D"]:
    """The published gate as one vector: `w = Z^T (Z Z^T + gamma I)^-1 1`; the score is `<w, h>`.

    MLLMEraser solves for a D x D matrix `M = P pinv(Z^T Z + gamma P^T P) Z^T (1 d^T)`. All forgotten states share the
    target `d`, so `M = w d^T` exactly and `h M = <w, h> d`; and `(Z^T Z + gamma I)^-1 Z^T = Z^T (Z Z^T + gamma I)^-1`,
    which is as large as the forget set and not as the model.

    Args:
        inside: `Z` of `null_components`, one request's.
        gamma: ridge in squared units of the residual stream, at least 0.

    Raises:
        OptionError: gamma is out of range.
        CalibrationError: no state reaches the null space, or gamma is too small to solve.

    Source: MLLMEraser (arXiv 2510.04217), closed form of W P.
    """
    require_gamma(gamma)
    if not inside.any():
        raise CalibrationError(
            "the forget states have no component in the null space of the retain states, so no gate can tell them "
            "apart. Raise the null space ratio, or remove retained prompts that repeat the forgotten ones."
        )
    ridge = gamma * torch.eye(inside.shape[0], dtype=inside.dtype, device=inside.device)
    return inside.mT @ solved(inside @ inside.mT + ridge, inside.new_ones(inside.shape[0]), gamma)


def null_space_gate(
    retain: Float[Tensor, "N D"], forget: Float[Tensor, "M D"], preset: NullSpace
) -> Float[Tensor, " D"]:
    """`null_components` and `gate_of_components` in one call; arguments and errors are theirs."""
    return gate_of_components(null_components(retain, forget, preset.ratio)[0], preset.gamma)


def _require_sets(retain: Tensor, forget: Tensor) -> None:
    for states, name in ((retain, "retain"), (forget, "forget")):
        require_finite(states, f"{name} states")
        if not states.any():
            raise DataError(
                f"the {name} states are empty or all zero, expected at least one. Capture activations for that set "
                "first: without retained states everything would be null space, and the gate would fire on any prompt."
            )
    if forget.shape[-1] != retain.shape[-1]:
        raise DataError(
            f"forget states are {forget.shape[-1]} wide but retain states {retain.shape[-1]}. "
            "Capture both with the same model."
        )


def _require_rank(ratio: float, width: int) -> int:
    if not 0 < ratio <= 1:
        raise OptionError(f"null space ratio is {ratio}, expected a share of the width in (0, 1]; 0.3 is a common one")
    if not (rank := int(ratio * width)):
        raise OptionError(
            f"null space ratio {ratio} keeps no dimension of a width of {width}; expected at least {1 / width:.4g}"
        )
    return rank
