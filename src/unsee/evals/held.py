"""What a worker of an evaluation holds, and what it does: every batch of every condition, wherever that is asked."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, final

from unsee.data.task import prompt_digest
from unsee.erase.artifact import library_versions
from unsee.evals.answerers.base import Answerer, scoring
from unsee.evals.asking import Batch, ask, attack_rows, batches
from unsee.evals.choices import takes_probabilities
from unsee.evals.code import code_version
from unsee.evals.plan import Plan
from unsee.evals.scoring import Judges
from unsee.evals.store import Record
from unsee.workers import Workers


@final
@dataclass(frozen=True, eq=False)
class Condition:
    """What is asked, under the name that tables have.

    Attributes:
        name: of the row.
        settings: everything that decides its answers, known before it is made.
        make: makes what answers; called only where something is left to ask.
        seen: digests of the prompts that its fit had (`unsee.data.task.prompt_digest`).
    """

    name: str
    settings: Mapping[str, Any]
    make: Callable[[], Answerer]
    seen: frozenset[str] = field(default=frozenset(), repr=False)

    @classmethod
    def of(cls, name: str, answerer: Answerer, seen: frozenset[str] = frozenset()) -> Self:
        """Something that is there already."""
        return cls(name, answerer.about, lambda: answerer, seen)


@final
@dataclass(frozen=True)
class Attack:
    """Questions of one set that an attack is carried out on together, by their places in it."""

    name: str
    split: str
    places: tuple[int, ...]


@final
class Held:
    """The conditions of a plan; the one that was asked last is kept as it was made.

    Attributes:
        conditions: by name.
        plan: what is asked, and how.
        judges: of quality and safety.
    """

    def __init__(self, conditions: Sequence[Condition], plan: Plan, judges: Judges) -> None:
        self.conditions = {one.name: one for one in conditions}
        self.plan, self.judges = plan, judges
        self._made: tuple[str, Answerer] | None = None

    def about(self) -> Mapping[str, Any]:
        """What decides every row: code, and each condition's settings, its model's digest among them."""
        return {"code": code_version(), **{name: dict(one.settings) for name, one in self.conditions.items()}}

    def answerer(self, name: str) -> Answerer:
        """What answers for a condition; raises as its `make` does."""
        if self._made is None or self._made[0] != name:
            self._made = None  # two at a time may be more than there is room for
            self._made = (name, self.conditions[name].make())
        return self._made[1]


def settings_of(workers: Workers[Held]) -> list[tuple[str, Mapping[str, Any]]]:
    """Name and settings of each condition that workers hold."""
    return next(workers.map(_settings, [None]))[1]


def made(held: Held, name: str) -> None:
    """Make what answers for a condition; raises as its `make` does."""
    held.answerer(name)


def every_batch(held: Held, name: str) -> list[Batch]:
    """All questions to a condition.

    Raises:
        OptionError: some measure takes log-probabilities, and it gives none.
    """
    answerer = held.answerer(name)
    if takes_probabilities(held.plan.measures):
        scoring(answerer)
    return list(batches(answerer, held.plan))


def rows(held: Held, part: tuple[str, Batch | Attack]) -> list[Record]:
    """Rows of one batch of questions, or of one batch of an attack."""
    name, of = part
    answerer, plan = held.answerer(name), held.plan
    if isinstance(of, Batch):
        found = ask(answerer, plan, of, name, held.judges)
    else:
        found = attack_rows(answerer, plan, of.name, of.split, name, of.places)
    return [_marked(row, held.conditions[name], plan) for row in found]


def _settings(held: Held, part: None) -> list[tuple[str, Mapping[str, Any]]]:
    return [(name, dict(one.settings)) for name, one in held.conditions.items()]


def _marked(row: Record, one: Condition, plan: Plan) -> Record:
    """With what made it, and whether the fit had this very prompt."""
    if one.seen and not row["in_sample"]:
        split = row["split"].partition("/")[0]
        sample = next(item.sample for item in plan.task.sets[split].items if item.sample.id == row["id"])
        row["in_sample"] = prompt_digest(sample) in one.seen
    return row | {"versions": library_versions()}
