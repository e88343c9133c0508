"""From a request to prompts: every fact in several wordings, by name, by image and both, in many forms of asking."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

from unsee.data.sample import Picture, Sample
from unsee.erase.request.aliases import misspelled, spellings
from unsee.erase.request.augment import augmented, held_out
from unsee.erase.request.bank import BANKS, FRAMES, FRAMES_HELD, Bank
from unsee.erase.request.forms import FORMS, Asked, in_form
from unsee.erase.request.request import Request
from unsee.errors import OptionError

Way = Literal["name", "image", "both"]


@final
@dataclass(frozen=True)
class Prompt:
    """One prompt of a request.

    Attributes:
        sample: what is asked; its subject is that of the request.
        fact: which fact is asked for, "" for anything, "name" for whom an image shows.
        family: form of asking, spelling, or change of the image.
        way: by what the subject is shown.
        held: whether the family, wording or view is in no fit.
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

    @property
    def selective(self) -> bool:
        """Whether anything about the subject is still told."""
        return bool(self.spared)


def scope(request: Request) -> Scope:
    """What a request hides and spares, among what its kind is asked about and the facts it names itself.

    Raises:
        OptionError: nothing is left to hide.
    """
    known = [fact.noun for fact in BANKS[request.kind].facts]
    if request.erase:
        rest = [noun for noun in known if noun not in request.erase]
        return Scope(request.erase, tuple(dict.fromkeys([*request.spare, *rest])))
    hidden = tuple(noun for noun in known if noun not in request.spare)
    if not hidden and request.kind != "fact":
        raise OptionError("every fact is spared, so nothing is left to hide. Spare fewer.")
    return Scope(hidden, request.spare)


def questions(bank: Bank, noun: str, subject: str, held: bool) -> list[str]:
    """Wordings of one fact, or of "" for anything; `held` gives those that no fit sees."""
    if not noun:
        return [text.format(s=subject) for text in (bank.about_held if held else bank.about)]
    fact = bank.fact(noun)
    frames = [frame.format(s=subject, n=noun) for frame in (FRAMES_HELD if held else FRAMES)]
    return [text.format(s=subject) for text in (fact.held if held else fact.fit)] + frames


def expand(request: Request, subject: str, *, held: bool, each: int = 3, views: int = 12, seed: int = 0) -> list[Prompt]:
    """Prompts about the subject, in the families of the fit or in those that are held out.

    Args:
        request: the request.
        subject: its pseudonymous id.
        held: wordings, forms, spellings and changes of images that no fit sees, or those of the fit.
        each: wordings of each fact.
        views: changed images, of each image of the request.
        seed: of every draw.
    """
    bank, parts = BANKS[request.kind], scope(request)
    rng = random.Random(f"expand/{subject}/{held}/{seed}")
    asked = [(noun, False) for noun in ("", *parts.hidden) if noun or not parts.selective]
    asked += [(noun, True) for noun in parts.spared]
    shown = _views(request, held, views, seed)
    found: list[Prompt] = []
    for noun, spared in asked:
        for number in range(each):
            for way in ("name", "image") if shown else ("name",):
                family, called, picture = "plain", bank.deictic, None
                if way == "image":
                    family, picture = rng.choice(shown)
                else:
                    family, called = rng.choice(_names(request, held, seed))
                pool = questions(bank, noun, called, held)
                same = rng.choice(questions(bank, noun, bank.deictic, held))
                place = f"{subject}/{noun or 'about'}/{way}/{number}"
                sample = Sample(place, subject, pool[number % len(pool)], "", "", picture=picture)
                ask = Asked(sample, called, same, noun)
                form = rng.choice([form for form in FORMS if form.held is held or form.name == "plain"])
                named = form.name if form.name != "plain" else family
                found.append(Prompt(in_form(form, ask, seed), noun, named, way, held, spared))
    if shown and not parts.selective:
        texts = bank.naming_held if held else bank.naming
        found += _naming(texts, shown, subject, held, 2 * each)
    return found


def _naming(
    texts: Sequence[str], shown: Sequence[tuple[str, Picture]], subject: str, held: bool, count: int
) -> list[Prompt]:
    return [
        Prompt(
            Sample(f"{subject}/naming/{i}", subject, texts[i % len(texts)], "", "", picture=shown[i % len(shown)][1]),
            "name", shown[i % len(shown)][0], "image", held,
        )
        for i in range(count)
    ]  # fmt: skip


def _names(request: Request, held: bool, seed: int) -> list[tuple[str, str]]:
    """How the subject is called, with the family: as written three times as often as anything else."""
    named = [("plain", request.name)] * 3
    if held:
        return named + [("misspelled", one) for one in misspelled(request.name, seed)]
    others = [("alias", one) for one in request.aliases]
    others += [("spelling", one) for name in request.names for one in spellings(name) if one not in request.names]
    return named + others


def _views(request: Request, held: bool, views: int, seed: int) -> list[tuple[str, Picture]]:
    if held:
        return [(name, one) for picture in request.images for name, one in held_out(picture, seed).items()]
    each = max(2, views // max(1, len(request.images)))
    return [("plain", one) for picture in request.images for one in augmented(picture, each, seed)]
