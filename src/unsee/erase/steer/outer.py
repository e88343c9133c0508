"""A call as the model's user makes it, around the decoder's: what it holds that the decoder does not see."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedModel

from unsee.errors import SteeringError
from unsee.shapes import Tensor


@dataclass
class Outer:
    """The call of the model as a whole: its decoder may get another mask, and no ids.

    Attributes:
        mask: of its columns.
        ids: tokens of its columns.
        picked: why logits of this call cannot be matched to columns, if so.
        forced: what replies fix of this call, once the decoder has run.
    """

    mask: Tensor | None
    ids: Tensor | None
    picked: str | None
    forced: Tensor | None = None


def picked(given: Mapping[str, Any]) -> str | None:
    """Why logits of this call cannot be matched to columns, if so."""
    if given.get("labels") is not None:
        return "the loss of labels was taken before. Pass no labels, and take it from the logits"
    if isinstance(given.get("logits_to_keep"), Tensor):
        return "logits_to_keep picks columns. Pass a number"
    return None


def ends_of(model: PreTrainedModel, kwargs: Mapping[str, Any]) -> list[int]:
    """Tokens that end an answer of this generation."""
    generation = kwargs.get("generation_config") or model.generation_config
    named = kwargs.get("eos_token_id", None if generation is None else generation.eos_token_id)
    return [] if named is None else [named] if isinstance(named, int) else list(named)


def require_left_padding(mask: Tensor) -> None:
    """Refuse to go on behind pads.

    Raises:
        SteeringError: a row ends in one.
    """
    ending = mask[:, -1].bool().cpu() if mask.ndim == 2 else mask.new_ones(1).bool()
    if not bool(ending.all()):
        raise SteeringError(
            f"rows {(~ending).nonzero().flatten().tolist()} end in pads, so the model would go on after pads and not "
            "after the prompt. Nothing is answered. Set tokenizer.padding_side = 'left' before you make the prompts."
        )


def pad_tokens(model: PreTrainedModel) -> list[int]:
    """Ids that the model's configurations name as pads."""
    generation = model.generation_config
    named = (
        model.config.to_dict().get("pad_token_id"),
        model.config.get_text_config().pad_token_id,
        None if generation is None else generation.pad_token_id,
    )
    return sorted({token for token in named if token is not None})
