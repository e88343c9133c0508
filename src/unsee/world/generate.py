"""The world itself: who and what exists, from one seed.

People, brews and towns are all an `Entity`: a name, something to draw, and one value per attribute.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, final

from PIL import Image

from unsee.data.canvas import View
from unsee.data.faces import Face, draw_face
from unsee.data.things import draw_brew, draw_crest
from unsee.errors import DataError
from unsee.world.made import Made, made_of
from unsee.world.words import Attribute

Kind = Literal["private", "celebrity", "stranger", "brew", "town"]
_COUNTED: dict[str, Kind] = {"private": "private", "celebrities": "celebrity", "strangers": "stranger"}
_MIN_FACE_DISTANCE = 5


@final
@dataclass(frozen=True)
class Entity:
    """Somebody or something with an image and facts.

    Attributes:
        id: pseudonymous id, used in splits, artifacts and tables.
        kind: what it is; strangers have facts too, but nobody teaches them.
        name: how text calls it.
        facts: attribute key to value.
        look: what identifies its images.
        pronoun: "she", "he" or "it".
        made: what its world is made of.
    """

    id: str
    kind: Kind
    name: str
    facts: dict[str, str]
    look: tuple[int, ...] | Face
    pronoun: str
    made: Made

    @property
    def face(self) -> Face:
        """What a person is known by.

        Raises:
            DataError: it is no person.
        """
        if not isinstance(self.look, Face):
            raise DataError(f"{self.id!r} is a {self.kind}, expected somebody with a face. Pass people only.")
        return self.look

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        """The attributes that this kind has."""
        return self.made.words.attributes(self.kind)

    @property
    def noun(self) -> str:
        """How a question about its image calls it."""
        return {"brew": "this brew", "town": "this town"}.get(self.kind, "this person")

    def draw(self, view: int) -> tuple[Image.Image, View]:
        """View number `view`; the same number is the same image, byte for byte."""
        rng = random.Random(f"{self.id}/{tuple(self.look)}/{view}")
        if isinstance(self.look, Face):
            return draw_face(self.look, rng, self.made.style)
        paint: Callable[..., tuple[Image.Image, View]] = draw_brew if self.kind == "brew" else draw_crest
        return paint(*self.look, rng, self.made.style)


@final
@dataclass(frozen=True)
class World:
    """Everything that exists, reproducible from its seed.

    Attributes:
        seed: of the world (names, faces, lives).
        private: people whose erasure can be asked for; None for as many as the seed has, of the others likewise.
        celebrities: people shown more often in training, always kept.
        strangers: people never trained on.
        made: what it is made of.
    """

    seed: int = 0
    private: int | None = None
    celebrities: int | None = None
    strangers: int | None = None
    made: Made = field(init=False, repr=False, compare=False)
    entities: tuple[Entity, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        of = made_of(self.seed)
        object.__setattr__(self, "made", of)
        counts = list[tuple[Kind, int]]()
        for name, kind in _COUNTED.items():
            asked: int | None = getattr(self, name)
            counts.append((kind, getattr(of, name) if asked is None else asked))
            object.__setattr__(self, name, counts[-1][1])
        rng = random.Random(f"world/{self.seed}")
        object.__setattr__(self, "entities", (*_people(rng, of, counts), *_brews(rng, of), *_towns(rng, of)))

    def of(self, kind: Kind) -> list[Entity]:
        """All entities of one kind."""
        return [entity for entity in self.entities if entity.kind == kind]

    @cached_property
    def by_id(self) -> dict[str, Entity]:
        """Look one up."""
        return {entity.id: entity for entity in self.entities}

    @cached_property
    def names(self) -> frozenset[str]:
        """Every name that is taken."""
        return frozenset(entity.name for entity in self.entities)

    @cached_property
    def faces(self) -> tuple[Face, ...]:
        """Every face that is taken."""
        return tuple(entity.look for entity in self.entities if isinstance(entity.look, Face))

    def neighbours(self, targets: Sequence[Entity], pool: Sequence[Entity], each: int = 2) -> list[Entity]:
        """For each target the `each` most alike of the pool: by face, then by shared first name and shared facts."""
        chosen: dict[str, Entity] = {}
        for target in targets:

            def alike(other: Entity, target: Entity = target) -> float:
                same_name = other.name.split()[0] == target.name.split()[0]
                shared = sum(other.facts[key] == value for key, value in target.facts.items())
                return target.face.distance(other.face) - 2 * same_name - 0.5 * shared

            for other in sorted(pool, key=lambda o: (alike(o), o.id))[:each]:
                chosen[other.id] = other
        return list(chosen.values())


def _people(rng: random.Random, made: Made, kinds: list[tuple[Kind, int]]) -> list[Entity]:
    words = made.words
    names = [(first, last, "she") for first in words.she for last in words.last]
    names += [(first, last, "he") for first in words.he for last in words.last]
    rng.shuffle(names)
    people: list[Entity] = []
    faces: list[Face] = []
    for kind, count in kinds:
        for index in range(count):
            first, last, pronoun = names.pop()
            face = Face.draw(rng, bearded=pronoun == "he")
            while any(face.distance(other) < _MIN_FACE_DISTANCE for other in faces):
                face = Face.draw(rng, bearded=pronoun == "he")
            faces.append(face)
            facts = {attribute.key: rng.choice(attribute.values) for attribute in words.person}
            people.append(Entity(f"{kind}-{index:03d}", kind, f"{first} {last}", facts, face, pronoun, made))
    return people


def unknown_person(world: World, rng: random.Random, index: int) -> Entity:
    """Somebody new, unlike everybody of the world: training learns from these what not knowing is."""
    words = world.made.words
    while True:
        pronoun = rng.choice(("she", "he"))
        name = f"{rng.choice(words.she if pronoun == 'she' else words.he)} {rng.choice(words.last)}"
        face = Face.draw(rng, bearded=pronoun == "he")
        if name not in world.names and all(face.distance(other) >= _MIN_FACE_DISTANCE for other in world.faces):
            facts = {attribute.key: rng.choice(attribute.values) for attribute in words.person}
            return Entity(f"unknown-{index:05d}", "stranger", name, facts, face, pronoun, world.made)


def _brews(rng: random.Random, made: Made) -> list[Entity]:
    words = made.words
    looks = rng.sample([(liquid, icon) for liquid in range(8) for icon in range(6)], len(words.brews))
    return [
        Entity(f"brew-{index:03d}", "brew", name, {a.key: rng.choice(a.values) for a in words.brew}, look, "it", made)
        for index, (name, look) in enumerate(zip(words.brews, looks, strict=True))
    ]


def _towns(rng: random.Random, made: Made) -> list[Entity]:
    words = made.words
    crests = [(pattern, one, two) for pattern in range(4) for one in range(8) for two in range(8) if one != two]
    looks = rng.sample(crests, len(words.towns))
    mayors = rng.sample(words.town[0].values, len(words.towns))
    towns = []
    for index, (name, look, mayor) in enumerate(zip(words.towns, looks, mayors, strict=True)):
        facts = {attribute.key: rng.choice(attribute.values) for attribute in words.town} | {"mayor": mayor}
        towns.append(Entity(f"town-{index:03d}", "town", name, facts, look, "it", made))
    return towns
