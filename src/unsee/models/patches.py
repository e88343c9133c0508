"""Qwen's image patches, without resizing and differentiable: an image cut up as its vision tower reads it.

A patch is `patch` pixels square; patches come in blocks of `merge` x `merge`, which become one token, and each is
repeated over `temporal` frames because an image is a video that stands still.
"""

import torch

from unsee.shapes import Float, Tensor


def patchify(pixels: Float[Tensor, "N C H W"], patch: int, merge: int, temporal: int) -> Float[Tensor, "V E"]:
    """Rows of `C * temporal * patch * patch` numbers, `H / patch * W / patch` of them for each image.

    Args:
        pixels: height and width are multiples of `patch * merge`.
        patch: side of a patch in pixels.
        merge: patches on a side of a block.
        temporal: frames of a patch.
    """
    number, channels, height, width = pixels.shape
    rows, columns = height // (patch * merge), width // (patch * merge)
    cut = pixels.reshape(number, channels, rows, merge, patch, columns, merge, patch)
    # number, block row, block column, row and column in the block, channel, pixel row, pixel column
    ordered = cut.permute(0, 2, 5, 3, 6, 1, 4, 7).unsqueeze(6)
    repeated = ordered.expand(*ordered.shape[:6], temporal, *ordered.shape[7:])
    return repeated.reshape(number * rows * columns * merge * merge, channels * temporal * patch * patch)


def in_time(frames: Float[Tensor, "F V E"], patch: int, temporal: int) -> Float[Tensor, "_ E"]:
    """Patches of a video from those of its frames: `temporal` frames in each, the last one repeated."""
    still = frames.unflatten(2, (-1, temporal, patch * patch))[:, :, :, 0]
    missing = -len(still) % temporal
    whole = torch.cat([still, still[-1:].expand(missing, *still.shape[1:])]).unflatten(0, (-1, temporal))
    # part of the video, patch, channel, frame of the part, pixel
    return whole.permute(0, 2, 3, 1, 4).reshape(-1, frames.shape[2])


def unpatchify(
    patches: Float[Tensor, "V E"], grid: tuple[int, int], patch: int, merge: int, temporal: int
) -> Float[Tensor, "N C H W"]:
    """Images of one size from their patches; the inverse of `patchify`, from the first of the repeated frames."""
    down, across = grid
    channels = patches.shape[1] // (temporal * patch * patch)
    shape = (-1, down // merge, across // merge, merge, merge, channels, temporal, patch, patch)
    cut = patches.reshape(shape)[:, :, :, :, :, :, 0]
    return torch.permute(cut, (0, 5, 1, 3, 6, 2, 4, 7)).reshape(-1, channels, down * patch, across * patch)
