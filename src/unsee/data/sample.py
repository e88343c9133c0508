"""One question about one subject, the image it may carry, and sets of them that cannot overlap."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar, get_args

from PIL import Image

from unsee.data.images import decode
from unsee.errors import DataError

Form = Literal["generation", "classification", "cloze"]
One = TypeVar("One")


@dataclass(frozen=True)
class ImageFile:
    """An image that is decoded only when it is needed.

    Attributes:
        id: what reports call it; a path, or a name inside a data set.
        source: the encoded file, or where it lies.
    """

    id: str
    source: bytes | Path = field(repr=False)

    @property
    def encoded(self) -> bytes:
        """The file's bytes."""
        return self.source if isinstance(self.source, bytes) else self.source.read_bytes()

    def load(self) -> Image.Image:
        """The pixels as `unsee.data.images.decode` gives them: upright RGB.

        Raises:
            ImageError: the file is missing, damaged, too large, or of a format that is not read.
        """
        return decode(self.source, self.id)


@dataclass(frozen=True)
class Turn:
    """What was said in one turn of a conversation.

    Attributes:
        role: who said it.
        parts: texts and images in order.
    """

    role: Literal["system", "user", "assistant"]
    parts: tuple[str | ImageFile, ...]

    @property
    def text(self) -> str:
        """The last text, which in a user's turn is what is asked; empty where there is none."""
        return next((part for part in reversed(self.parts) if isinstance(part, str)), "")


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
        aliases: other wordings of `gold` that give the fact away as well.
        role: what the question is for, as its data set says: forget, retain, neighbour, general, ...
        turns: the conversation that ends in the question, where it is more than `earlier` can say: a system prompt,
            several images, texts between them. `question` is put in the place of the last text, and `image` is the
            first of the images.
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
    aliases: tuple[str, ...] = ()
    role: str | None = None
    turns: tuple[Turn, ...] = ()

    @staticmethod
    def of_turns(turns: Sequence[Turn], id: str = "asked", subject: str = "asked") -> "Sample":
        """A conversation that ends in the question, about a subject of which no fact is known."""
        shown = next((part for turn in turns for part in turn.parts if isinstance(part, ImageFile)), None)
        return Sample(id, subject, turns[-1].text, "", "", image=shown, turns=tuple(turns))

    @property
    def accepted(self) -> tuple[str, ...]:
        """Every wording that gives the fact away, `gold` first; empty where there is none."""
        return tuple(dict.fromkeys(words for words in (self.gold, *self.aliases) if words))

    @property
    def shown(self) -> tuple[ImageFile, ...]:
        """The images, or the frames of the video; empty for a text-only question."""
        if self.turns:
            return tuple(part for turn in self.turns for part in turn.parts if isinstance(part, ImageFile))
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
        if self.turns:
            self._check_turns()
        if self.form == "classification" and (not self.options or self.answer not in self.options):
            raise DataError(
                f"sample {self.id!r}: a classification needs options that contain its answer; "
                f"got answer {self.answer!r} and options {sorted(self.options or {})}"
            )

    def _check_turns(self) -> None:
        if self.turns[-1].role != "user" or not self.turns[-1].text:
            raise DataError(f"sample {self.id!r}: its turns end in {self.turns[-1]!r}, expected the user's question")
        if self.earlier or self.video or self.image != next(iter(self.shown), None):
            raise DataError(
                f"sample {self.id!r}: with turns, expected image to be their first and no earlier and no video. "
                "Put what is shown into the turns."
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


def spread(samples: Sequence[One], count: int) -> list[One]:
    """At most `count` of them from the first to nearly the last, `floor(i N / n)`: gaps differ by one at most."""
    taken = min(count, len(samples))
    return [samples[i * len(samples) // taken] for i in range(taken)]
