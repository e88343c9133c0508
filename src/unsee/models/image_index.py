"""Which token of a prompt is text, and which belongs to which image."""

import torch

from unsee.errors import ModelError
from unsee.shapes import Bool, Int, Tensor


def runs(is_image: Bool[Tensor, "B T"]) -> Int[Tensor, "B T"]:
    """Number of the image that each token belongs to, from 1; 0 for text. Images are runs that other tokens part.

    `index_t = (starts of runs up to t) * is_image_t`.
    """
    before = torch.nn.functional.pad(is_image[:, :-1], (1, 0))
    return (is_image & ~before).long().cumsum(1) * is_image


def runs_of(is_image: Bool[Tensor, "B T"], length: int) -> Int[Tensor, "B T"]:
    """As `runs`, where every image is `length` tokens and two may follow each other without anything between.

    `index_t = ceil((image tokens up to t) / length) * is_image_t`.

    Raises:
        ModelError: a run is no whole number of images.
    """
    run = runs(is_image)
    counts = torch.zeros(len(run), int(run.max()) + 1 if run.numel() else 1, dtype=torch.long, device=run.device)
    counts.scatter_add_(1, run, torch.ones_like(run))
    broken = counts[:, 1:][counts[:, 1:] % length != 0]
    if len(broken):
        raise ModelError(
            f"a prompt has {int(broken[0])} image tokens in a row, expected a multiple of {length}, the tokens of one "
            "image, so it is not known which token belongs to which image. Make prompts with the model's own processor."
        )
    return torch.div(is_image.long().cumsum(1) + length - 1, length, rounding_mode="floor") * is_image
