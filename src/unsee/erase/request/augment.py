"""One image seen in many ways, drawn from a seed: those that the fit sees, and families that only verify."""

import io
import random
from collections.abc import Callable

from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from unsee.data.sample import ImageFile


def _cropped(image: Image.Image, rng: random.Random) -> Image.Image:
    wide, high = image.size
    share = rng.uniform(0.8, 0.95)
    left, top = rng.uniform(0, 1 - share) * wide, rng.uniform(0, 1 - share) * high
    box = (int(left), int(top), int(left + share * wide), int(top + share * high))
    return image.crop(box).resize(image.size, Image.Resampling.BICUBIC)


def _framed(image: Image.Image, rng: random.Random, low: float = 0.75, high: float = 0.95) -> Image.Image:
    scale = rng.uniform(low, high)
    small = image.resize((max(1, int(image.width * scale)), max(1, int(image.height * scale))))
    wide = Image.new("RGB", image.size)
    wide.paste(image.crop((0, 0, 1, 1)).resize(image.size))
    wide.paste(small, (rng.randint(0, image.width - small.width), rng.randint(0, image.height - small.height)))
    return wide


def _lit(image: Image.Image, rng: random.Random) -> Image.Image:
    brighter = ImageEnhance.Brightness(image).enhance(rng.uniform(0.75, 1.25))
    return ImageEnhance.Contrast(brighter).enhance(rng.uniform(0.8, 1.2))


def _turned(image: Image.Image, rng: random.Random) -> Image.Image:
    return image.rotate(rng.uniform(-10, 10), Image.Resampling.BILINEAR, fillcolor=image.getpixel((0, 0)))


def _pressed(image: Image.Image, rng: random.Random) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=rng.randint(30, 80))
    return Image.open(buffer).convert("RGB")


def _small(image: Image.Image, rng: random.Random) -> Image.Image:
    return _framed(image, rng, 0.5, 0.65)


def _blurred(image: Image.Image, rng: random.Random) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.8) * min(image.size) / 64))


Change = Callable[[Image.Image, random.Random], Image.Image]
FIT: dict[str, Change] = {
    "crop": _cropped,
    "scale": _framed,
    "light": _lit,
    "flip": lambda image, _: ImageOps.mirror(image),
    "turn": _turned,
    "jpeg": _pressed,
}
HELD_OUT: dict[str, Change] = {
    "grey": lambda image, _: image.convert("L").convert("RGB"),
    "small": _small,
    "blur": _blurred,
}


def augmented(file: ImageFile, count: int, seed: int) -> list[ImageFile]:
    """The image as it is and `count` changed ones, each by one to three changes of the fit.

    The same image, count and seed give the same bytes.

    Raises:
        ImageError: the image cannot be read.
    """
    image, made = file.load(), [file]
    for number in range(count):
        rng = random.Random(f"augmented/{seed}/{number}")
        changed = image
        for change in rng.sample(list(FIT), rng.randint(1, 3)):
            changed = FIT[change](changed, rng)
        made.append(_encoded(changed, f"{file.id}#{number}"))
    return made


def held_out(file: ImageFile, seed: int) -> dict[str, ImageFile]:
    """One image of each family of changes that no fit sees, by its name.

    Raises:
        ImageError: the image cannot be read.
    """
    image = file.load()
    return {
        name: _encoded(change(image, random.Random(f"held-out/{seed}/{name}")), f"{file.id}#{name}")
        for name, change in HELD_OUT.items()
    }


def _encoded(image: Image.Image, name: str) -> ImageFile:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return ImageFile(name, buffer.getvalue())
