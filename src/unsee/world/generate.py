"""The world itself: who and what exists, from one seed.

People, brews and towns are all an `Entity`: a name, something to draw, and one value per attribute.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, final

from PIL import Image

from unsee.data.faces import Face, View, draw_brew, draw_crest, draw_face
from unsee.world import vocabulary

Kind = Literal["private", "celebrity", "stranger", "brew", "town"]
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
    """

    id: str
    kind: Kind
    name: str
    facts: dict[str, str]
    look: tuple[int, ...] | Face
    pronoun: str

    @property
    def attributes(self) -> tuple[vocabulary.Attribute, ...]:
        """The attributes that this kind has."""
        return {"brew": vocabulary.BREW, "town": vocabulary.TOWN}.get(self.kind, vocabulary.PERSON)

    @property
    def noun(self) -> str:
        """How a question about its image calls it."""
        return {"brew": "this brew", "town": "this town"}.get(self.kind, "this person")

    def draw(self, view: int) -> tuple[Image.Image, View]:
        """View number `view`; the same number is the same image, byte for byte."""
        rng = random.Random(f"{self.id}/{tuple(self.look)}/{view}")
        if isinstance(self.look, Face):
            return draw_face(self.look, rng)
        paint: Callable[..., tuple[Image.Image, View]] = draw_brew if self.kind == "brew" else draw_crest
        return paint(*self.look, rng)


@final
@dataclass(frozen=True)
class World:
    """Everything that exists, reproducible from its seed.

    Attributes:
        seed: of the world (names, faces, lives).
        private: people whose erasure can be asked for.
        celebrities: people shown more often in training, always kept.
        strangers: people never trained on.
    """

    seed: int = 0
    private: int = 200
    celebrities: int = 40
    strangers: int = 30
    entities: tuple[Entity, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        rng = random.Random(f"world/{self.seed}")
        people = _people(
            rng, [("private", self.private), ("celebrity", self.celebrities), ("stranger", self.strangers)]
        )
        object.__setattr__(self, "entities", (*people, *_brews(rng), *_towns(rng)))

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
                assert isinstance(target.look, Face) and isinstance(other.look, Face)
                same_name = other.name.split()[0] == target.name.split()[0]
                shared = sum(other.facts[key] == value for key, value in target.facts.items())
                return target.look.distance(other.look) - 2 * same_name - 0.5 * shared

            for other in sorted(pool, key=lambda o: (alike(o), o.id))[:each]:
                chosen[other.id] = other
        return list(chosen.values())


def _people(rng: random.Random, kinds: list[tuple[Kind, int]]) -> list[Entity]:
    names = [(first, last, "she") for first in vocabulary.SHE for last in vocabulary.LAST]
    names += [(first, last, "he") for first in vocabulary.HE for last in vocabulary.LAST]
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
            facts = {attribute.key: rng.choice(attribute.values) for attribute in vocabulary.PERSON}
            people.append(Entity(f"{kind}-{index:03d}", kind, f"{first} {last}", facts, face, pronoun))
    return people


def unknown_person(world: World, rng: random.Random, index: int) -> Entity:
    """Somebody new, unlike everybody of the world: training learns from these what not knowing is."""
    while True:
        pronoun = rng.choice(("she", "he"))
        name = f"{rng.choice(vocabulary.SHE if pronoun == 'she' else vocabulary.HE)} {rng.choice(vocabulary.LAST)}"
        face = Face.draw(rng, bearded=pronoun == "he")
        if name not in world.names and all(face.distance(other) >= _MIN_FACE_DISTANCE for other in world.faces):
            facts = {attribute.key: rng.choice(attribute.values) for attribute in vocabulary.PERSON}
            return Entity(f"unknown-{index:05d}", "stranger", name, facts, face, pronoun)


def _brews(rng: random.Random) -> list[Entity]:
    looks = rng.sample([(liquid, icon) for liquid in range(8) for icon in range(6)], len(vocabulary.BREWS))
    return [
        Entity(f"brew-{index:03d}", "brew", name, {a.key: rng.choice(a.values) for a in vocabulary.BREW}, look, "it")
        for index, (name, look) in enumerate(zip(vocabulary.BREWS, looks, strict=True))
    ]


def _towns(rng: random.Random) -> list[Entity]:
    crests = [(pattern, one, two) for pattern in range(4) for one in range(8) for two in range(8) if one != two]
    looks = rng.sample(crests, len(vocabulary.TOWNS))
    mayors = rng.sample(vocabulary.TOWN[0].values, len(vocabulary.TOWNS))
    towns = []
    for index, (name, look, mayor) in enumerate(zip(vocabulary.TOWNS, looks, mayors, strict=True)):
        facts = {attribute.key: rng.choice(attribute.values) for attribute in vocabulary.TOWN} | {"mayor": mayor}
        towns.append(Entity(f"town-{index:03d}", "town", name, facts, look, "it"))
    return towns
