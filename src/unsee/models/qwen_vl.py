"""Qwen2.5-VL and Qwen3-VL: a tower that reads images and videos at their own resolution, a decoder with 3D positions.

DeepStack (Qwen3-VL) adds image features to the first blocks' outputs; a block's input, which is read and steered,
has them already.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import torch
import transformers
from PIL import Image
from torch import nn
from transformers import (
    PreTrainedModel,
    ProcessorMixin,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3VLForConditionalGeneration,
)
from transformers.video_processing_utils import VideoProcessorMixin

from unsee.data.sample import ImageFile
from unsee.errors import DataError, ImageError, ModelError
from unsee.models.adapter import (
    AbstractAdapter,
    Channels,
    normalisation_of,
    require_blocks,
    require_equal,
    require_prompting,
)  # fmt: skip
from unsee.models.image_index import runs
from unsee.models.patches import patchify, unpatchify
from unsee.models.qwen_video import VideoReader, times_of
from unsee.registry import model
from unsee.shapes import Float, Int, Tensor

# The limit of the family's own resizing.
_LONGEST_STRIP = 200


# The classes of transformers insist on a video processor that needs torchvision. Ours reads videos as it reads images.
# The names are those of transformers, because a saved directory carries them.


class Qwen2_5_VLProcessor(transformers.Qwen2_5_VLProcessor):
    """That of transformers with videos read by Pillow, so that no torchvision is needed."""

    def __init__(self, image_processor: Any = None, tokenizer: Any = None, chat_template: Any = None) -> None:
        """As in transformers, with a `video_processor` of its own."""
        super().__init__(image_processor, tokenizer, None, chat_template=chat_template)
        self.video_processor = VideoReader(image_processor)

    def to_dict(self) -> dict[str, Any]:
        """With the settings of a video processor, so that others open the directory whole."""
        return super().to_dict() | {"video_processor": self.video_processor.settings("Qwen2VLVideoProcessor")}


class Qwen3VLProcessor(transformers.Qwen3VLProcessor):
    """That of transformers with videos read by Pillow, so that no torchvision is needed."""

    def __init__(self, image_processor: Any = None, tokenizer: Any = None, chat_template: Any = None) -> None:
        """As in transformers, with a `video_processor` of its own."""
        super().__init__(image_processor, tokenizer, None, chat_template=chat_template)
        self.video_processor = VideoReader(image_processor, shared=True)

    def to_dict(self) -> dict[str, Any]:
        """With the settings of a video processor, so that others open the directory whole."""
        return super().to_dict() | {"video_processor": self.video_processor.settings("Qwen3VLVideoProcessor")}


@final
@dataclass(frozen=True)
class QwenAdapter(AbstractAdapter):
    """Names the parts of a Qwen vision-language model (transformers 5: `model.language_model.layers`).

    Attributes:
        family: `config.model_type`.
        model_class: what transformers calls the model.
        processor_class: what reads its images and writes its prompts.
    """

    family: str
    model_class: type[PreTrainedModel]
    processor_class: type[ProcessorMixin]

    def open_processor(self, name: str, revision: str | None) -> ProcessorMixin:
        """The processor for images, videos and text, with the checkpoint's own limits of resolution for both."""
        processor: Any = self.processor_class.from_pretrained(name, revision=revision or "main", backend="pil")
        settings, _ = VideoProcessorMixin.get_video_processor_dict(name, revision=revision)
        processor.video_processor = processor.video_processor.limited(settings)
        return processor

    def text_model(self, model: PreTrainedModel) -> nn.Module:
        """The causal decoder, `model.model.language_model`."""
        if not isinstance(model, self.model_class):
            raise ModelError(
                f"got a {type(model).__name__}, expected a {self.model_class.__name__}. "
                "Load it with unsee.models.load.load, which picks the adapter."
            )
        return model.get_submodule("model.language_model")

    def layers(self, model: PreTrainedModel) -> list[nn.Module]:
        """Blocks of the decoder; the vision tower's blocks are never among them."""
        return require_blocks(self.text_model(model).get_submodule("layers"), model)

    def check(self, model: PreTrainedModel, processor: ProcessorMixin) -> None:
        """Refuse a processor that cuts images otherwise than the tower reads them, or marks them otherwise."""
        own, config, vision = self._own(processor), model.config, model.config.vision_config
        cut = own.image_processor
        needed = [
            ("patch_size", cut.patch_size, vision.patch_size),
            ("temporal_patch_size", cut.temporal_patch_size, vision.temporal_patch_size),
            ("merge_size", cut.merge_size, vision.spatial_merge_size),
            (f"token id of {own.image_token!r}", own.image_token_id, config.image_token_id),
            (f"token id of {own.video_token!r}", own.video_token_id, config.video_token_id),
        ]
        require_equal(needed)
        require_prompting(own)

    def image_token(self, processor: ProcessorMixin) -> str:
        """`<|image_pad|>`, unless the tokenizer names another."""
        return self._own(processor).image_token

    def video_token(self, processor: ProcessorMixin) -> str:
        """`<|video_pad|>`, unless the tokenizer names another."""
        return self._own(processor).video_token

    def video_arguments(self, videos: Sequence[Sequence[ImageFile]]) -> dict[str, Any]:
        """Frames as they are, each with its time; a processor would otherwise choose some of them."""
        if not videos:
            return {}
        frames = [[self.readable(frame) for frame in video] for video in videos]
        for video, images in zip(videos, frames, strict=True):
            if len(sizes := sorted({image.size for image in images})) > 1:
                shown = ", ".join(f"{width} x {height}" for width, height in sizes)
                raise ImageError(
                    f"the video that begins with {video[0].id!r} has frames of {len(sizes)} sizes ({shown}), expected "
                    "one. Resize its frames, or remove its row."
                )
        return {"videos": frames, "video_metadata": times_of(frames), "do_sample_frames": False}

    def readable(self, image: ImageFile) -> Image.Image:
        """The decoded image; a strip has no size that the tower takes."""
        decoded = image.load()
        if max(decoded.size) > _LONGEST_STRIP * min(decoded.size):
            raise ImageError(
                f"image {image.id!r} is {decoded.width} x {decoded.height} pixels, expected neither side to be more "
                f"than {_LONGEST_STRIP} times the other. Crop it, or remove its row."
            )
        return decoded

    def image_normalisation(self, processor: ProcessorMixin) -> tuple[Channels, Channels]:
        """Mean and standard deviation of the image processor."""
        return normalisation_of(self._own(processor))

    def pixels(self, processor: ProcessorMixin, images: Sequence[ImageFile]) -> Float[Tensor, "N C H W"]:
        """The processor's own resize and rescale, put together again from its patches."""
        decoded = [self.readable(image) for image in images]
        cut = self._own(processor).image_processor
        batch = cut(decoded, do_normalize=False, return_tensors="pt")
        sizes = [(down, across) for _, down, across in batch["image_grid_thw"].tolist()]
        if len(set(sizes)) > 1:
            shown = ", ".join(f"{across * cut.patch_size} x {down * cut.patch_size}" for down, across in set(sizes))
            raise DataError(
                f"{len(images)} images keep {len(set(sizes))} resolutions ({shown}), so they are no one tensor. "
                "Expected images of one size: pass them one by one, or resize them."
            )
        return unpatchify(
            batch["pixel_values"].float(), sizes[0], cut.patch_size, cut.merge_size, cut.temporal_patch_size
        )

    def model_inputs(self, processor: ProcessorMixin, pixels: Float[Tensor, "N C H W"]) -> dict[str, Tensor]:
        """`pixel_values`, one row per patch, and `image_grid_thw`, one row per image."""
        cut = self._own(processor).image_processor
        down, across = (side // cut.patch_size for side in pixels.shape[-2:])
        patches = patchify(self.normalise(processor, pixels), cut.patch_size, cut.merge_size, cut.temporal_patch_size)
        grid = torch.tensor([[1, down, across]] * len(pixels), device=pixels.device)
        return {"pixel_values": patches, "image_grid_thw": grid}

    def image_index(self, model: PreTrainedModel, input_ids: Int[Tensor, "B T"]) -> Int[Tensor, "B T"]:
        """By runs: a token before and one behind part each image, and each stretch of a video."""
        config = model.config
        return runs((input_ids == config.image_token_id) | (input_ids == config.video_token_id))

    def _own(self, processor: ProcessorMixin) -> Any:
        # The parent, so that a processor which reads videos too is as good.
        if not isinstance(processor, self.processor_class.__bases__):
            raise ModelError(
                f"the checkpoint's processor is a {type(processor).__name__}, expected a "
                f"{self.processor_class.__name__}. Copy the processor files of the base model beside the weights."
            )
        return processor


@model("qwen2_5_vl")
def qwen2_5_vl() -> QwenAdapter:
    """Qwen2.5-VL, images and video."""
    return QwenAdapter("qwen2_5_vl", Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor)


@model("qwen3_vl")
def qwen3_vl() -> QwenAdapter:
    """Qwen3-VL, images and video."""
    return QwenAdapter("qwen3_vl", Qwen3VLForConditionalGeneration, Qwen3VLProcessor)
