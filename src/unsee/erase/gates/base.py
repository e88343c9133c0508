"""What a gate is: named tensors that say when to steer, and a rule that reads a prompt with them; registered by kind.

A *latched* gate reads a prompt to its end, decides each row once, and holds the decision for the whole answer. A
*proportional* one reads at every block that is steered, and scales what is added there. One gate is one file, which
holds its tensors, its rule and its fit; `register` makes it known to artifacts and hooks.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, Self, TypeVar, final

import torch

from unsee.erase.artifact import TensorSpec
from unsee.erase.steer.positions import Steps
from unsee.errors import ArtifactError, MismatchError, SteeringError
from unsee.shapes import Bool, Float, Int, Tensor


@final
@dataclass(frozen=True, eq=False)
class Reading:
    """What one eraser's gate said to the prompts of one call.

    Attributes:
        margins: score less threshold, per row and subject; for a published gate its value per row and steered layer.
        fired: rows on which it fires, whoever steers them; a published gate always steers, in proportion.
    """

    margins: Float[Tensor, "B K"]
    fired: Bool[Tensor, " B"]


class LatchedRule(Protocol):
    """A latched gate at work on the prompts of one batch.

    Attributes:
        decided: rows whose prompt has been read to its end.
        margin: per row, how far above its threshold the gate is; minus infinity where it does not fire.
    """

    decided: Bool[Tensor, " B"]
    margin: Float[Tensor, " B"]

    def read(self, layer: int, states: Float[Tensor, "B T D"], steps: Steps) -> None:
        """Read the input of this block; rows whose prompt ends in this call are decided at the last block read."""
        ...

    def reading(self) -> Reading | None:
        """What the gate said, once it has decided every row."""
        ...


class ProportionalRule(Protocol):
    """A proportional gate at work on the prompts of one batch."""

    def factor(self, place: int, states: Float[Tensor, "B T D"], steps: Steps) -> Float[Tensor, " B"]:
        """By how much the addition at the `place`-th steered block is scaled, per row."""
        ...

    def reading(self) -> Reading | None:
        """What the gate said, once every steered block has been read."""
        ...


class Tensors(Protocol):
    """What gates of both sorts have.

    Attributes:
        kind: name in artifacts.
        spec: type and shape of each tensor in an artifact.
    """

    kind: ClassVar[str]
    spec: ClassVar[Mapping[str, TensorSpec]]

    @property
    def layers(self) -> tuple[int, ...]:
        """Blocks that are read before anything is steered, ascending; none where the gate reads as it steers."""
        ...

    @property
    def sizes(self) -> tuple[int, int]:
        """Blocks that its tensors speak of, and the width of the residual stream."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """What an artifact holds of it, by the names of `spec`."""
        ...

    @classmethod
    def of(cls, layers: tuple[int, ...], tensors: Mapping[str, Tensor]) -> Self:
        """The gate that reads these blocks with these tensors."""
        ...


class LatchedGate(Tensors, Protocol):
    """Read the prompt, decide, hold.

    Attributes:
        shares: by evidence, of the prompts about retained subjects that hold it, those on which all gates in force
            together may wrongly fire; one request alone may on fewer.
    """

    latched: ClassVar[Literal[True]]
    shares: ClassVar[Mapping[str, float]]

    @property
    def threshold(self) -> Float[Tensor, "K ..."]:
        """Per subject, and evidence where there are several, the score at which it fires."""
        ...

    def rule(self, prompt_tokens: Int[Tensor, " B"]) -> LatchedRule:
        """For prompts of so many real tokens."""
        ...

    def with_threshold(self, threshold: Float[Tensor, "K ..."]) -> Self:
        """The same gate, harder or easier to fire."""
        ...

    def beside(self, other: Self) -> Self:
        """The subjects of both, in this order; each decides as it did alone."""
        ...

    def always(self) -> Self:
        """The control that fires on every prompt."""
        ...


class ProportionalGate(Tensors, Protocol):
    """Read at every steered block, and scale what is added there."""

    latched: ClassVar[Literal[False]]

    def rule(self, prompt_tokens: Int[Tensor, " B"]) -> ProportionalRule:
        """For prompts of so many real tokens."""
        ...


Gate = LatchedGate | ProportionalGate
G = TypeVar("G")
_KINDS: dict[str, type[Any]] = {}


def register(gate: type[G]) -> type[G]:
    """Make a kind of gate known, by its `kind`; used as a decorator."""
    _KINDS[vars(gate)["kind"]] = gate
    return gate


def gate_of_kind(kind: object) -> type[Any]:
    """The class of a kind.

    Raises:
        ArtifactError: no gate of that kind is known.
    """
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ArtifactError(f"the gate is of kind {kind!r}, expected one of {sorted(_KINDS)}. Update unsee to load it.")
    return _KINDS[kind]


def require_kind(gate: Gate, kind: type[G]) -> G:
    """The gate as one of this class.

    Raises:
        MismatchError: it is of another.
    """
    if not isinstance(gate, kind):
        raise MismatchError(
            f"the eraser's gate is of kind {gate.kind!r}, expected {vars(kind)['kind']!r}. Fit the request with that "
            "gate, or use what takes every gate."
        )
    return gate


def require_numbers(margins: Tensor) -> None:
    """Refuse to decide on NaN.

    Raises:
        SteeringError: a margin is NaN.
    """
    if bool(torch.isnan(margins).any()):
        raise SteeringError(
            "a gate read NaN, so nothing says whether it fires. Nothing is answered. Look for broken weights or a "
            "broken image."
        )


def require_all_read(read: Int[Tensor, " B"], prompt_tokens: Int[Tensor, " B"]) -> None:
    """Refuse to decide on a part of a prompt.

    Raises:
        SteeringError: not every prompt token has been read, or one was read twice.
    """
    if bool((read != prompt_tokens).any()):
        raise SteeringError(
            f"the gate has read {read.tolist()} tokens of prompts that have {prompt_tokens.tolist()}. Nothing is "
            "answered. Pass each prompt through the model once."
        )
