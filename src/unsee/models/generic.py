"""Any other model: it is told where decoder, vision tower and image places are, and looks for none of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, final

import torch
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel, ProcessorMixin

from unsee.data.sample import ImageFile
from unsee.errors import ModelError
from unsee.models.adapter import AbstractAdapter, Channels, require_blocks, require_prompting
from unsee.models.image_index import runs, runs_of
from unsee.models.text import TextProcessor
from unsee.shapes import Float, Int, Tensor


@final
@dataclass(frozen=True)
class GenericAdapter(AbstractAdapter):
    """Names that a user gives to the parts of a model.

    Asking, capturing and steering work; attacks on images do not, because only an adapter of the family's own knows
    how pixels become patches.

    Attributes:
        family: `config.model_type` of the checkpoint.
        decoder: path of the module that runs the decoder blocks, as `model.get_submodule` takes it. It must get
            `attention_mask`, `past_key_values` and `inputs_embeds` or `input_ids` as keywords.
        blocks: path of the list of decoder blocks, from the decoder.
        vision: path of the vision tower; None for a model of text alone.
        image_marker: what stands for one image in a rendered prompt; None for a model of text alone.
        image_tokens: tokens of each image, where two may stand in a prompt with nothing between; None where something
            parts them. Gates that read images need it.

    Example:
        `GenericAdapter("idefics3", "model.text_model", vision="model.vision_model", image_marker="<image>")`
    """

    family: str
    decoder: str
    blocks: str = "layers"
    vision: str | None = None
    image_marker: str | None = None
    image_tokens: int | None = None

    def __post_init__(self) -> None:
        if (self.vision is None) != (self.image_marker is None):
            raise ModelError(
                f"the adapter of {self.family!r} names vision={self.vision!r} and image_marker={self.image_marker!r}: "
                "expected both, or neither for a model of text alone."
            )

    def open_processor(self, name: str, revision: str | None) -> ProcessorMixin:
        """The processor, or the tokenizer of a model of text alone."""
        return TextProcessor.open(name, revision) if self.vision is None else super().open_processor(name, revision)

    def open_model(self, name: str, revision: str | None) -> tuple[PreTrainedModel, dict[str, Any]]:
        """As a causal language model where there is no vision tower."""
        if self.vision is not None:
            return super().open_model(name, revision)
        pair: Any = AutoModelForCausalLM.from_pretrained(
            name, revision=revision, dtype="auto", use_safetensors=True, output_loading_info=True
        )
        return pair

    def text_model(self, model: PreTrainedModel) -> nn.Module:
        """The module at `decoder`."""
        if model.config.model_type != self.family:
            raise ModelError(
                f"got a model of family {model.config.model_type!r}, but the adapter was told of {self.family!r}. "
                "Give it the names of this model's parts."
            )
        return self._part(model, self.decoder)

    def layers(self, model: PreTrainedModel) -> list[nn.Module]:
        """The modules in the list at `blocks`."""
        decoder = self.text_model(model)
        return require_blocks(self._part(decoder, self.blocks), model)

    def check(self, model: PreTrainedModel, processor: ProcessorMixin) -> None:
        """Refuse names that do not fit each other or the processor."""
        if self.vision is not None:
            tower = set(self._part(model, self.vision).modules())
            if tower & set(self.layers(model)):
                raise ModelError(
                    f"the blocks at {self.decoder}.{self.blocks} lie in the vision tower {self.vision!r}. Expected "
                    "those of the language model; steering the tower would be silent."
                )
        require_prompting(processor)
        vocabulary = processor.tokenizer.get_vocab()
        if self.image_marker is not None and self.image_marker not in vocabulary:
            raise ModelError(
                f"the tokenizer has no token {self.image_marker!r}, so images have no place in a prompt. Expected "
                "the marker that the model's chat template writes for an image."
            )

    def image_token(self, processor: ProcessorMixin) -> str | None:
        """The marker that it was told."""
        del processor
        return self.image_marker

    def image_normalisation(self, processor: ProcessorMixin) -> tuple[Channels, Channels]:
        """Refused, as `pixels` is."""
        self._refuse_pixels()

    def pixels(self, processor: ProcessorMixin, images: Sequence[ImageFile]) -> Float[Tensor, "N C H W"]:
        """Refused: only the family's own adapter can know this."""
        self._refuse_pixels()

    def model_inputs(self, processor: ProcessorMixin, pixels: Float[Tensor, "N C H W"]) -> dict[str, Tensor]:
        """Refused, as `pixels` is."""
        self._refuse_pixels()

    def image_index(self, model: PreTrainedModel, input_ids: Int[Tensor, "B T"]) -> Int[Tensor, "B T"]:
        """By runs of the token that the configuration names, or by `image_tokens`; the tiles of an image are images."""
        if self.vision is None:
            return torch.zeros_like(input_ids)
        token = getattr(model.config, "image_token_id", None)
        if token is None:
            raise ModelError(
                f"the configuration of family {self.family!r} names no image_token_id, so it is not known which tokens "
                "are images. Set it to the id of the token that its processor repeats for an image."
            )
        marked = input_ids == token
        return runs(marked) if self.image_tokens is None else runs_of(marked, self.image_tokens)

    def _part(self, parent: nn.Module, path: str) -> nn.Module:
        try:
            return parent.get_submodule(path)
        except AttributeError as error:
            raise ModelError(
                f"{type(parent).__name__} has no module {path!r}, which the adapter of {self.family!r} was told. "
                "Print the model to see its modules, and correct the name."
            ) from error

    def _refuse_pixels(self) -> NoReturn:
        raise ModelError(
            f"a generic adapter does not know how the pixels of family {self.family!r} become patches, so images "
            "cannot be attacked. Leave the attack out, or write an adapter with pixels and model_inputs."
        )
