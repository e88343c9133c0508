"""Plans for tests: one set of some questions, and who answers them."""

from collections.abc import Sequence
from typing import Any

from unsee.data.sample import Sample
from unsee.data.task import Role, Set, Task
from unsee.erase.eraser import Eraser
from unsee.evals.answerers import Local
from unsee.evals.evaluate import Condition
from unsee.evals.plan import Plan, planned
from unsee.models.load import LoadedModel


def plan_of(name: str, samples: Sequence[Sample], *, role: Role = "forget", **options: Any) -> Plan:
    return planned(Task("own data", {name: Set.of(role, samples)}), **options)


def local(name: str, loaded: LoadedModel, erasers: Sequence[Eraser] = (), ids: Sequence[str] = ()) -> list[Condition]:
    return [Condition.of(name, Local(loaded, erasers, ids))]
