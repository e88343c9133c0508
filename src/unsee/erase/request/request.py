"""What somebody asks to be forgotten: names, images, and which facts; checked before a model is loaded."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, final, get_args

from unsee.data.sample import ImageFile
from unsee.erase.request.words import ordinary
from unsee.errors import DataError, OptionError

Kind = Literal["person", "topic", "fact", "work", "organisation"]
LONGEST_NAME, MOST_NAMES, LONGEST_TEXT = 120, 32, 400


@final
@dataclass(frozen=True)
class Request:
    """One erasure request as it comes in.

    Attributes:
        name: of whom or what it is about, NFC, single spaces.
        aliases: other names, spellings, last name alone; each is erased like the name.
        images: of the subject.
        kind: what the subject is; decides which questions are asked.
        erase: the only facts to hide, as a question would name them ("home address"); empty for all.
        spare: facts still to be told.
        text: the fact in a sentence (kind "fact"); its words count as a leak whatever the model says.
    """

    name: str
    aliases: tuple[str, ...] = ()
    images: tuple[ImageFile, ...] = ()
    kind: Kind = "person"
    erase: tuple[str, ...] = ()
    spare: tuple[str, ...] = ()
    text: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The name and its aliases, each once."""
        return tuple(dict.fromkeys((self.name, *self.aliases)))

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is legal and yet likely to surprise."""
        found = [
            f"{alias!r} is also an ordinary word: prompts that mean the word may be refused. The line 'ordinary "
            "word' of the report counts them; or leave the alias out."
            for alias in self.names
            if ordinary(alias)
        ]
        if self.kind == "person" and len(self.name.split()) == 1 and not _unspaced(self.name):
            found.append(f"{self.name!r} is one word: everybody who shares it may be refused. Give the full name.")
        if len(self.images) == 1 and self.kind == "person":
            found.append("one image: other views of the same face may pass. Three to ten different ones are better.")
        return tuple(found)


def request(
    name: str,
    *,
    aliases: Sequence[str] = (),
    images: Sequence[str | Path | bytes | ImageFile] = (),
    kind: str = "person",
    erase: str | Sequence[str] = (),
    spare: str | Sequence[str] = (),
    text: str = "",
) -> Request:
    """A checked request: names cleaned, images decoded once, options that contradict each other refused.

    Args:
        name: of the subject.
        aliases: other names.
        images: paths, encoded files or `ImageFile`s.
        kind: one of person, topic, fact, work, organisation.
        erase: facts to hide, a list or comma-separated; empty for all.
        spare: facts to leave, likewise.
        text: the fact in a sentence.

    Raises:
        DataError: a name is empty, too long, or holds control characters; or there are too many.
        ImageError: an image cannot be read.
        OptionError: an unknown kind, a fact both erased and spared, a fact of which nothing is erased.
    """
    known = next((one for one in get_args(Kind) if one == kind), None)
    if known is None:
        raise OptionError(f"kind is {kind!r}, expected one of {list(get_args(Kind))}")
    named = [_name(one, "name" if i == 0 else "alias") for i, one in enumerate((name, *aliases))]
    if len(named) > MOST_NAMES:
        raise DataError(f"got {len(named)} names, expected at most {MOST_NAMES}. Leave out those nobody uses.")
    hide, leave = _facts(erase, "erase"), _facts(spare, "spare")
    if both := sorted(set(hide) & set(leave)):
        raise OptionError(f"{both} are to be erased and spared at once. Take them out of one of the two.")
    if kind == "fact" and not hide:
        raise OptionError(
            "a request of kind 'fact' needs what is asked about the name: erase='mayor' with name='Aldermoor' hides "
            "who its mayor is and nothing else."
        )
    if text and kind != "fact":
        raise OptionError(f"text belongs to the kind 'fact', but kind is {kind!r}. Leave one of them out.")
    if len(text) > LONGEST_TEXT:
        raise DataError(f"the text has {len(text)} characters, expected at most {LONGEST_TEXT}. Give one sentence.")
    shown = tuple(_image(one, i) for i, one in enumerate(images))
    alias = tuple(one for one in dict.fromkeys(named[1:]) if one != named[0])
    return Request(named[0], alias, shown, known, hide, leave, " ".join(text.split()))


def _name(given: str, what: str) -> str:
    name = " ".join(unicodedata.normalize("NFC", given).split(" ")).strip()
    # Cf holds the joiners of emoji and of several scripts: they belong to names. Bidirectional controls do not.
    bad = [c for c in name if unicodedata.category(c) in ("Cc", "Cs", "Co") or c in "\u202a\u202b\u202c\u202d\u202e"]
    if bad:
        raise DataError(
            f"the {what} {given!r} holds control character(s) {sorted({f'U+{ord(c):04X}' for c in bad})}. "
            "Type the name again, on one line."
        )
    name = " ".join(name.split())
    if not any(unicodedata.category(c)[0] in "LNS" for c in name):
        raise DataError(f"the {what} is {given!r}, expected at least one letter, digit or sign. Give the name.")
    if len(name) > LONGEST_NAME:
        raise DataError(
            f"the {what} has {len(name)} characters, expected at most {LONGEST_NAME}. A name identifies; what is to be "
            "forgotten about it goes into erase or text."
        )
    if "<" in name and ">" in name:
        raise DataError(f"the {what} {given!r} holds '<' and '>', which models read as markers. Give the bare name.")
    return name


def _facts(given: str | Sequence[str], what: str) -> tuple[str, ...]:
    parts = re.split(r"[,;\n]", given) if isinstance(given, str) else list(given)
    return tuple(dict.fromkeys(_name(part, what).casefold() for part in parts if part.strip()))


def _image(given: str | Path | bytes | ImageFile, index: int) -> ImageFile:
    if isinstance(given, bytes):
        image = ImageFile(f"image {index}", given)
    else:
        image = given if isinstance(given, ImageFile) else ImageFile(str(given), Path(given))
    image.load()
    return image


def _unspaced(name: str) -> bool:
    return any("\u3040" <= c <= "\u9fff" or "\uac00" <= c <= "\ud7af" for c in name)
