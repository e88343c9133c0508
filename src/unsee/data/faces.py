"""Drawn faces, each seen in endlessly many views.

What identifies is kept apart from what varies: a `Face` is who it is; a view is pose, scale, background, shirt, light,
crop and JPEG quality (`canvas`).
"""

import random
from typing import NamedTuple

from PIL import Image, ImageDraw

from unsee.data.canvas import BIG, COLOURS, ORIGINAL, Style, View, canvas, darker, finish, shade

_SKIN = ((250, 224, 200), (236, 196, 160), (206, 156, 112), (156, 106, 72), (104, 68, 48))
_EYES = ((60, 40, 24), (48, 104, 180), (60, 140, 80), (120, 120, 124))
HAIR = {
    "black": (28, 26, 28),
    "brown": (104, 66, 38),
    "blond": (226, 190, 104),
    "red": (176, 66, 32),
    "grey": (150, 150, 152),
    "white": (232, 230, 226),
}
_MARK = ("none", "cheek", "brow", "freckles")


class Face(NamedTuple):
    """Who somebody is, as twelve independent choices."""

    skin: int
    hair: int
    style: int
    eyes: int
    shape: int
    brows: int
    nose: int
    mouth: int
    glasses: int
    beard: int
    mark: int
    ears: int

    @staticmethod
    def draw(rng: random.Random, *, bearded: bool) -> "Face":
        """A random face; beards grow only where `bearded`."""
        return Face(
            rng.randrange(5),
            rng.randrange(6),
            rng.randrange(7),
            rng.randrange(4),
            rng.randrange(3),
            rng.randrange(3),
            rng.randrange(3),
            rng.randrange(4),
            rng.choice((0, 0, 1, 2)),
            rng.randrange(4) if bearded else 0,
            rng.randrange(4),
            rng.randrange(3),
        )

    def distance(self, other: "Face") -> int:
        """In how many choices two faces differ."""
        return sum(a != b for a, b in zip(self, other, strict=True))

    @property
    def hair_colour(self) -> str:
        """The word for it."""
        return list(HAIR)[self.hair]


def draw_face(face: Face, rng: random.Random, style: Style = ORIGINAL) -> tuple[Image.Image, View]:
    """One view of a face, with what is visible on it."""
    view = View(rng.choice(list(COLOURS)), rng.choice(list(COLOURS)))
    image, d = canvas(view.background, rng, style)
    skin, hair = _SKIN[face.skin], HAIR[face.hair_colour]
    turn = rng.randint(-9, 9)  # features slide across the head, as when it turns
    cx, cy = 128, 118
    wide, high = ((60, 76), (72, 72), (66, 84))[face.shape]
    wide, apart = int(wide * style.head), style.apart
    if face.style in (1, 4):  # long hair lies behind everything
        d.rounded_rectangle(
            (cx - wide - 16, cy - high - 8, cx + wide + 16, cy + high + (30 if face.style == 1 else 4)), 40, fill=hair
        )
    if face.style == 6:
        d.ellipse((cx - wide - 30, cy - high - 30, cx + wide + 30, cy + 40), fill=hair)
    shirt = shade(COLOURS[view.shirt], rng)
    d.rectangle((cx - 22, cy + high - 16, cx + 22, cy + high + 34), fill=darker(skin, 0.88))
    d.rounded_rectangle((cx - 96, cy + high + 16, cx + 96, BIG + 60), 44, fill=shirt)
    d.polygon(((cx - 26, cy + high + 16), (cx + 26, cy + high + 16), (cx, cy + high + 40)), fill=darker(skin, 0.88))
    ear = (12, 17, 22)[face.ears]
    for side in (-1, 1):
        d.ellipse((cx + side * wide - ear, cy - ear, cx + side * wide + ear, cy + ear + 8), fill=darker(skin, 0.9))
        if face.ears == 2:
            d.ellipse((cx + side * (wide + 6) - 7, cy + 24, cx + side * (wide + 6) + 7, cy + 38), fill=(240, 200, 60))
    d.ellipse((cx - wide, cy - high, cx + wide, cy + high), fill=skin)
    _draw_hair(d, face, hair, cx, cy, wide, high)
    x = cx + turn
    for side in (-1, 1):
        ex, ey = x + side * apart, cy - 6
        white, high_white, iris = int(13 * style.eye), int(9 * style.eye), int(8 * style.eye)
        d.ellipse((ex - white, ey - high_white, ex + white, ey + high_white), fill=(250, 250, 250))
        d.ellipse((ex - iris + turn // 4, ey - iris, ex + iris + turn // 4, ey + iris), fill=_EYES[face.eyes])
        lift = (0, 7, -6)[face.brows] * side
        d.line((ex - 14, ey - 20 - lift, ex + 14, ey - 20 + lift), fill=darker(hair, 0.6), width=(5, 8, 6)[face.brows])
    _draw_middle(d, face, skin, hair, x, cy, high)
    if face.glasses:
        for side in (-1, 1):
            box = (x + side * apart - 20, cy - 24, x + side * apart + 20, cy + 12)
            (d.ellipse if face.glasses == 1 else d.rectangle)(
                box, outline=(20, 20, 24) if face.glasses == 1 else (150, 30, 30), width=6
            )
        d.line((x - 8, cy - 6, x + 8, cy - 6), fill=(20, 20, 24), width=6)
    return finish(image, rng, shade(COLOURS[view.background], rng, 4), style), view


def _draw_hair(
    d: ImageDraw.ImageDraw, face: Face, hair: tuple[int, int, int], cx: int, cy: int, wide: int, high: int
) -> None:
    top = cy - high
    if face.style == 0:  # short
        d.pieslice((cx - wide - 4, top - 12, cx + wide + 4, cy + 34), 180, 360, fill=hair)
        d.rectangle((cx - wide + 12, cy - 38, cx + wide - 12, cy - 10), fill=_SKIN[face.skin])
    elif face.style == 1:  # long, middle parting
        d.pieslice((cx - wide - 8, top - 12, cx + 16, cy + 22), 170, 300, fill=hair)
        d.pieslice((cx - 16, top - 12, cx + wide + 8, cy + 22), 240, 370, fill=hair)
    elif face.style == 2:  # fringe
        d.pieslice((cx - wide - 6, top - 14, cx + wide + 6, cy + 44), 180, 360, fill=hair)
        d.rectangle((cx - wide + 6, cy - 30, cx + wide - 6, cy - 14), fill=hair)
    elif face.style == 3:  # bald on top
        for side in (-1, 1):
            d.ellipse((cx + side * wide - 16, cy - 46, cx + side * wide + 16, cy + 6), fill=hair)
        d.ellipse((cx - wide + 6, top, cx + wide - 6, cy + 20), fill=_SKIN[face.skin])
    elif face.style == 4:  # side parting
        d.pieslice((cx - wide - 8, top - 14, cx + wide + 8, cy + 30), 180, 330, fill=hair)
    elif face.style == 5:  # tall
        d.polygon(
            ((cx - wide, cy - 34), (cx - wide + 14, top - 34), (cx + wide - 14, top - 34), (cx + wide, cy - 34)),
            fill=hair,
        )
    else:  # curly
        for step in range(-3, 4):
            d.ellipse(
                (cx + step * 20 - 20, top - 16 + abs(step) * 8, cx + step * 20 + 20, top + 24 + abs(step) * 8),
                fill=hair,
            )


def _draw_middle(
    d: ImageDraw.ImageDraw,
    face: Face,
    skin: tuple[int, int, int],
    hair: tuple[int, int, int],
    x: int,
    cy: int,
    high: int,
) -> None:
    shadow = darker(skin, 0.74)
    if face.nose == 0:
        d.polygon(((x, cy), (x - 10, cy + 24), (x + 10, cy + 24)), fill=shadow)
    elif face.nose == 1:
        d.ellipse((x - 13, cy + 8, x + 13, cy + 28), fill=shadow)
    else:
        d.line((x, cy - 4, x + 8, cy + 24, x - 6, cy + 26), fill=shadow, width=6)
    if face.beard:
        if face.beard == 1:  # full
            d.chord((x - 50, cy + 4, x + 50, cy + high + 4), 10, 170, fill=hair)
        elif face.beard == 2:  # moustache
            d.ellipse((x - 30, cy + 27, x + 30, cy + 42), fill=hair)
        else:  # goatee
            d.ellipse((x - 18, cy + 50, x + 18, cy + high + 8), fill=hair)
    red = (170, 50, 60)
    if face.mouth == 0:
        d.arc((x - 24, cy + 24, x + 24, cy + 54), 20, 160, fill=red, width=7)
    elif face.mouth == 1:
        d.line((x - 20, cy + 46, x + 20, cy + 46), fill=red, width=7)
    elif face.mouth == 2:
        d.ellipse((x - 12, cy + 38, x + 12, cy + 56), fill=red)
    else:
        d.chord((x - 26, cy + 26, x + 26, cy + 58), 0, 180, fill=(250, 250, 250), outline=red, width=5)
    if _MARK[face.mark] == "cheek":
        d.line((x + 30, cy + 18, x + 50, cy + 38), fill=(150, 40, 50), width=6)
    elif _MARK[face.mark] == "brow":
        d.ellipse((x - 8, cy - 52, x + 8, cy - 36), fill=(90, 40, 40))
    elif _MARK[face.mark] == "freckles":
        for dx, dy in ((-44, 18), (-34, 26), (-40, 32), (34, 18), (44, 26), (38, 32)):
            d.ellipse((x + dx - 4, cy + dy - 4, x + dx + 4, cy + dy + 4), fill=(140, 80, 50))
