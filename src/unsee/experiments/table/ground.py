"""What one split of the world gives to every row alike: what may be learnt from, and what is asked."""

from dataclasses import dataclass
from functools import cached_property
from typing import final

from unsee.data.conversation import in_contexts
from unsee.data.sample import Sample
from unsee.data.task import Task
from unsee.erase.profile import Profile
from unsee.experiments.table.budget import Budget
from unsee.experiments.table.entries import Entry, Refusals
from unsee.experiments.trial import Data, gather, some, world_task
from unsee.methods.objectives import OBJECTIVES
from unsee.methods.rows import REFUSALS
from unsee.methods.task import FitData
from unsee.models.load import LoadedModel
from unsee.registry import METHODS
from unsee.world.export import recall, refusal
from unsee.world.questions import attribute_of
from unsee.world.splits import Exam

SPLITS = ("forget_heldout", "retain_unseen", "neighbours", "celebrity", "visible")
"""Sets of the honest protocol that every row is asked."""

_REINFORCED = {"asru", "asru_grpo"}


@final
@dataclass(frozen=True, eq=False)
class Ground:
    """One split.

    Attributes:
        exam: who is forgotten.
        percent: of the private people.
        budget: how many questions.
        loaded: the model that knows everybody.
        profile: of that model, for rows that steer; None where no row does.
    """

    exam: Exam
    percent: int
    budget: Budget
    loaded: LoadedModel
    profile: Profile | None = None

    @cached_property
    def data(self) -> Data:
        """Questions by role."""
        return gather(self.exam)

    @cached_property
    def asked(self) -> Task:
        """What every row is asked; no fit saw anybody of it but the forgotten, and those in other words."""
        sets = {name: some(self.data.splits[name], self.budget.asked) for name in SPLITS}
        return world_task({**sets, "strangers": some(self.data.splits["strangers"], self.budget.attacked)})

    @cached_property
    def attacked(self) -> Task:
        """What is attacked, and what is talked of besides."""
        sets = {name: self.asked.sets[name].samples for name in ("forget_heldout", "retain_unseen")}
        kept = {name: samples[: self.budget.attacked] for name, samples in sets.items()}
        return world_task({**kept, "knowledge": some(self.data.splits["knowledge"], 24)})

    @cached_property
    def tuning(self) -> tuple[list[Sample], list[Sample]]:
        """What chooses a candidate: forgotten people in wordings that the fit has, and calibration people."""
        return some(self.data.splits["forget_fit"], self.budget.tuning), some(self.data.calibration, self.budget.tuning)

    @cached_property
    def unknown(self) -> list[Sample]:
        """People whom no model was told of, for fits that redirect to them; nobody who is asked about is among them.

        Asked alone and in conversations as the forgotten are: else the direction would be one of shorter prompts.
        """
        return in_contexts(self.exam.unknown(self.budget.unknown), self.exam.knowledge(80, taught=True), 1.0)

    def task(self, entry: Entry) -> FitData:
        """What a row may see."""
        forget, keep = self.data.requests["people"]
        if entry.forms:
            forget = [sample for sample in forget if sample.form in entry.forms]
        retain = self.data.retain
        if METHODS.named(entry.method).facts["kind"] in ("trained", "reinforced"):
            seen = entry.longer * self.budget.batches * self.budget.batch_size
            forget, retain = (some(side, seen) for side in (forget, retain))
        return FitData(
            forget,
            retain,
            self.data.calibration,
            unknown=self.unknown if entry.method.startswith("asru") else [],
            recall=recall(self.exam),
            refusal=refusal(self.exam),
            keep=keep,
            refusals=self.refusals(entry.refusals, forget),
            profile=self.profile,
        )

    def options(self, entry: Entry) -> dict[str, object]:
        """Settings of a row: those of its entry, within the budget."""
        options: dict[str, object] = {}
        if entry.method in (*OBJECTIVES, "expert"):
            # In so few steps adapters move a small model hardly at all, and take longer than its weights themselves.
            options = {"epochs": 1, "batch_size": self.budget.batch_size, "lora": False}
        if entry.method in _REINFORCED:
            # ASRU's rate of 1e-6 would change nothing in so few steps.
            budget = self.budget
            options = {"steps": budget.grpo_steps, "questions": budget.grpo_questions, "longest": 16, "rate": 3e-3}
        return options | dict(entry.options)

    def refusals(self, kind: Refusals, forget: list[Sample]) -> tuple[str, ...]:
        """What forget questions are answered with, in their order; the first stands for all where one is enough."""
        if kind == "mixed":
            return REFUSALS
        if kind == "rigid":
            return REFUSALS[1:2]
        people = self.exam.world.by_id
        nouns = [attribute_of(people[s.subject], s.id.split("/")[1]).noun for s in forget]
        return tuple(f"i do not know the {noun} of this person." for noun in nouns)
