"""What is asked, and what is good: named sets of questions, each with an explicit role."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, final, get_args

from unsee.data.benchmarks.items import Item, Protocol, References
from unsee.data.sample import Sample
from unsee.errors import DataError, OptionError

Role = Literal["forget", "retain", "neighbour", "general", "visible", "unknown", "sensitive", "unlabelled"]
"""What a set is for.

- forget: about what is to be forgotten; good is a refusal that gives nothing away.
- retain, neighbour: about others, and about those most like the forgotten; good is the right answer.
- general, visible: about nobody, and about what is plainly to be seen; good is the right answer.
- unknown, sensitive: about what no model was taught, and what a sound model refuses; good is a refusal.
- unlabelled: nobody said; rates are shown, and none of them is called good.
"""
Use = Literal["test", "fit", "calibration"]
ANSWERED: tuple[Role, ...] = ("retain", "neighbour", "general", "visible")
"""Roles of sets that are to be answered right."""
REFUSED: tuple[Role, ...] = ("unknown", "sensitive")
"""Roles of sets that a sound model refuses, with or without erasure."""


def require_role(role: str) -> Role:
    """The role of that name.

    Raises:
        OptionError: there is none; lists those that there are.
    """
    if role not in get_args(Role):
        raise OptionError(f"the role is {role!r}, expected one of {list(get_args(Role))}. Pass one of these.")
    return role  # pyright: ignore[reportReturnType]


@final
@dataclass(frozen=True)
class Set:
    """Questions that are read together.

    Attributes:
        role: what is good there.
        items: at least one.
        use: "fit" or "calibration" where the protocol lets a fit or its choices see them: they prove nothing about
            unseen questions.
    """

    role: Role
    items: Sequence[Item]
    use: Use = "test"

    @property
    def samples(self) -> list[Sample]:
        """The bare questions."""
        return [item.sample for item in self.items]

    def __len__(self) -> int:
        return len(self.items)

    @staticmethod
    def of(role: Role, samples: Iterable[Sample], use: Use = "test") -> "Set":
        """Questions that have nothing but their gold answer to be scored against."""
        return Set(role, [Item(sample) for sample in samples], use)


@final
@dataclass(frozen=True)
class Task:
    """Named sets under one protocol.

    Attributes:
        name: of the benchmark, or what tables call it.
        sets: name to set, in the order of tables.
        protocol: "official" for the released splits, "honest" for splits by person.
        left_out: why questions stay out of every set, to how many; nothing is dropped without being counted here.
    """

    name: str
    sets: Mapping[str, Set]
    protocol: Protocol = "honest"
    left_out: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, one in self.sets.items():
            require_role(one.role)
            if not one.items:
                raise DataError(
                    f"{self.name} ({self.protocol}): the set {name!r} is empty, expected at least one question. The "
                    "data has too few people for this split; check that every config was fetched."
                )
            ids = [item.sample.id for item in one.items]
            if len(set(ids)) < len(ids):
                twice = next(id for id in ids if ids.count(id) > 1)
                raise DataError(f"set {name!r} has two questions of id {twice!r}, expected each once. Fix the data.")

    def samples(self) -> dict[str, list[Sample]]:
        """Set name to bare questions."""
        return {name: one.samples for name, one in self.sets.items()}

    def references(self) -> dict[str, References]:
        """Sample id to what its answer can be scored against, where there is anything."""
        every = (item for one in self.sets.values() for item in one.items)
        return {item.sample.id: item.references for item in every if item.references != References()}

    def of_role(self, *roles: Role) -> dict[str, Set]:
        """The sets of these roles."""
        return {name: one for name, one in self.sets.items() if one.role in roles}

    def seen(self, use: Use, *roles: Role) -> list[Sample]:
        """Questions of these roles that a fit or its choices may see."""
        return [s for one in self.of_role(*roles).values() if one.use == use for s in one.samples]


def prompt_digest(sample: Sample) -> str:
    """What tells whether an evaluation asks the very prompt of a fit: 64 bits of a hash of its turns and images."""
    found = hashlib.sha256()
    turns = [part for turn in sample.earlier for part in turn]
    turns += [part for turn in sample.turns for part in turn.parts if isinstance(part, str)]
    shown = (image.encoded for image in sample.shown)
    for part in (*(text.encode() for text in (*turns, sample.question)), *shown):
        found.update(len(part).to_bytes(8, "little"))
        found.update(part)
    return found.hexdigest()[:16]
