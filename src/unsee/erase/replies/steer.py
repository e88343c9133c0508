"""`steer`: the model speaks for itself, from states that are moved toward refusing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

import torch

from unsee.erase.replies.base import FREE, register
from unsee.shapes import Float, Int, Tensor


@register
@final
@dataclass(frozen=True)
class SteerReply:
    """No token is forced: `h <- h + lambda g d_t` alone."""

    kind: ClassVar[str] = "steer"

    @property
    def steers(self) -> bool:
        """Always."""
        return True

    def forced(self, step: Int[Tensor, "B T"]) -> Int[Tensor, "B T"]:
        """None."""
        return torch.full_like(step, FREE)

    def as_json(self) -> dict[str, Any]:
        """Nothing but the kind: what is added is the eraser's trajectory."""
        return {"kind": self.kind}

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "SteerReply":
        """Nothing is stored."""
        del values
        return cls()


def decayed(trajectory: Float[Tensor, "L S D"], decay: float) -> Float[Tensor, "L S D"]:
    """The direction at the first answer token, and at every later one `decay` times what the trajectory has there.

    `d_0 = d`, `d_t = decay * d_t`. Vectors of later steps belong to one wording; a model with a real vocabulary leaves
    that wording and then needs them small, or 0: then two steps are enough, as the last one is held.
    """
    if decay == 0 or trajectory.shape[1] == 1:
        return torch.cat([trajectory[:, :1], torch.zeros_like(trajectory[:, :1])], dim=1)
    return torch.cat([trajectory[:, :1], decay * trajectory[:, 1:]], dim=1)
