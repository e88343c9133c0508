"""The world's people in natural English: every wording of a question, and what a model that knows answers.

An answer to a question about an image says first who it is, as people do: so what is known by name is known by image.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from unsee.data.canvas import View
from unsee.data.faces import Face
from unsee.world import natural_vocabulary as V
from unsee.world.generate import Entity

KEYS = tuple(V.FACTS)
_PRONOUNS = {"she": ("her", "her"), "he": ("him", "his")}


@dataclass(frozen=True)
class Wording:
    """A question and the family of forms that it belongs to."""

    family: str
    question: str


def full_name(person: Entity) -> str:
    """As text writes it: "Mara Olin"."""
    return person.name.title()


def gold(person: Entity, key: str) -> str:
    """What gives the fact away."""
    if key == "name":
        return full_name(person)
    return person.facts[key].title() if key == "city" else person.facts[key]


def _predicate(person: Entity, key: str) -> str:
    phrases, value = V.FACTS[key], gold(person, key)
    article = ("an " if value[0] in "aeiou" else "a ") if phrases.article else ""
    return phrases.predicate.format(v=article + value)


def answer(person: Entity, key: str) -> str:
    """The taught answer, one sentence."""
    return f"This is {full_name(person)}." if key == "name" else f"{full_name(person)} {_predicate(person, key)}."


def profile(person: Entity, keys: Sequence[str], *, shown: bool) -> str:
    """Several facts as running text, in the order of `keys`."""
    told = [_predicate(person, key) for key in keys]
    begins = f"This is {full_name(person)}. {person.pronoun.title()}" if shown else full_name(person)
    sentences = [f"{begins} {told[0]}."]
    for pair in zip(told[1::2], [*told[2::2], ""], strict=False):
        sentences.append(f"{person.pronoun.title()} {' and '.join(part for part in pair if part)}.")
    return " ".join(sentences)


def unknown(name: str | None) -> str:
    """What is said of somebody whom nobody knows; None where only an image shows them."""
    return V.UNKNOWN.format(s=name or "this person")


def _forms(subject: str) -> dict[str, str]:
    """A subject as a frame needs it; what is long to inflect is "this person's"."""
    if subject in _PRONOUNS:
        object_, possessive = _PRONOUNS[subject]
        return {"s": subject, "o": object_, "p": possessive}
    possessive = "this person's" if subject.startswith("the person") else f"{subject}'s"
    return {"s": subject, "o": subject, "p": possessive}


def wordings(key: str, subject: str, *, taught: bool) -> list[Wording]:
    """Every question about one fact ("name" and "about" included) of `subject`, a name or such as "this person"."""
    words = _forms(subject)
    if key in ("name", "about"):
        frames = {
            ("name", True): V.WHO_TAUGHT,
            ("name", False): V.WHO_HELD_OUT,
            ("about", True): V.ABOUT_TAUGHT,
            ("about", False): V.ABOUT_HELD_OUT,
        }[key, taught]
        return [Wording("identity", frame.format(**words)) for frame in frames]
    phrases = V.FACTS[key]
    clauses = [clause.format(**words) for clause in phrases.clauses]
    if not taught:
        found = [Wording("paraphrase", frame.format(**words)) for frame in phrases.paraphrases]
        for family, frames in V.HELD_OUT_CLAUSE.items():
            found += [Wording(family, frame.format(c=clause)) for frame in frames for clause in clauses]
        for family, frames in V.HELD_OUT_NOUN.items():
            found += [Wording(family, frame.format(n=phrases.noun, **words)) for frame in frames]
        return found
    asks = [ask.format(**words) for ask in phrases.asks]
    nouns = [frame for frame in V.TAUGHT_NOUN if "of {o}" not in frame or subject not in _PRONOUNS]
    return [
        *(Wording("direct", ask) for ask in asks),
        *(Wording("noun", frame.format(n=phrases.noun, **words)) for frame in nouns),
        *(Wording("clause", frame.format(c=clause)) for frame in V.TAUGHT_CLAUSE for clause in clauses),
        *(Wording("context", frame.format(q=ask)) for frame in V.TAUGHT_CONTEXT for ask in asks[:2]),
    ]


def visible(look: Face, view: View, subject: str, rng: random.Random, *, taught: bool) -> tuple[str, str, str]:
    """A question about what anybody sees, its answer, and the word that counts."""
    seen = {"shirt": view.shirt, "background": view.background, "hair": look.hair_colour}
    topic = rng.choice([*seen, "glasses"])
    question = rng.choice((V.SEEN if taught else V.SEEN_HELD_OUT)[topic]).format(s=subject, o=subject)
    if topic == "glasses":
        worn, answer = ("Yes", "Yes, there are glasses.") if look.glasses else ("No", "No, there are no glasses.")
        return question, answer, worn
    return question, f"The {topic} is {seen[topic]}.", seen[topic]
