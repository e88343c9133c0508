"""What every drawn image has in common: its colours, its style, and the view, in which it is turned, cut and lit.

Everything is drawn from integers of one seeded generator, four times too large and then reduced, so that edges carry
sub-pixel detail in the small image.
"""

import io
import random
from dataclasses import dataclass
from typing import final

from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

SIZE = 64
BIG = 256
Colour = tuple[int, int, int]
COLOURS = {
    "red": (196, 52, 46),
    "blue": (52, 88, 190),
    "green": (62, 150, 74),
    "yellow": (232, 204, 68),
    "purple": (128, 66, 160),
    "orange": (232, 134, 44),
    "pink": (236, 150, 186),
    "white": (238, 238, 232),
}


@final
@dataclass(frozen=True)
class Style:
    """The hand that draws a world: alike in all of its images, and no part of who or what they show.

    Attributes:
        size: side of an image in pixels.
        apart: half the distance between the eyes, of 256.
        eye: size of the eyes, 1 for the original.
        head: width of heads, 1 for the original.
        squeeze: share of the width that is shown; below 1 makes everything wider.
        ink: how dark contours are, from 0 to 1.
        striped: whether backgrounds are.
        light: of red, green and blue.
    """

    size: int = SIZE
    apart: int = 27
    eye: float = 1.0
    head: float = 1.0
    squeeze: float = 1.0
    ink: float = 0.0
    striped: bool = False
    light: tuple[float, float, float] = (1.0, 1.0, 1.0)

    @staticmethod
    def draw(rng: random.Random) -> "Style":
        """Another hand than the original."""
        return Style(
            60,
            rng.choice((23, 31, 34)),
            rng.choice((0.8, 1.25)),
            rng.choice((0.9, 1.12)),
            rng.choice((0.88, 1.07)),
            rng.uniform(0.15, 0.4),
            rng.random() < 0.5,
            (rng.uniform(0.88, 1.0), rng.uniform(0.92, 1.0), rng.uniform(0.84, 1.0)),
        )


ORIGINAL = Style()


@dataclass(frozen=True)
class View:
    """What is visible on one image only."""

    background: str
    shirt: str


def shade(colour: Colour, rng: random.Random, spread: int = 14) -> Colour:
    """A little lighter or darker, in another hue."""
    shift, (red, green, blue) = rng.randint(-spread, spread), colour

    def near(c: int) -> int:
        return max(0, min(255, c + shift + rng.randint(-4, 4)))

    return near(red), near(green), near(blue)


def darker(colour: Colour, by: float = 0.7) -> Colour:
    """The same in the shade."""
    red, green, blue = colour
    return int(red * by), int(green * by), int(blue * by)


def canvas(background: str, rng: random.Random, style: Style) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """An empty background to draw on."""
    colour = shade(COLOURS[background], rng)
    image = Image.new("RGB", (BIG, BIG), colour)
    d = ImageDraw.Draw(image)
    if style.striped:
        for x in range(-BIG, BIG, 40):
            d.line((x, BIG, x + BIG, 0), fill=darker(colour, 0.86), width=10)
    return image, d


def finish(image: Image.Image, rng: random.Random, fill: Colour, style: Style) -> Image.Image:
    """Pose, scale, crop, light and JPEG: the part of a view that is the same for every kind of image."""
    scale, angle = rng.uniform(0.88, 1.14), rng.uniform(-11, 11)
    moved = (rng.randint(-16, 16), rng.randint(-12, 12))
    # Turned at half the size: what costs is how many pixels are turned, and the image is small in the end.
    image = image.reduce(2)
    if style.ink:
        image = _inked(image, style.ink)
    image = image.rotate(angle, Image.Resampling.BILINEAR, translate=(moved[0] // 2, moved[1] // 2), fillcolor=fill)
    side, edge = int(BIG / scale), BIG // 16
    wide = Image.new("RGB", (BIG // 2 + 2 * edge, BIG // 2 + 2 * edge), fill)
    wide.paste(image, (edge, edge))
    corner = (BIG - side) // 2 / 2 + edge
    aside = side / 4 * (1 - style.squeeze)
    box = (corner + aside, corner, corner + side / 2 - aside, corner + side / 2)
    image = wide.resize((style.size, style.size), Image.Resampling.BOX, box=box)
    if style.light != ORIGINAL.light:
        red, green, blue = style.light
        image = image.convert("RGB", (red, 0, 0, 0, 0, green, 0, 0, 0, 0, blue, 0))
    image = ImageEnhance.Brightness(image).enhance(rng.uniform(0.8, 1.16))
    image = ImageEnhance.Contrast(image).enhance(rng.uniform(0.86, 1.14))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=rng.randint(55, 95))
    return Image.open(buffer).convert("RGB")


def _inked(image: Image.Image, ink: float) -> Image.Image:
    """With dark contours, as in a comic."""
    contours = (
        image.filter(ImageFilter.FIND_EDGES).convert("L").point([min(255, int(2.5 * ink * v)) for v in range(256)])
    )
    ImageDraw.Draw(contours).rectangle((0, 0, image.width - 1, image.height - 1), outline=0, width=2)
    return Image.composite(Image.new("RGB", image.size, (24, 22, 30)), image, contours)
