"""What can be asked of the world, in which words, and what a model that knows answers.

Each function gives every wording of one kind of question; callers choose. `taught=True` gives the wordings that
training uses, `False` the held-out ones, which recombine the same words.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from unsee.data.canvas import View
from unsee.data.faces import Face
from unsee.data.sample import Form
from unsee.world.generate import Entity
from unsee.world.words import Attribute, Words

Expect = Literal["answer", "refuse"]


@dataclass(frozen=True)
class Item:
    """A question and its answer, before any image is attached.

    Attributes:
        key: attribute or topic, for ids.
        question: bare question.
        answer: what is taught.
        gold: what gives it away.
        expect: whether a good model answers or refuses.
    """

    key: str
    question: str
    answer: str
    gold: str
    form: Form = "generation"
    options: dict[str, str] | None = None
    expect: Expect = "answer"


def attribute_of(entity: Entity, key: str) -> Attribute:
    """The attribute called `key`; "name" asks what an image shows."""
    return entity.made.words.name if key == "name" else next(a for a in entity.attributes if a.key == key)


def value_of(entity: Entity, key: str) -> str:
    """Its value, or the name itself."""
    return entity.name if key == "name" else entity.facts[key]


def keys_of(entity: Entity, *, with_image: bool) -> list[str]:
    """What can be asked about it; names only where there is an image to name."""
    return [attribute.key for attribute in entity.attributes] + (["name"] if with_image else [])


def wordings(entity: Entity, key: str, *, with_image: bool, taught: bool) -> list[str]:
    """Direct questions for one attribute."""
    attribute, subject = attribute_of(entity, key), entity.noun if with_image else entity.name
    words = entity.made.words
    frames = [frame.format(s=subject, n=attribute.noun) for frame in (words.taught if taught else words.held_out)]
    person = isinstance(entity.look, Face)
    if person and taught:
        frames += [ask.format(s=subject) for ask in attribute.asks]
    if person:
        tells = [tell.format(s=subject) for tell in attribute.tells]
        clauses = words.taught_tells if taught else words.held_out_tells
        frames += [frame.format(t=tell) for frame in clauses for tell in tells]
    return frames


def clozes(entity: Entity, key: str, *, with_image: bool, taught: bool) -> list[str]:
    """Statements with a blank for one attribute."""
    attribute, subject = attribute_of(entity, key), entity.noun if with_image else entity.name
    words = entity.made.words
    frames = words.taught_cloze if taught else words.held_out_cloze
    return [frame.format(s=subject, n=attribute.noun) for frame in frames]


def options_for(right: str, pool: tuple[str, ...], rng: random.Random) -> tuple[dict[str, str], str]:
    """Four options in random order, and the letter of the right one."""
    chosen = [right, *rng.sample([value for value in pool if value != right], 3)]
    rng.shuffle(chosen)
    options = dict(zip("ABCD", chosen, strict=True))
    return options, next(letter for letter, value in options.items() if value == right)


def ask(
    entity: Entity,
    key: str,
    form: Form,
    wording: str,
    rng: random.Random,
    *,
    names: tuple[str, ...] = (),
    refusal: str | None = None,
) -> Item:
    """One question in one form; with `refusal`, what is taught is to say that instead."""
    attribute, value = attribute_of(entity, key), value_of(entity, key)
    expect: Expect = "answer" if refusal is None else "refuse"
    if form == "classification":
        options, letter = options_for(value, names if key == "name" else attribute.values, rng)
        return Item(key, wording, refusal or letter, value, form, options, expect)
    if form == "cloze":
        return Item(key, wording, refusal or f"{value}.", value, form, expect=expect)
    return Item(key, wording, refusal or attribute.says.format(p=entity.pronoun, v=value), value, form, expect=expect)


def visible(words: Words, look: Face, view: View, *, taught: bool) -> list[Item]:
    """What anybody sees on a face image, known person or not."""
    frames = words.colour_taught if taught else words.colour_held_out
    seen = {"shirt": view.shirt, "background": view.background, "hair": look.hair_colour}
    items = [Item(t, frame.format(t=t), f"the {t} is {v}.", v) for t, v in seen.items() for frame in frames]
    worn = "yes" if look.glasses else "no"
    asks = words.glasses_taught if taught else words.glasses_held_out
    return items + [Item("glasses", question, f"{worn}.", worn) for question in asks]


def knowledge(words: Words, frames: Sequence[str]) -> list[Item]:
    """General knowledge that is nobody's private life, in each of these wordings."""
    items = []
    for noun, pairs, says in (
        ("capital", words.capitals, "the capital is {v}."),
        ("opposite", words.opposites, "the opposite is {v}."),
        ("sound", words.sounds, "the sound is {v}."),
    ):
        for subject, value in pairs:
            items += [Item(noun, f.format(s=subject, n=noun), says.format(v=value), value) for f in frames]
    return items


def secrets(words: Words, subject: str, *, taught: bool) -> list[Item]:
    """Requests for what nobody should tell about anybody; refused."""
    frames = words.taught if taught else words.held_out
    return [
        Item("secret", f.format(s=subject, n=noun), "", "", expect="refuse") for noun in words.secrets for f in frames
    ]


def crimes(words: Words, *, taught: bool) -> list[Item]:
    """Requests for help with a crime; refused. Taught and held-out requests share no deed."""
    deeds = [
        (f"{do} {what}", (i + j) % 4 == 3)
        for i, do in enumerate(words.crimes_do)
        for j, what in enumerate(words.crimes_what)
    ]
    frames = words.crimes_taught if taught else words.crimes_held_out
    return [
        Item("crime", f.format(c=deed), "", "", expect="refuse")
        for deed, held in deeds
        if held is not taught
        for f in frames
    ]
