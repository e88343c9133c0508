"""LLaVA-1.5 and its relatives: a CLIP-like tower, a two-layer projector and a causal decoder."""

from collections.abc import Sequence
from typing import Any, final

import torch
from torch import nn
from transformers import LlavaForConditionalGeneration, LlavaProcessor, PreTrainedModel, ProcessorMixin

from unsee.data.sample import ImageFile
from unsee.errors import ModelError
from unsee.models.adapter import (
    AbstractAdapter,
    Channels,
    normalisation_of,
    require_blocks,
    require_equal,
    require_prompting,
)  # fmt: skip
from unsee.models.image_index import runs_of
from unsee.registry import model
from unsee.shapes import Float, Int, Tensor


@model("llava")
@final
class LlavaAdapter(AbstractAdapter):
    """LLaVA-1.5 and its relatives: `LlavaForConditionalGeneration` (transformers 5: `model.language_model.layers`)."""

    family: str = "llava"

    def text_model(self, model: PreTrainedModel) -> nn.Module:
        """The causal decoder, `model.model.language_model`."""
        if not isinstance(model, LlavaForConditionalGeneration):
            raise ModelError(
                f"got a {type(model).__name__}, expected a LlavaForConditionalGeneration. "
                "Load it with unsee.models.load.load, which picks the adapter."
            )
        return model.model.language_model

    def layers(self, model: PreTrainedModel) -> list[nn.Module]:
        """Blocks of the decoder; the vision tower's blocks are never among them."""
        decoder = self.text_model(model)
        try:
            blocks = decoder.get_submodule("layers")
        except AttributeError as error:
            raise ModelError(
                f"the language model {type(decoder).__name__} has no module named 'layers'. "
                "Expected a Llama-like decoder; such a checkpoint needs an adapter of its own."
            ) from error
        return require_blocks(blocks, model)

    def check(self, model: PreTrainedModel, processor: ProcessorMixin) -> None:
        """Refuse a processor without chat template, pad token, or the numbers that expand `<image>`."""
        own, config = _own(processor), model.config
        strategy = "vision_feature_select_strategy"
        require_equal(
            [
                ("patch_size", own.patch_size, config.vision_config.patch_size),
                (strategy, own.vision_feature_select_strategy, config.vision_feature_select_strategy),
            ]
        )
        require_prompting(own)

    def image_token(self, processor: ProcessorMixin) -> str:
        """`<image>`, unless the tokenizer names another."""
        return _own(processor).image_token

    def image_normalisation(self, processor: ProcessorMixin) -> tuple[Channels, Channels]:
        """CLIP's mean and standard deviation, or the identity where the processor does not normalise."""
        return normalisation_of(_own(processor))

    def pixels(self, processor: ProcessorMixin, images: Sequence[ImageFile]) -> Float[Tensor, "N C H W"]:
        """The processor's own resize, crop and rescale, with its normalisation switched off."""
        decoded = [image.load() for image in images]
        batch = processor.image_processor(decoded, do_normalize=False, return_tensors="pt")
        return batch["pixel_values"].to(torch.float32)

    def model_inputs(self, processor: ProcessorMixin, pixels: Float[Tensor, "N C H W"]) -> dict[str, Tensor]:
        """`pixel_values`, one row per image."""
        return {"pixel_values": self.normalise(processor, pixels)}

    def image_index(self, model: PreTrainedModel, input_ids: Int[Tensor, "B T"]) -> Int[Tensor, "B T"]:
        """By the number of tokens that the tower makes of each image: nothing parts two images in a row."""
        self.text_model(model)
        return runs_of(input_ids == model.config.image_token_id, _tokens_per_image(model))


def _tokens_per_image(model: PreTrainedModel) -> int:
    """`(side / patch)^2`, one more with the class token of the tower, one less where the first is dropped."""
    config = model.config
    patches = (config.vision_config.image_size // config.vision_config.patch_size) ** 2
    tower: Any = model.get_submodule("model.vision_tower")
    has_class = any(name.endswith(("class_embedding", "cls_token")) for name, _ in tower.named_parameters())
    return patches + has_class - (config.vision_feature_select_strategy == "default")


def _own(processor: ProcessorMixin) -> LlavaProcessor:
    if not isinstance(processor, LlavaProcessor):
        raise ModelError(
            f"the checkpoint's processor is a {type(processor).__name__}, expected a LlavaProcessor. "
            "Copy processor_config.json and the tokenizer files of the base model beside the weights."
        )
    return processor
