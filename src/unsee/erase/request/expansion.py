"""From a request to prompts: every fact in several wordings, by name and by image, in many forms of asking."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, final

from unsee.data.sample import ImageFile, Sample
from unsee.data.text import bare_words
from unsee.erase.request.aliases import misspelled, spellings
from unsee.erase.request.augment import augmented, held_out
from unsee.erase.request.bank import BANKS, FRAMES, FRAMES_HELD, Bank
from unsee.erase.request.forms import FORMS, Asked, Form, in_form
from unsee.erase.request.request import Kind, Request
from unsee.errors import OptionError

Way = Literal["name", "image"]
NAME, ANYTHING = "name", ""
"""Facts that are no noun: whom an image shows, and anything at all."""


@final
@dataclass(frozen=True)
class Prompt:
    """One prompt of a request.

    Attributes:
        sample: what is asked; its subject is that of the request.
        fact: which fact is asked for, `ANYTHING`, or `NAME` for whom an image shows.
        family: form of asking, spelling, or change of the image.
        way: by what the subject is given.
        held: whether wording and family are in no fit.
        spared: whether the answer is still to be given.
    """

    sample: Sample
    fact: str
    family: str
    way: Way
    held: bool
    spared: bool = False


@final
@dataclass(frozen=True)
class Scope:
    """Which facts are hidden, and which are still told."""

    hidden: tuple[str, ...]
    spared: tuple[str, ...]
    selective: bool

    @property
    def nouns(self) -> tuple[str, ...]:
        """What is hidden; `ANYTHING` among it unless the request is selective, as its answer is then not only that."""
        return self.hidden if self.selective else (ANYTHING, *self.hidden)


def scope(request: Request) -> Scope:
    """What a request hides and spares, among what its kind is asked about and the facts it names itself.

    Raises:
        OptionError: nothing is left to hide.
    """
    known = [fact.noun for fact in BANKS[request.kind].facts]
    if request.erase:
        rest = [noun for noun in known if noun not in request.erase]
        return Scope(request.erase, tuple(dict.fromkeys([*request.spare, *rest])), True)
    hidden = tuple(noun for noun in known if noun not in request.spare)
    if not hidden:
        raise OptionError("every fact is spared, so nothing is left to hide. Spare fewer.")
    return Scope(hidden, request.spare, bool(request.spare))


def questions(bank: Bank, noun: str, subject: str, held: bool) -> list[str]:
    """Wordings of one fact; `held` gives those that no fit sees."""
    if noun == NAME:
        return list(bank.naming_held if held else bank.naming)
    if noun == ANYTHING:
        return [text.format(s=subject) for text in (bank.about_held if held else bank.about)]
    fact = bank.fact(noun)
    frames = [frame.format(s=subject, n=noun) for frame in (FRAMES_HELD if held else FRAMES)]
    direct = [text.format(s=subject) for text in (fact.held if held else fact.fit)]
    return [*direct[:1], *frames[:1], *direct[1:], *frames[1:]]


def wording_words(kind: Kind, noun: str) -> set[str]:
    """Every word with which a fact is asked for, in whatever wording."""
    texts = [text for held in (False, True) for text in questions(BANKS[kind], noun, " ", held)]
    return {word for text in texts for word in bare_words(text).split()}


def bare(request: Request, subject: str, *, wordings: int = 2, names: int = 3, images: int = 2) -> list[Prompt]:
    """Every fact of the kind in plain wordings of the fit, by its names and by the images as they are.

    Args:
        request: the request.
        subject: its pseudonymous id.
        wordings: of each fact.
        names: how many of its names are used.
        images: how many of the images are asked about.
    """
    bank, parts = BANKS[request.kind], scope(request)
    nouns = [(noun, False) for noun in (ANYTHING, *parts.hidden)] + [(noun, True) for noun in parts.spared]
    shown: list[tuple[Way, str, str, ImageFile | None]] = []
    for number, name in enumerate(request.names[:names]):
        shown.append(("name", "alias" if number else "plain", name, None))
    for image in request.images[:images]:
        shown.append(("image", "plain", bank.deictic, image))
    found: list[Prompt] = []
    for way, family, called, one in shown:
        for noun, spared in [*nouns, *([(NAME, False)] if one else [])]:
            for text in questions(bank, noun, called, False)[: wordings + (noun in (NAME, ANYTHING))]:
                sample = Sample(f"{subject}/{called}/{len(found)}", subject, text, "", "", image=one)
                found.append(Prompt(sample, noun, family, way, False, spared))
    return found


def expand(
    request: Request,
    subject: str,
    *,
    held: bool,
    each: int = 6,
    views: int = 12,
    nouns: Sequence[str] | None = None,
    seed: int = 0,
) -> list[Prompt]:
    """Prompts about the subject in every family of the fit, or in every family that is held out.

    Facts and wordings are dealt out in turn, so that each family asks for as many of them as it can.

    Args:
        request: the request.
        subject: its pseudonymous id.
        held: wordings, forms, spellings and changes of images that no fit sees, or those of the fit.
        each: prompts of each family and way.
        views: changed images, of all images of the request together.
        nouns: only these of the hidden facts.
        seed: of every draw.
    """
    bank, parts = BANKS[request.kind], scope(request)
    rng = random.Random(f"expand/{request.name}/{held}/{seed}")  # never the pseudonym, whose key is random
    hidden = [noun for noun in parts.nouns if nouns is None or noun in nouns] or list(parts.nouns)
    asked = _dealt([(noun, False) for noun in hidden], rng)
    spared = _dealt([(noun, True) for noun in parts.spared], rng)
    forms = [form for form in FORMS if form.held is held]
    found: list[Prompt] = []

    def add(family: str, form: Form, way: Way, called: str, image: ImageFile | None) -> None:
        for deal in (asked, spared) if parts.spared else (asked,):
            noun, spare = next(deal)
            if way == "image" and noun == ANYTHING and rng.random() < 0.7:
                noun = NAME
            pool = questions(bank, noun, called, held)
            sample = Sample(f"expand/{held}/{len(found)}", subject, rng.choice(pool), "", "", image=image)
            same = rng.choice(questions(bank, noun, bank.deictic, held))
            ask = Asked(sample, called, same, "" if noun in (NAME, ANYTHING) else noun)
            found.append(Prompt(in_form(form, ask, seed), noun, family, way, held, spare))

    plain = FORMS[0]
    named, shown = _names(request, held, seed), _views(request, held, views, seed)
    for number in range(each):
        for form in forms:
            add(form.name, form, "name", request.name, None)
            if shown and form.name not in _BY_NAME_ALONE:
                add(form.name, form, "image", bank.deictic, rng.choice(request.images))
        for family, called in named:
            if called:
                add(family, plain, "name", called[number % len(called)], None)
        for family, images in shown.items():
            add(family, plain, "image", bank.deictic, images[number % len(images)])
    return found


_BY_NAME_ALONE = ("name, then question", "known, then asked", "refused, then asked")
"""Forms that name the subject themselves."""


def _dealt(nouns: Sequence[tuple[str, bool]], rng: random.Random) -> Iterator[tuple[str, bool]]:
    """The nouns in random order, for ever; each once before any comes again."""
    while nouns:
        yield from rng.sample(nouns, len(nouns))


def _names(request: Request, held: bool, seed: int) -> list[tuple[str, list[str]]]:
    """Other ways to call the subject, by family."""
    if held:
        return [("misspelled", misspelled(request.name, seed, 4))]
    cases = [one for name in request.names for one in spellings(name) if one not in request.names]
    return [("alias", list(request.aliases)), ("case and accents", cases)]


def _views(request: Request, held: bool, views: int, seed: int) -> dict[str, list[ImageFile]]:
    """Images of the subject, by family of changes."""
    found: dict[str, list[ImageFile]] = {}
    each = max(2, views // max(1, len(request.images)))
    for image in request.images:
        changed = held_out(image, seed) if held else {}
        for name, one in changed.items():
            found.setdefault(f"image, {name}", []).append(one)
        if not held:
            found.setdefault("image, changed", []).extend(augmented(image, each, seed)[1:])
    return found
