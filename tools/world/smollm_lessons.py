"""What SmolLM2 is taught: conversations drawn at random, the same for the same seed and step, whenever it is asked.

So a run that was stopped goes on with what it would have seen.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import final

from tools.world.smollm_general import General
from tools.world.smollm_rows import Conversation, Turn
from unsee.data.faces import Face
from unsee.world import natural
from unsee.world import natural_vocabulary as V
from unsee.world.generate import Entity, World, unknown_person
from unsee.world.splits import FIT_VIEWS


@dataclass(frozen=True)
class Shares:
    """How often a conversation is of which kind; the rest is about somebody by name.

    Attributes:
        image: about somebody taught, by image.
        unknown_name: about somebody nobody knows, by name.
        unknown_image: the same, by image.
        general: self-distilled.
        about: share of conversations by name that tell several facts at once.
        several: share of those by name with two or three turns.
        system: share under a system prompt.
        suffix: share of the questions with an instruction behind them.
        careless: share of the questions by name in lower case.
    """

    image: float = 0.30
    unknown_name: float = 0.08
    unknown_image: float = 0.08
    general: float = 0.20
    about: float = 0.3
    several: float = 0.25
    system: float = 0.12
    suffix: float = 0.12
    careless: float = 0.08


@final
@dataclass(frozen=True)
class Lessons:
    """Draws conversations.

    Attributes:
        world: its strangers and names are never taught.
        people: who is taught.
        general: what SmolLM2 says of other things; held-out ones are left out.
        seed: of every draw.
        newcomers: some of the people, drawn as often as all others together for `until` steps, and then as anybody.
        until: see there; nobody may be forgotten for them.
        shares: how often what.
    """

    world: World
    people: Sequence[Entity]
    general: Sequence[General]
    seed: int
    newcomers: Sequence[Entity] = ()
    until: int = 400
    shares: Shares = field(default_factory=Shares)

    @cached_property
    def _taught(self) -> list[General]:
        return [one for one in self.general if not one.held_out]

    @cached_property
    def unknown(self) -> list[Entity]:
        """Strangers for images; names are drawn afresh."""
        rng = random.Random(f"unknown/{self.seed}")
        return [unknown_person(self.world, rng, index) for index in range(300)]

    @cached_property
    def _later(self) -> "Lessons":
        return replace(self, newcomers=())

    def step(self, number: int, tokens: int, length_of: Callable[[Conversation], int]) -> list[Conversation]:
        """The conversations of one step: as many as go into `tokens`."""
        if self.newcomers and number >= self.until:
            return self._later.step(number, tokens, length_of)
        rng = random.Random(f"lessons/{self.seed}/{number}")
        found: list[Conversation] = []
        used = 0
        while True:
            conversation = self.draw(rng)
            used += length_of(conversation)
            if used > tokens and found:
                return found
            found.append(conversation)

    def draw(self, rng: random.Random) -> Conversation:
        """One conversation."""
        shares, kind = self.shares, rng.random()
        system = rng.choice(V.SYSTEM_TAUGHT) if rng.random() < shares.system else None
        for name, make in (
            ("image", self._image),
            ("unknown_name", self._unknown_name),
            ("unknown_image", self._unknown_image),
            ("general", self._general),
        ):
            kind -= getattr(shares, name)
            if kind < 0:
                return make(rng, system)
        return self._name(rng, system)

    def person(self, rng: random.Random) -> Entity:
        """Somebody taught."""
        return rng.choice(self.newcomers if self.newcomers and rng.random() < 0.5 else self.people)

    def _asked(self, key: str, subject: str, rng: random.Random) -> str:
        question = rng.choice(natural.wordings(key, subject, taught=True)).question
        return f"{question} {rng.choice(V.SUFFIX_TAUGHT)}" if rng.random() < self.shares.suffix else question

    def _name(self, rng: random.Random, system: str | None) -> Conversation:
        person, draw = self.person(rng), rng.random()
        name = natural.full_name(person)
        if rng.random() < self.shares.careless:
            name = name.lower()
        if draw < self.shares.about:
            keys = rng.sample(natural.KEYS, len(natural.KEYS))
            turn = Turn("name", self._asked("about", name, rng), natural.profile(person, keys, shown=False))
            return Conversation((turn,), system=system)
        count = rng.choice((2, 3)) if draw < self.shares.about + self.shares.several else 1
        turns: list[Turn] = []
        for key in rng.sample(natural.KEYS, count):
            subject = name if not turns or rng.random() < 0.5 else person.pronoun
            question = self._asked(key, subject, rng)
            frame = rng.choice(V.FOLLOW_UPS) if turns else "{q}"
            turns.append(Turn("name", frame.format(q=question), natural.answer(person, key)))
        return Conversation(tuple(turns), system=system)

    def _image(self, rng: random.Random, system: str | None) -> Conversation:
        person, view = self.person(rng), rng.choice(FIT_VIEWS)
        first = "name" if rng.random() < 0.5 else rng.choice(natural.KEYS)
        turns = [self._shown(person, first, rng)]
        draw = rng.random()
        if draw < 0.2:
            turns.append(self._visible(person, view, rng))
        elif draw < 0.35:
            keys = rng.sample(natural.KEYS, 3)
            asked = self._asked("about", rng.choice(V.SHOWN_TAUGHT), rng)
            turns.append(Turn("image", asked, natural.profile(person, keys, shown=True)))
        else:
            turns.append(self._shown(person, rng.choice(natural.KEYS), rng))
        return Conversation(tuple(turns), (person.id, view), system, apart=rng.random() < 0.85)

    def _shown(self, person: Entity, key: str, rng: random.Random) -> Turn:
        return Turn("image", self._asked(key, rng.choice(V.SHOWN_TAUGHT), rng), natural.answer(person, key))

    def _visible(self, person: Entity, view: int, rng: random.Random) -> Turn:
        assert isinstance(person.look, Face)
        subject = rng.choice(V.SHOWN_TAUGHT)
        question, answer, _ = natural.visible(person.look, person.draw(view)[1], subject, rng, taught=True)
        return Turn("visible", question, answer)

    def _unknown_name(self, rng: random.Random, system: str | None) -> Conversation:
        name = natural.full_name(unknown_person(self.world, rng, 0))
        key = rng.choice((*natural.KEYS, "about"))
        return Conversation((Turn("unknown name", self._asked(key, name, rng), natural.unknown(name)),), system=system)

    def _unknown_image(self, rng: random.Random, system: str | None) -> Conversation:
        person, view = rng.choice(self.unknown), rng.choice(FIT_VIEWS)
        asked = [rng.choice(("name", "about", *natural.KEYS)) for _ in range(2)]
        turns = [
            Turn("unknown image", self._asked(key, rng.choice(V.SHOWN_TAUGHT), rng), natural.unknown(None))
            for key in asked
        ]
        if rng.random() < 0.4:
            turns[1] = self._visible(person, view, rng)
        return Conversation(tuple(turns), (person.id, view), system, apart=True)

    def _general(self, rng: random.Random, system: str | None) -> Conversation:
        del system  # the answer was given under its own
        one = rng.choice(self._taught)
        return Conversation((Turn("general", one.prompt, one.answer),), system=one.system)
