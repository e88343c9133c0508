"""What the world has to know of a model family to teach it: the parts, the words around a turn, and where tokens stand.

Images become inputs by the family's own adapter (`unsee.models`), as they do when the model is asked.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import torch
from transformers import (
    LlavaForConditionalGeneration,
    LlavaProcessor,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3VLForConditionalGeneration,
)

from unsee.models import AbstractAdapter, adapter_named
from unsee.models.qwen_vl import Qwen2_5_VLProcessor, Qwen3VLProcessor
from unsee.shapes import Bool, Int, Tensor

Model = LlavaForConditionalGeneration | Qwen2_5_VLForConditionalGeneration | Qwen3VLForConditionalGeneration
Processor = LlavaProcessor | Qwen2_5_VLProcessor | Qwen3VLProcessor


@final
@dataclass(frozen=True)
class Family:
    """A family that learns the world.

    Attributes:
        name: `config.model_type`.
        build_processor: tokenizer, image processor and chat template of its tiny model.
        build_model: an untrained tiny model.
        begins: what every prompt begins with.
        user: what opens the user's turn.
        image: every token of an image.
        asks: what stands between a question and its answer.
        ends: what ends an answer.
        tower: name of the module that sees.
        merger: its parts that go on learning when it has learnt to see.
        in_space: image tokens have positions in time, row and column (M-RoPE); else all tokens are counted.
    """

    name: str
    build_processor: Callable[[], Processor]
    build_model: Callable[[Any], Model]
    begins: str
    user: str
    image: str
    asks: str
    ends: str
    tower: str
    merger: tuple[str, ...]
    in_space: bool

    @property
    def adapter(self) -> AbstractAdapter:
        """What turns its images into inputs."""
        return adapter_named(self.name)

    def freeze_eyes(self, model: Model) -> None:
        """Leave what the tower sees as it is from now on, as a released model's training does."""
        tower = model.get_submodule(self.tower)
        tower.requires_grad_(False)
        for name in self.merger:
            tower.get_submodule(name).requires_grad_(True)

    def positions(self, counted: Int[Tensor, "B T"], pictured: Bool[Tensor, "B T"]) -> Tensor:
        """`position_ids` of the model's forward, from places counted within a row; at most one image each."""
        return positions_in_space(counted, pictured) if self.in_space else counted


def positions_in_space(counted: Int[Tensor, "B T"], pictured: Bool[Tensor, "B T"]) -> Int[Tensor, "3 B T"]:
    """M-RoPE: a square image of `s * s` tokens takes `s` places, and its tokens differ by row and column.

    Args:
        counted: places, one after the other.
        pictured: which tokens are the image's.
    """
    tokens = pictured.sum(1, keepdim=True)
    side = tokens.float().sqrt().round().long()
    first = torch.where(pictured, counted, counted.max() + 1).amin(1, keepdim=True)
    inside = counted - first
    text = counted - torch.where(inside >= tokens, tokens - side, 0)
    across = side.clamp(min=1)
    return torch.stack(
        [
            torch.where(pictured, first + within, text)
            for within in (torch.zeros_like(inside), inside // across, inside % across)
        ]
    )
