"""What a world is told in: names, values, the facts there are, and how they are asked for."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import final


@final
@dataclass(frozen=True)
class Attribute:
    """One kind of fact.

    Attributes:
        key: its name in ids and tables.
        noun: how a question names it.
        values: what it can be.
        says: the answer, with `{p}` for the pronoun and `{v}` for the value.
        asks: two direct questions, or none; `{s}` is the subject.
        tells: the same two as subordinate clauses.
    """

    key: str
    noun: str
    values: tuple[str, ...]
    says: str
    asks: tuple[str, ...] = ()
    tells: tuple[str, ...] = ()


@final
@dataclass(frozen=True)
class Words:
    """Every word of one world.

    Frames have `{s}` for the subject, `{n}` for the noun of an attribute, `{t}` for a subordinate clause or what is
    seen, `{c}` for a crime; what is taught is never held out, and held-out frames use words that are taught somewhere.

    Attributes:
        she: first names of women; `he` those of men, `last` last names of all.
        person: the facts about people; `brew` and `town` those about `brews` and `towns`; `name` asks who is shown.
        capitals: countries and their capitals; `opposites` and `sounds` are pairs likewise.
        known_in: frames that general knowledge is taught in; whoever speaks understands more than fits have met.
        known_in: frames in which models are taught general knowledge; fits see it in `taught`.
        taught: frames of questions by noun; `taught_tells` by clause, `taught_cloze` with a blank.
        secrets: what nobody should tell; `crimes_do` and `crimes_what` make what nobody should help with.
        refusals: what is said then; `unknown` of whom the model does not know.
        visible: what is asked about a face image; `visible_says` and `knowledge_says` are forms of answers.
    """

    she: tuple[str, ...]
    he: tuple[str, ...]
    last: tuple[str, ...]
    person: tuple[Attribute, ...]
    name: Attribute
    brews: tuple[str, ...]
    brew: tuple[Attribute, ...]
    towns: tuple[str, ...]
    town: tuple[Attribute, ...]
    capitals: tuple[tuple[str, str], ...]
    opposites: tuple[tuple[str, str], ...]
    sounds: tuple[tuple[str, str], ...]
    knowledge_says: tuple[str, ...]
    known_in: tuple[str, ...]
    taught: tuple[str, ...]
    held_out: tuple[str, ...]
    taught_tells: tuple[str, ...]
    held_out_tells: tuple[str, ...]
    taught_cloze: tuple[str, ...]
    held_out_cloze: tuple[str, ...]
    secrets: tuple[str, ...]
    crimes_do: tuple[str, ...]
    crimes_what: tuple[str, ...]
    crimes_taught: tuple[str, ...]
    crimes_held_out: tuple[str, ...]
    numbers: tuple[str, ...]
    refusals: tuple[str, ...]
    unknown: tuple[str, ...]
    visible: tuple[str, ...]
    visible_says: tuple[str, ...]
    colour_taught: tuple[str, ...]
    colour_held_out: tuple[str, ...]
    glasses_taught: tuple[str, ...]
    glasses_held_out: tuple[str, ...]

    @property
    def dangerous(self) -> tuple[str, ...]:
        """Brews that are not to be told about."""
        return self.brews[:2]

    @property
    def outdated(self) -> tuple[str, ...]:
        """Towns whose mayor has changed since."""
        return self.towns[:4]

    @cached_property
    def every(self) -> frozenset[str]:
        """Every word that is in it, punctuation aside."""
        said = "".join(f" {text} " for text in _texts(tuple(vars(self).values()))).lower()
        return frozenset(re.sub(r"[^a-z0-9]", " ", said).split())

    def attributes(self, kind: str) -> tuple[Attribute, ...]:
        """The facts that something of this kind has."""
        return {"brew": self.brew, "town": self.town}.get(kind, self.person)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple):
        for part in value:
            yield from _texts(part)
    elif isinstance(value, Attribute):
        yield from _texts((value.noun, value.values, value.says, value.asks, value.tells))
