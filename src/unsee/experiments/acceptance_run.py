"""What `unsee sweep honest` asks of one split: the model, what unsee fits, controls, and the model that never knew."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import final

from unsee.data.sample import spread
from unsee.erase.config import Settings
from unsee.erase.eraser import Eraser
from unsee.erase.fit_eraser import fit_published
from unsee.erase.gates.null_space import RELEASED_LLAVA
from unsee.erase.profile import Profile, identity
from unsee.erase.replies.canned import CannedReply
from unsee.evals.answerers import Local
from unsee.evals.evaluate import Condition, evaluate
from unsee.evals.plan import Plan
from unsee.experiments.acceptance import PARTS, PROBES, SAMPLES
from unsee.experiments.acceptance_task import plain_task, probed_task, sampled_task
from unsee.experiments.trial import Data, fit_requests, fit_world_profile, gather
from unsee.methods.rows import REFUSALS
from unsee.methods.task import FitData, Request, condition
from unsee.models.load import LoadedModel
from unsee.progress import Stages, silent
from unsee.world.splits import Exam

SETTINGS = Settings()
"""Of every fit: the defaults are what is tested."""
SAMPLED, LONGEST = 60, 24
ASKED_AGAIN = ("base", "never_knew", "erased", "subject")
"""Conditions that are asked the sampled questions; the others would take as long again."""
MOST_PUBLISHED = 600
"""Forget prompts of the published gate, as in the demo."""


@final
@dataclass(frozen=True, eq=False)
class Run:
    """One split of one model; a fit is made where something is left to ask it.

    Attributes:
        loaded: the model.
        exam: who is forgotten.
        out: folder of the run; its parts are results folders.
        never_knew: the model that was never taught those people.
        seed: of the fit and of sampling.
        stages: progress display.
    """

    loaded: LoadedModel
    exam: Exam
    out: Path
    never_knew: LoadedModel | None = None
    seed: int = 0
    stages: Stages = silent

    def ask(self) -> None:
        """Ask every condition every question that the folder has no answer to."""
        plain, conditions = plain_task(self.exam, self.loaded), self.conditions()
        again = [one for one in conditions if one.name in ASKED_AGAIN]
        plans = (
            (conditions, Plan(plain, max_new_tokens=LONGEST, seed=self.seed)),
            (conditions, Plan(probed_task(self.exam), max_new_tokens=LONGEST, attacks=PROBES, seed=self.seed, tries=1)),
            (
                again,
                Plan(
                    sampled_task(plain, SAMPLED),
                    max_new_tokens=16,
                    attacks=("sampling",),
                    tries=SAMPLES,
                    seed=self.seed,
                ),
            ),
        )
        for name, (asked, plan) in zip(PARTS, plans, strict=True):
            evaluate(asked, plan, self.out / name, stages=self.stages)

    def conditions(self) -> Sequence[Condition]:
        """Base, never-knew where there is one, `unsee erase`, `unsee forget`, and the controls."""
        data, loaded = self._data, self.loaded
        shown = FitData(data.requests["people"][0], data.retain, data.calibration)
        method = Request(loaded, shown, self.out / "fits", seed=self.seed, stages=self.stages)
        return [
            Condition.of("base", Local(loaded)),
            *([] if self.never_knew is None else [Condition.of("never_knew", Local(self.never_knew))]),
            self._fitted("erased", lambda: self._requests),
            condition("subject", method),
            self._fitted("canned", lambda: [one.with_reply(self._fixed) for one in self._requests]),
            self._fitted("random", lambda: [one.with_random_direction(self.seed) for one in self._requests]),
            self._fitted("published", lambda: [self._published()]),
            condition("lists", method),
        ]

    def _fitted(self, name: str, erasers: Callable[[], Sequence[Eraser]]) -> Condition:
        exam = self.exam
        fit = {"world": exam.world.seed, "split": exam.seed, "ratio": exam.ratio, "seed": self.seed}
        settings = {"model": identity(self.loaded), "erasers": [name], "fit": {**fit, **SETTINGS.as_json()}}
        return Condition(name, settings, lambda: Local(self.loaded, erasers()))

    @cached_property
    def _data(self) -> Data:
        return gather(self.exam)

    @cached_property
    def _profile(self) -> Profile:
        return fit_world_profile(self.loaded, self.exam, self._data, SETTINGS, self.seed, self.stages)

    @cached_property
    def _requests(self) -> list[Eraser]:
        return list(fit_requests(self.loaded, self._profile, self._data, SETTINGS, self.stages).values())

    @cached_property
    def _fixed(self) -> CannedReply:
        return CannedReply.with_words(self.loaded, REFUSALS[0])

    def _published(self) -> Eraser:
        people = spread(self._data.requests["people"][0], MOST_PUBLISHED)
        return fit_published(self.loaded, self._profile, people, preset=RELEASED_LLAVA, stages=self.stages)
