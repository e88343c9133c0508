"""How many tokens the images of a prompt will become, before any of them is made into tensors."""

from collections.abc import Sequence
from typing import Any

from PIL import Image

from unsee.data.sample import ImageFile, Sample
from unsee.errors import ImageError
from unsee.models.load import LoadedModel


def visual_tokens(loaded: LoadedModel, samples: Sequence[Sample]) -> list[int]:
    """Tokens of each sample's images, by the size of each; a video is counted as its frames.

    A video's frames share tokens (two of Qwen's make one step), so that it is counted as longer than it is, and every
    other as much: enough to put videos in order of length.
    An image that cannot be read counts nothing.
    """
    sizes: dict[ImageFile, tuple[int, int]] = {}
    counts: dict[tuple[int, int], int] = {}

    def tokens(image: ImageFile) -> int:
        if image not in sizes:
            try:
                sizes[image] = loaded.adapter.readable(image).size
            except ImageError:
                return 0  # what cannot be read fails where its own prompt is made, and costs no other its answer
        size = sizes[image]
        if size not in counts:
            counts[size] = _tokens(loaded, size)
        return counts[size]

    return [sum(map(tokens, sample.video or sample.shown)) for sample in samples]


def _tokens(loaded: LoadedModel, size: tuple[int, int]) -> int:
    """Tokens of an image of this width and height."""
    processor: Any = loaded.processor
    if hasattr(processor, "_get_num_multimodal_tokens"):  # what transformers gives to engines; most processors have it
        return processor._get_num_multimodal_tokens(image_sizes=[size[::-1]]).num_image_tokens[0]
    blank = Image.new("RGB", size)
    return len(processor(text=[loaded.adapter.image_token(processor)], images=[[blank]])["input_ids"][0])
