"""What the library must know about a model family, as an interface that only names things.

An adapter says which modules are the decoder blocks and how images become tensors. It holds no model
and changes none: capture, steering and attacks all ask it, so that no other file guesses a module path.

Adding a family: write one file with a final subclass and enter it in the table of `unsee.models`.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from PIL import Image
from torch import nn
from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoProcessor, PreTrainedModel, ProcessorMixin

from unsee.data.sample import ImageFile
from unsee.errors import ModelError
from unsee.shapes import Float, Int, Tensor

Channels = tuple[float, float, float]


class AbstractAdapter(ABC):
    """Names the parts of one model family.

    Attributes:
        family: `config.model_type` of the checkpoints it serves.
    """

    family: str

    def open_processor(self, name: str, revision: str | None) -> ProcessorMixin:
        """The processor beside a checkpoint's weights; raises whatever transformers does."""
        # Pillow on every machine: torchvision resizes differently, and images must not depend on what is installed.
        try:
            return AutoProcessor.from_pretrained(name, revision=revision, backend="pil")
        except ImportError as error:
            if "Video processor" not in str(error):
                raise
        # Some families read videos by torchvision alone; their images are still read by Pillow.
        processor: Any = AutoProcessor.from_pretrained(name, revision=revision)
        processor.image_processor = AutoImageProcessor.from_pretrained(name, revision=revision, backend="pil")
        return processor

    def open_model(self, name: str, revision: str | None) -> tuple[PreTrainedModel, dict[str, Any]]:
        """The weights in their stored precision on the CPU, and what was missing; raises whatever transformers does."""
        pair: Any = AutoModelForImageTextToText.from_pretrained(
            name, revision=revision, dtype="auto", use_safetensors=True, output_loading_info=True
        )
        return pair

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
        """Refuse a processor that cannot turn images and questions into inputs of this model.

        Raises:
            ModelError: names the part that is missing and where to get it.
        """

    @abstractmethod
    def image_token(self, processor: ProcessorMixin) -> str | None:
        """The marker that stands for one image in a rendered prompt; None where the model takes none."""

    def video_token(self, processor: ProcessorMixin) -> str | None:
        """The marker that stands for one video in a rendered prompt; None where the model takes none."""
        del processor

    def video_arguments(self, videos: Sequence[Sequence[ImageFile]]) -> dict[str, Any]:
        """Arguments with which the processor reads these videos, in order; none where there is none to read.

        Raises:
            ImageError: a frame cannot be read, or the frames of a video are not of one size.
        """
        del videos
        return {}

    def readable(self, image: ImageFile) -> Image.Image:
        """The decoded image.

        Raises:
            ImageError: it cannot be read, or the family's processor cannot take its size.
        """
        return image.load()

    @abstractmethod
    def image_normalisation(self, processor: ProcessorMixin) -> tuple[Channels, Channels]:
        """Mean and standard deviation per colour channel, for pixels in [0, 1]."""

    @abstractmethod
    def pixels(self, processor: ProcessorMixin, images: Sequence[ImageFile]) -> Float[Tensor, "N C H W"]:
        """Images as the vision tower sees them before normalisation: resized, cropped, in [0, 1], on the CPU.

        Raises:
            ImageError: an image cannot be read.
            DataError: the family keeps native resolutions, and these images do not share one.
        """

    @abstractmethod
    def model_inputs(self, processor: ProcessorMixin, pixels: Float[Tensor, "N C H W"]) -> dict[str, Tensor]:
        """Image arguments of the model's forward for these pixels; differentiable with respect to them."""

    @abstractmethod
    def image_index(self, model: PreTrainedModel, input_ids: Int[Tensor, "B T"]) -> Int[Tensor, "B T"]:
        """Per token of whole prompts: 0 for text, j for the row's j-th image, from 1, in order.

        A video is as many images as its family's prompts write it in: one where its tokens stand together
        (Qwen2.5-VL), one per time step where text parts them (Qwen3-VL). The same holds for the tiles of an image.

        Raises:
            ModelError: it is not known which token belongs to which image.
        """

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


def require_prompting(processor: ProcessorMixin) -> None:
    """Refuse a processor that cannot write or batch prompts.

    Raises:
        ModelError: no processor, no chat template, or no pad token.
    """
    if not isinstance(processor, ProcessorMixin):
        raise ModelError(
            f"the checkpoint's processor is a {type(processor).__name__}, expected one of text and images. "
            "Copy the processor files of the base model beside the weights."
        )
    if processor.chat_template is None:
        raise ModelError(
            "the processor has no chat template, so questions cannot be put the way the model was taught. Expected an "
            "instruction-tuned checkpoint; if this is one, copy chat_template.jinja of the original beside the weights."
        )
    if processor.tokenizer.pad_token_id is None:
        raise ModelError(
            "the tokenizer has no pad token, so prompts cannot be batched. Set pad_token in tokenizer_config.json."
        )


def require_equal(needed: Iterable[tuple[str, object, object]]) -> None:
    """Refuse a processor whose settings are not the model's.

    Raises:
        ModelError: names the first that differs.
    """
    for name, got, expected in needed:
        if got != expected:
            raise ModelError(
                f"the processor's {name} is {got!r}, but the model needs {expected!r} to place its image tokens. Set "
                "it in processor_config.json, or copy the processor files of the base model beside the weights."
            )


def normalisation_of(processor: ProcessorMixin) -> tuple[Channels, Channels]:
    """Mean and standard deviation that the image processor applies; the identity where it does not normalise."""
    settings = processor.image_processor
    if not settings.do_normalize:
        return (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    (red, green, blue), (red_std, green_std, blue_std) = settings.image_mean, settings.image_std
    return (red, green, blue), (red_std, green_std, blue_std)


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
