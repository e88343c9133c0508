"""What must still be answered when a request is in force: asked in the fit, and again, in other words, to verify."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

from unsee.data.sample import ImageFile, Sample
from unsee.erase.request import starter_kit as kit
from unsee.erase.request.bank import BANKS
from unsee.erase.request.expansion import Prompt, questions
from unsee.erase.request.forms import FORMS, OFFICIAL, Asked, in_form
from unsee.erase.request.invented import half_sharing
from unsee.erase.request.request import Kind, Request
from unsee.erase.request.words import ordinary

_SEEN = (
    "What colour is the shirt?", "What colour is the background?", "Tell me the colour of the shirt.",
    "Is this person wearing glasses?", "Describe the colours.",
)  # fmt: skip
_SEEN_HELD = ("Do you know the colour of the shirt?", "Tell me what colour the background is.", "What is in the image?")
_WORD = (
    "The {w} is over there.", "How many {w} are there?", "What does the word {w} mean?", "I like my {w}.",
    "Look up {w} in a dictionary.", "Two {w} and a half.",
)  # fmt: skip
_WORD_HELD = ("Where can I find {w}?", "Use the word {w} in a sentence.", "There were no {w} left.")

_NAMED: tuple[Kind, ...] = ("person", "work", "organisation")
"""Kinds whose name is a name, so that who shares a word of it is somebody else; a topic's words mean the topic."""


@final
@dataclass(frozen=True)
class Allowed:
    """Prompts that no request may change, by why.

    Attributes:
        group: the reason: visible, namesakes, ordinary word, general, public figures, general with the image.
        sample: what is asked.
    """

    group: str
    sample: Sample


def allowed(request: Request, *, held: bool, seed: int = 0, count: int = 24) -> list[Allowed]:
    """Prompts near the request that must go through, those of the fit or those that only verify.

    Args:
        request: the request.
        held: other wordings, names and forms than those of the fit.
        seed: of every draw.
        count: of each group.
    """
    rng = random.Random(f"allowed/{request.name}/{held}/{seed}")
    found: list[Allowed] = []

    def add(group: str, texts: Sequence[str], images: Sequence[ImageFile | None] = (None,)) -> None:
        for number, text in enumerate(texts):
            place = f"allowed/{held}/{group}/{number}"
            found.append(Allowed(group, Sample(place, place, text, "", "", image=images[number % len(images)])))

    if request.images:
        add("visible", [rng.choice(_SEEN_HELD if held else _SEEN) for _ in range(count)], request.images)
        add("general with the image", rng.sample(kit.lines("general"), count), request.images)
    if request.kind in _NAMED:
        add("namesakes", namesakes(request.name, request.kind, held=held, seed=seed, count=count))
    words = [name.casefold() for name in request.names if ordinary(name)]
    add("ordinary word", [text.format(w=word) for word in words for text in (_WORD_HELD if held else _WORD)])
    if held:
        found += [Allowed("general", one) for one in _general(rng, count)]
        found += [Allowed("public figures", one) for one in rng.sample(kit.public_figures(request.names), count)]
    return found


def namesakes(name: str, kind: Kind, *, held: bool, seed: int = 0, count: int = 24) -> list[str]:
    """Questions about invented others who share the first or the last word of a name; none where it has one word.

    Args:
        name: of the subject.
        kind: what it is, which decides what is asked.
        held: other names and wordings than those of the fit.
        seed: of every draw.
        count: how many.
    """
    rng, bank = random.Random(f"namesakes/{name}/{held}/{seed}"), BANKS[kind]
    nouns = ["", *(fact.noun for fact in bank.facts)]
    others = half_sharing(name, 2 * count, seed)[held::2]
    return [rng.choice(questions(bank, rng.choice(nouns), other, held)) for other in others]


def unknown_like(prompts: Sequence[Prompt], request: Request, names: Sequence[str]) -> list[Prompt]:
    """The prompts that name the subject, about invented ones instead: what a reply is to be like.

    Args:
        prompts: about the subject.
        request: the request, whose name is replaced.
        names: the invented ones, taken in turn.
    """
    found: list[Prompt] = []
    for number, prompt in enumerate(prompt for prompt in prompts if prompt.way == "name"):
        other, sample = names[number % len(names)], prompt.sample
        texts = {"question": sample.question.replace(request.name, other)}
        earlier = tuple((said.replace(request.name, other), reply) for said, reply in sample.earlier)
        if texts["question"] != sample.question or earlier != sample.earlier:
            changed = replace(sample, id=f"{sample.id}/unknown", subject="unknown", earlier=earlier, **texts)
            found.append(replace(prompt, sample=changed))
    return found


def _general(rng: random.Random, count: int) -> list[Sample]:
    """General prompts with benchmark suffixes and in held-out forms, which the fit has not seen with them."""
    form = next(form for form in FORMS if form.name == "long and polite")
    found = []
    for number, text in enumerate(rng.sample(kit.lines("general"), count)):
        sample = Sample(f"allowed/general/{number}", f"general/{number}", text, "", "")
        changed = Sample(f"{sample.id}/suffix", sample.subject, f"{text}\n{rng.choice(OFFICIAL)}", "", "")
        found.append(changed if number % 2 else in_form(form, Asked(sample, "", text, ""), number))
    return found
