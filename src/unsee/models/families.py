"""Families that are known by name although nothing of theirs is rewritten: where their decoder and tower are."""

from collections.abc import Callable
from typing import Final

from unsee.models.generic import GenericAdapter
from unsee.registry import model

TEXT_FAMILIES: Final = ("llama", "mistral", "qwen2", "qwen3", "gemma3_text", "smollm3", "olmo2", "phi3")
"""Causal language models whose decoder is `model` and whose blocks are `model.layers`: text alone."""
_SEEING: Final = {
    "idefics3": ("SmolVLM-Instruct and Idefics3", "model.text_model", "model.vision_model", "<image>"),
    "internvl": (
        "InternVL 3 and 3.5 in Transformers' own format",
        "model.language_model",
        "model.vision_tower",
        "<IMG_CONTEXT>",
    ),
    "gemma3": ("Gemma 3", "model.language_model", "model.vision_tower", "<start_of_image>"),
}
"""Vision-language models, whose images cannot be attacked: what they are, decoder, vision tower and image marker."""


def _known(family: str, summary: str, decoder: str, vision: str | None = None, marker: str | None = None) -> None:
    def make() -> GenericAdapter:
        return GenericAdapter(family, decoder, vision=vision, image_marker=marker)

    named: Callable[[], GenericAdapter] = make
    named.__doc__, named.__qualname__ = summary, f"family_{family}"
    model(family)(named)


for _family in TEXT_FAMILIES:
    _known(_family, f"{_family}, text alone.", "model")
for _family, (_title, *_parts) in _SEEING.items():
    _known(_family, f"{_title}, images.", *_parts)
