"""What the library must know about a model family, as an interface that only names things.

An adapter says which modules are the decoder blocks and how pictures become tensors. It holds no model
and changes none: capture, steering and attacks all ask it, so that no other file guesses a module path.

Adding a family: write one file with a final subclass and enter it in the table of `unsee.models`.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import nn
from transformers import PreTrainedModel, ProcessorMixin

from unsee.data.samples import Picture
from unsee.errors import ModelError
from unsee.shapes import Float, Tensor

Channels = tuple[float, float, float]


class AbstractAdapter(ABC):
    """Names the parts of one model family.

    Attributes:
        family: `config.model_type` of the checkpoints it serves.
    """

    family: ClassVar[str]

    @abstractmethod
    def text_model(self, model: PreTrainedModel) -> nn.Module:
        """Module whose forward receives `attention_mask`, `past_key_values` and `inputs_embeds` of the decoder.

        Raises:
            ModelError: the model is not of this family.
        """

    @abstractmethod
    def layers(self, model: PreTrainedModel) -> list[nn.Module]:
        """Decoder blocks of the language model, first to last.

        Raises:
            ModelError: the model is not of this family, or the blocks are not as many as its configuration says.
        """

    @abstractmethod
    def check(self, model: PreTrainedModel, processor: ProcessorMixin) -> None:
        """Refuse a processor that cannot turn pictures and questions into inputs of this model.

        Raises:
            ModelError: names the part that is missing and where to get it.
        """

    @abstractmethod
    def image_token(self, processor: ProcessorMixin) -> str:
        """The marker that stands for one picture in a rendered prompt."""

    @abstractmethod
    def image_normalisation(self, processor: ProcessorMixin) -> tuple[Channels, Channels]:
        """Mean and standard deviation per colour channel, for pixels in [0, 1]."""

    @abstractmethod
    def pixels(self, processor: ProcessorMixin, pictures: Sequence[Picture]) -> Float[Tensor, "N C H W"]:
        """Pictures as the vision tower sees them before normalisation: resized, cropped, in [0, 1], on the CPU.

        Raises:
            ImageError: a picture cannot be read.
        """

    @abstractmethod
    def model_inputs(self, processor: ProcessorMixin, pixels: Float[Tensor, "N C H W"]) -> dict[str, Tensor]:
        """Picture arguments of the model's forward for these pixels; differentiable with respect to them."""

    def hidden_size(self, model: PreTrainedModel) -> int:
        """Width D of the residual stream."""
        return int(model.config.get_text_config().hidden_size)

    def normalise(self, processor: ProcessorMixin, pixels: Float[Tensor, "N C H W"]) -> Float[Tensor, "N C H W"]:
        """`(pixels - mean) / std` per channel, as the processor does after rescaling; differentiable."""
        mean, std = self.image_normalisation(processor)
        shape = (1, len(mean), 1, 1)
        offset = torch.tensor(mean, dtype=pixels.dtype, device=pixels.device).view(shape)
        scale = torch.tensor(std, dtype=pixels.dtype, device=pixels.device).view(shape)
        return (pixels - offset) / scale


def require_blocks(blocks: nn.Module, model: PreTrainedModel) -> list[nn.Module]:
    """The blocks as a list, refused unless they are as many as the text configuration says.

    Raises:
        ModelError: not a list of modules, or a wrong number of them.
    """
    expected = int(model.config.get_text_config().num_hidden_layers)
    found = list(blocks) if isinstance(blocks, nn.ModuleList) else []
    if len(found) != expected:
        raise ModelError(
            f"found {len(found)} decoder blocks in {type(model).__name__}, but its configuration says {expected}. "
            "Steering a part of the layers would be silent; load the checkpoint unmodified with a transformers "
            "version that unsee supports."
        )
    return found
