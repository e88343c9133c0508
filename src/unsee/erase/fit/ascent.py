"""Projected gradient ascent on images: one loop for whatever is to grow, within a ball around the clean images.

Pixels are in [0, 1], before normalisation, at the resolution that the vision tower sees. What comes of it are ordinary
8-bit images of that size: the processor hands them over unchanged, so everything behind it takes them as any other.
"""

import io
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from PIL import Image
from torch import nn

from unsee.data.sample import ImageFile, Sample
from unsee.errors import ModelError
from unsee.models.load import LoadedModel
from unsee.progress import Progress
from unsee.shapes import Float, Tensor

Gain = Callable[[Float[Tensor, "N C H W"]], Float[Tensor, " N"]]
"""What is to grow, image by image; differentiable in the pixels."""
# A multiple of 1/255 such as 16/255 may come out a hair below the integer.
_ROUNDING = 1e-6


def ascend(
    gain: Gain,
    clean: Float[Tensor, "N C H W"],
    *,
    epsilon: float,
    steps: int,
    step_size: float,
    device: torch.device,
    start: torch.Generator | None,
    progress: Progress | None = None,
) -> tuple[Float[Tensor, "N C H W"], Float[Tensor, "N steps"]]:
    """`I <- clip(I + step_size * sign(gradient))` into the ball and into [0, 1]; rounded to 8 bits inside the ball.

    Args:
        gain: called once a step.
        clean: on the CPU, multiples of 1/255.
        epsilon: radius of the ball in L-infinity, in units of the pixel range.
        steps: gradient steps.
        step_size: length of a step per pixel, in the same units.
        device: where `gain` computes.
        start: draws the first point of the ball; None begins at the clean images.
        progress: called with the number of images after each step.

    Returns:
        The moved images on the CPU, and the gain before each step.
    """
    low, high = (clean - epsilon).clamp(min=0.0).to(device), (clean + epsilon).clamp(max=1.0).to(device)
    pixels = clean
    if start is not None:
        # Drawn on the CPU, so that a seed means the same start on every device.
        pixels = clean + epsilon * (2.0 * torch.rand(clean.shape, generator=start) - 1.0)
    pixels = pixels.to(device).clamp(low, high)
    history = []
    for _ in range(steps):
        pixels = pixels.detach().requires_grad_(True)
        gained = gain(pixels)
        # Only with respect to the pixels: no weight ever receives a gradient.
        (gradient,) = torch.autograd.grad(gained.sum(), pixels)
        pixels = (pixels.detach() + step_size * gradient.sign()).clamp(low, high)
        history.append(gained.detach().cpu())
        if progress is not None:
            progress(len(clean))
    return _to_grid(pixels.cpu(), clean, epsilon), torch.stack(history, dim=1)


def moved(loaded: LoadedModel, samples: Sequence[Sample], pixels: Float[Tensor, "N C H W"]) -> list[Sample]:
    """The samples over these images.

    Raises:
        ModelError: the processor alters an image of the model's own resolution.
    """
    found = [
        replace(sample, image=_image(f"{sample.image.id if sample.image else sample.id}#moved", image))
        for sample, image in zip(samples, pixels, strict=True)
    ]
    again = loaded.adapter.pixels(loaded.processor, [one.image for one in found if one.image is not None])
    if again.shape != pixels.shape or not torch.allclose(again, pixels, rtol=0.0, atol=_ROUNDING):
        raise ModelError(
            f"the image processor of {loaded.name!r} alters an image that already has the model's resolution "
            f"({tuple(pixels.shape[1:])} became {tuple(again.shape[1:])}), so a moved image would not arrive as it "
            "was made. Expected size and crop_size in processor_config.json to agree."
        )
    return found


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Evaluation mode and no gradients for weights while open; then every flag as it was."""
    training = {module: module.training for module in model.modules()}
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    try:
        model.eval()
        for parameter in trained:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
        for module, mode in training.items():
            module.training = mode


def _to_grid(
    pixels: Float[Tensor, "N C H W"], clean: Float[Tensor, "N C H W"], epsilon: float
) -> Float[Tensor, "N C H W"]:
    """Nearest multiples of 1/255 that lie in the ball around the clean image, itself on that grid."""
    centre = (clean * 255).round()
    radius = math.floor(epsilon * 255 + _ROUNDING)
    return (pixels * 255).round().clamp(centre - radius, centre + radius).clamp(0, 255) / 255


def _image(name: str, pixels: Float[Tensor, "C H W"]) -> ImageFile:
    channels_last = (pixels * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous()
    stream = io.BytesIO()
    Image.fromarray(channels_last.numpy()).save(stream, format="PNG")
    return ImageFile(id=name, source=stream.getvalue())
