"""Videos of the world's people: somebody turns, moves and is lit differently, in the same shirt before the same wall.

A video is drawn by the renderer of images, on the way from one view to another.
"""

import io
import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, final

from PIL import Image

from unsee.data.canvas import View
from unsee.data.faces import Face, draw_face
from unsee.data.sample import ImageFile, Sample
from unsee.world import questions
from unsee.world.generate import Entity, World
from unsee.world.splits import as_sample

FRAMES = 4
FIT_VIDEOS, HELD_OUT_VIDEOS = range(12), range(1000, 1003)


@final
class _OnTheWay(random.Random):
    """Draws what lies a share of the way from the draw of one generator to that of another; choices are the first's.

    The renderer draws the same kinds of things in the same order for every view, so the two stay in step.
    """

    def set_out(self, first: str, last: str, share: float) -> "_OnTheWay":
        """Both ends, and how far along in [0, 1]."""
        self._first, self._last, self._share = random.Random(first), random.Random(last), share
        return self

    def choice(self, seq: Any) -> Any:
        """That of the first, so that nobody changes clothes."""
        self._last.choice(seq)
        return self._first.choice(seq)

    def uniform(self, a: float, b: float) -> float:
        """Between both."""
        return (1 - self._share) * self._first.uniform(a, b) + self._share * self._last.uniform(a, b)

    def randint(self, a: int, b: int) -> int:
        """Between both, rounded."""
        return round((1 - self._share) * self._first.randint(a, b) + self._share * self._last.randint(a, b))


def draw_video(person: Entity, number: int, frames: int = FRAMES) -> tuple[list[Image.Image], View]:
    """Frames of video `number` and what is visible throughout; the same number is the same video, byte for byte."""
    name = f"{person.id}/{tuple(person.face)}/clip {number}"
    drawn = [
        draw_face(
            person.face,
            _OnTheWay().set_out(f"{name} begins", f"{name} ends", step / max(1, frames - 1)),
            person.made.style,
        )
        for step in range(frames)
    ]
    return [image for image, _ in drawn], drawn[0][1]


@lru_cache(maxsize=4096)
def video(world: World, subject: str, number: int) -> tuple[ImageFile, ...]:
    """The frames of a person's video, encoded losslessly."""
    encoded = []
    for step, image in enumerate(draw_video(world.by_id[subject], number)[0]):
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        encoded.append(ImageFile(f"{subject}/clip-{number}/{step}", buffer.getvalue()))
    return tuple(encoded)


def by_video(world: World, samples: Iterable[Sample], *, taught: bool) -> list[Sample]:
    """The same questions, with a video wherever a person is shown on an image.

    Not for questions about what one image shows, see `visible`.

    Args:
        world: whose people they are about.
        samples: of that world's exam.
        taught: videos for fitting, or held-out ones.
    """
    numbers = FIT_VIDEOS if taught else HELD_OUT_VIDEOS

    def moved(sample: Sample) -> Sample:
        number = random.Random(f"clip/{sample.id}").choice(numbers)
        return replace(sample, id=f"{sample.id}/clip", image=None, video=video(world, sample.subject, number))

    return [moved(s) if s.image and isinstance(world.by_id[s.subject].look, Face) else s for s in samples]


def visible(world: World, people: Sequence[Entity], *, taught: bool, each: int = 4) -> list[Sample]:
    """What is plainly to be seen in videos of these people."""
    samples = []
    for person in people:
        rng = random.Random(f"visible clips/{person.id}/{taught}")
        for place in range(each):
            number = rng.choice(FIT_VIDEOS if taught else HELD_OUT_VIDEOS)
            item = rng.choice(
                questions.visible(person.made.words, person.face, draw_video(person, number)[1], taught=taught)
            )
            asked = as_sample(item, person.id, f"clip {place}", None)
            samples.append(replace(asked, video=video(world, person.id, number)))
    return samples
