"""One question about one subject, the image it may carry, and sets of them that cannot overlap."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from PIL import Image

from unsee.data.images import decode
from unsee.errors import DataError

Form = Literal["generation", "classification", "cloze"]


@dataclass(frozen=True)
class ImageFile:
    """An image that is decoded only when it is needed.

    Attributes:
        id: what reports call it; a path, or a name inside a data set.
        source: the encoded file, or where it lies.
    """

    id: str
    source: bytes | Path = field(repr=False)

    def load(self) -> Image.Image:
        """The pixels as `unsee.data.images.decode` gives them: upright RGB.

        Raises:
            ImageError: the file is missing, damaged, too large, or of a format that is not read.
        """
        return decode(self.source, self.id)


@dataclass(frozen=True)
class Sample:
    """One question.

    Attributes:
        id: unique within its data set.
        subject: pseudonymous id of whom or what it is about; splits are disjoint by it.
        question: the bare question, without chat template and without the form's instruction.
        answer: the full answer the model was taught: a sentence, a word, or an option letter.
        gold: the words that give the fact away; an answer that contains them leaks it.
        form: how it is asked; decides instruction and scoring.
        image: the image, or None for a text-only question.
        options: letter to text, for classification only.
        earlier: turns before the question, each what was asked and what was answered.
        video: frames in the order of time, of one size; empty where nothing moves. In place of an image.
    """

    id: str
    subject: str
    question: str
    answer: str
    gold: str
    form: Form = "generation"
    image: ImageFile | None = None
    options: dict[str, str] | None = None
    earlier: tuple[tuple[str, str], ...] = ()
    video: tuple[ImageFile, ...] = ()

    @property
    def shown(self) -> tuple[ImageFile, ...]:
        """The image, or the frames of the video; empty for a text-only question."""
        return self.video if self.image is None else (self.image,)

    def __post_init__(self) -> None:
        if self.form not in get_args(Form):
            raise DataError(f"sample {self.id!r}: form is {self.form!r}, expected one of {list(get_args(Form))}")
        if not self.question.strip():
            raise DataError(f"sample {self.id!r}: the question is empty")
        if self.image is not None and self.video:
            raise DataError(
                f"sample {self.id!r}: it has an image and a video of {len(self.video)} frames, expected one of them. "
                "Ask about each in a sample of its own."
            )
        if self.form == "classification" and (not self.options or self.answer not in self.options):
            raise DataError(
                f"sample {self.id!r}: a classification needs options that contain its answer; "
                f"got answer {self.answer!r} and options {sorted(self.options or {})}"
            )


def subjects(samples: Iterable[Sample]) -> list[str]:
    """Ids of the subjects, in order of first appearance."""
    return list(dict.fromkeys(sample.subject for sample in samples))


def require_no_videos(samples: Sequence[Sample], what: str) -> None:
    """Refuse videos where only images are taken, so that nobody is answered without what was shown.

    Raises:
        DataError: names the first.
    """
    moving = next((sample for sample in samples if sample.video), None)
    if moving is not None:
        raise DataError(
            f"sample {moving.id!r} has a video, but {what} takes none. Leave it out, or show one image of it."
        )


def require_some(samples: Sequence[Sample], what: str) -> None:
    """Refuse an empty set.

    Raises:
        DataError: there is no sample.
    """
    if not samples:
        raise DataError(f"the {what} set is empty: at least one question is needed. Check its path and filters.")


def require_disjoint(first: Iterable[Sample], second: Iterable[Sample], names: tuple[str, str]) -> None:
    """Refuse two sets that share a subject.

    Raises:
        DataError: names the shared subjects.
    """
    shared = sorted(set(subjects(first)) & set(subjects(second)))
    if shared:
        shown = ", ".join(shared[:5]) + (f" and {len(shared) - 5} more" if len(shared) > 5 else "")
        raise DataError(
            f"{len(shared)} subject(s) are in both the {names[0]} and the {names[1]} set: {shown}. "
            "A subject is either forgotten or kept; remove it from one of them."
        )


def spread(samples: Sequence[Sample], count: int) -> list[Sample]:
    """At most `count` samples from the first to nearly the last, `floor(i N / n)`: gaps differ by one at most."""
    taken = min(count, len(samples))
    return [samples[i * len(samples) // taken] for i in range(taken)]
