"""What one split of the world gives to every row alike: what may be learnt from, and what is asked."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import final

from unsee.data.samples import Sample, subjects
from unsee.erase.profile import Profile
from unsee.models.load import LoadedModel
from unsee.sweeps.questions import probes
from unsee.table.budget import Budget
from unsee.table.entries import Entry, Refusals
from unsee.train.grpo import GrpoSettings
from unsee.train.methods import METHODS, Task
from unsee.train.objectives import OBJECTIVES
from unsee.train.rows import REFUSALS
from unsee.trial import Data, gather, some
from unsee.world.exam import Exam
from unsee.world.export import recall, refusal
from unsee.world.questions import attribute_of

SPLITS = ("forget_heldout", "retain_unseen", "neighbours", "celebrity", "visible")
"""Sets of the honest protocol that every row is asked."""

_LEARNING = {"trained": OBJECTIVES.keys(), "reinforced": {"asru", "asru_grpo"}}


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
    def asked(self) -> Mapping[str, list[Sample]]:
        """What every row is asked, by set; no fit saw anybody of it but the forgotten, and those in other words."""
        return {name: some(self.data.splits[name], self.budget.asked) for name in SPLITS}

    @cached_property
    def tuning(self) -> tuple[list[Sample], list[Sample]]:
        """What chooses a candidate: forgotten people in wordings that the fit has, and calibration people."""
        return some(self.data.splits["forget_fit"], self.budget.tuning), some(self.data.calibration, self.budget.tuning)

    @cached_property
    def probes(self) -> Mapping[str, list[Sample]]:
        """Forget questions behind some chatter in the same turn, and in the third turn of a talk."""
        found = probes(self.exam)
        chosen = {"forget_longer": found["longer"], "forget_turns": found["three_turns"]}
        return {name: some([p.sample for p in those], self.budget.attacked) for name, those in chosen.items()}

    @cached_property
    def relearnt(self) -> tuple[list[Sample], list[Sample]]:
        """What an attacker knows, and what he is tested on: other people, in held-out wordings."""
        people = sorted(subjects(self.data.requests["people"][0]))
        known = set(people[::2])
        taught = [sample for sample in self.data.requests["people"][0] if sample.subject in known]
        rest = [sample for sample in self.data.splits["forget_heldout"] if sample.subject not in known]
        return taught, some(rest, self.budget.attacked)

    def task(self, entry: Entry) -> Task:
        """What a row may see."""
        forget, keep = self.data.requests["people"]
        if entry.forms:
            forget = [sample for sample in forget if sample.form in entry.forms]
        retain = self.data.retain
        if entry.method in _LEARNING.get(METHODS[entry.method].kind, ()):
            forget, retain = (some(side, self.budget.batches * self.budget.batch_size) for side in (forget, retain))
        return Task(
            forget,
            retain,
            self.data.calibration,
            strangers=self.exam.strangers(per_person=3),
            recall=recall(self.exam),
            refusal=refusal(self.exam),
            keep=keep,
            refusals=self.refusals(entry.refusals, forget),
            profile=self.profile,
        )

    def options(self, entry: Entry) -> dict[str, object]:
        """Settings of a row: those of its entry, within the budget."""
        options: dict[str, object] = {}
        if entry.method in OBJECTIVES:
            options = {"epochs": 1, "batch_size": self.budget.batch_size}
        if entry.method in _LEARNING["reinforced"]:
            options = {"steps": self.budget.grpo_steps, "longest": 16, "group": GrpoSettings().group}
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
