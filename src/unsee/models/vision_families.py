"""Vision-language models that are known by name although nothing of theirs is rewritten: images cannot be attacked."""

from unsee.models.generic import GenericAdapter
from unsee.registry import model


@model("idefics3")
def idefics3() -> GenericAdapter:
    """SmolVLM-Instruct and Idefics3, images."""
    return GenericAdapter("idefics3", "model.text_model", vision="model.vision_model", image_marker="<image>")


@model("gemma3")
def gemma3() -> GenericAdapter:
    """Gemma 3 with its vision tower, images."""
    return GenericAdapter(
        "gemma3", "model.language_model", vision="model.vision_tower", image_marker="<start_of_image>"
    )
