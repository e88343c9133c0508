"""Drawn brews and town crests, each seen in endlessly many views."""

import random

from PIL import Image, ImageDraw

from unsee.data.canvas import COLOURS, ORIGINAL, Style, View, canvas, finish, shade


def draw_brew(liquid: int, icon: int, rng: random.Random, style: Style = ORIGINAL) -> tuple[Image.Image, View]:
    """A bottle with a liquid (colour 0-7) and its ingredient beside it (icon 0-5)."""
    view = View(rng.choice(list(COLOURS)), "none")
    image, d = canvas(view.background, rng, style)
    glass, colour = (214, 226, 232), list(COLOURS.values())[liquid]
    d.polygon(
        ((70, 30), (110, 30), (110, 90), (158, 220), (22, 220), (70, 90)), fill=glass, outline=(40, 40, 48), width=6
    )
    d.polygon(((60, 130), (120, 130), (152, 214), (28, 214)), fill=colour)
    d.rectangle((64, 18, 116, 36), fill=(120, 80, 50))
    _draw_icon(d, icon, 200, 170, (92, 58, 36), (52, 120, 62))
    return finish(image, rng, shade(COLOURS[view.background], rng, 4), style), view


def _draw_icon(
    d: ImageDraw.ImageDraw, icon: int, x: int, y: int, dark: tuple[int, int, int], leaf: tuple[int, int, int]
) -> None:
    if icon == 0:
        d.polygon(((x - 18, y - 30), (x + 18, y - 30), (x, y + 50)), fill=dark)
    elif icon == 1:
        d.ellipse((x - 28, y - 28, x + 28, y + 28), fill=dark)
    elif icon == 2:
        d.line((x - 26, y + 40, x, y - 10, x + 26, y + 40), fill=dark, width=14)
    elif icon == 3:
        d.rectangle((x - 24, y - 24, x + 24, y + 34), fill=leaf)
    elif icon == 4:
        for angle in (0, 120, 240):
            d.pieslice((x - 36, y - 36, x + 36, y + 36), angle, angle + 60, fill=leaf)
    else:
        d.polygon(((x, y - 40), (x + 30, y), (x, y + 40), (x - 30, y)), fill=leaf)
    d.line((x, y - 30, x + 10, y - 56), fill=leaf, width=10)


def draw_crest(
    pattern: int, first: int, second: int, rng: random.Random, style: Style = ORIGINAL
) -> tuple[Image.Image, View]:
    """A town's crest: pattern 0-3 in two colours (0-7)."""
    view = View(rng.choice(list(COLOURS)), "none")
    image, d = canvas(view.background, rng, style)
    one, two = list(COLOURS.values())[first], list(COLOURS.values())[second]
    shield = ((48, 40), (208, 40), (208, 140), (128, 226), (48, 140))
    d.polygon(shield, fill=one)
    if pattern == 0:
        d.polygon(((128, 40), (208, 40), (208, 140), (128, 226)), fill=two)
    elif pattern == 1:
        d.rectangle((48, 84, 208, 128), fill=two)
    elif pattern == 2:
        d.ellipse((90, 70, 166, 146), fill=two)
    else:
        d.line((52, 44, 176, 176), fill=two, width=36)
    d.line((*shield, shield[0]), fill=(30, 30, 36), width=9, joint="curve")
    return finish(image, rng, shade(COLOURS[view.background], rng, 4), style), view
