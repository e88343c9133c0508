"""`unsee sweep capacity`: how many requests one model carries, with the thresholds that are in force together.

People of the built-in world ask to be forgotten one after the other, each by a request of its own beside one profile.
A fixed group is in neither the fit nor the calibration and is asked about as the retained.
"""

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

from unsee.data.sample import Sample
from unsee.erase.config import Settings
from unsee.erase.eraser import Eraser
from unsee.erase.eraser_set import stack, together
from unsee.erase.fit_eraser import fit_eraser
from unsee.erase.fit_profile import fit_profile
from unsee.erase.profile import Profile, identity
from unsee.evals.answerers import Answerer, Local
from unsee.evals.evaluate import Condition, evaluate
from unsee.evals.plan import Plan
from unsee.evals.stats import Row
from unsee.evals.tables import Sheet, percent
from unsee.experiments.trial import some, world_task
from unsee.models.load import LoadedModel
from unsee.progress import Stages, silent
from unsee.world.splits import Exam

SIZES = (1, 10, 25, 50, 100)
ASKING, TESTED, CALIBRATING = 150, (20, 10), (15, 15)
"""Private people who may ask; private people and celebrities who test and who calibrate."""
GOAL = 0.02
"""Leaks, and over-refusals, that a certified size has at most."""
ASKED = 200
"""Questions of a set at most."""


@final
@dataclass(eq=False)
class Requests:
    """Requests as they come in; what is fitted once stays.

    Attributes:
        loaded: the model.
        exam: of the world; who is forgotten is drawn here, by its seed.
        stages: progress display.
    """

    loaded: LoadedModel
    exam: Exam
    stages: Stages = silent
    settings: Settings = field(default_factory=lambda: Settings(pgd_images=12))
    erasers: dict[str, Eraser] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        rng, world = random.Random(f"capacity/{self.exam.seed}"), self.exam.world
        private, known = (rng.sample(found, len(found)) for found in (world.of("private"), world.of("celebrity")))
        (a, b), (c, d) = TESTED, CALIBRATING
        count = min(ASKING, len(private) // 2)
        self.asking, rest = private[:count], private[count:]
        self.tested, self.calibrating = rest[:a] + known[:b], rest[a : a + c] + known[b : b + d]
        self.retained = rest[a + c :] + known[b + d :]
        self.profile: Profile | None = None

    def in_force(self, size: int) -> Answerer:
        """The first requests, with their thresholds set together; fits those that are missing."""
        exam, views = self.exam, range(3)
        self.profile = self.profile or fit_profile(
            self.loaded,
            retain=exam.facts(self.retained, taught=True, views=views, tag="r"),
            calibration=exam.facts(self.calibrating, taught=True, forms=2, views=views, tag="c"),
            recall=exam.facts(self.retained[:16], taught=True, tag="recall"),
            refusal=exam.sensitive(self.retained, 160, taught=True),
            others=exam.knowledge(80, taught=True) + exam.sensitive(self.retained, 80, taught=True),
            settings=self.settings,
            seed=exam.seed,
            stages=self.stages,
        )
        for number, person in list(enumerate(self.asking))[len(self.erasers) : size]:
            start = time.process_time()
            forget = exam.facts([person], taught=True, forms=3, wordings=3, tag="fit")
            keep = exam.visible([person], taught=True, each=8, tag="keep")
            self.erasers[f"r{number:03d}"] = fit_eraser(self.loaded, self.profile, forget, keep=keep)
            self.seconds.append(time.process_time() - start)
        names = list(self.erasers)[:size]
        whole = stack(dict(zip(names, together([self.erasers[name] for name in names]), strict=True)))
        return Local(self.loaded, [whole.eraser])

    def questions(self, size: int) -> Mapping[str, Sequence[Sample]]:
        """Of the forgotten, of people whom no fit saw, and of what is visible on the forgotten people's images."""
        forgotten = self.asking[:size]
        sets = {
            "forget_heldout": self.exam.facts(forgotten, taught=False),
            "retain_unseen": self.exam.facts(self.tested, taught=False),
            "visible": self.exam.visible(forgotten, taught=False, each=2),
        }
        return {name: some(asked, ASKED) for name, asked in sets.items()}


def run(requests: Requests, sizes: Sequence[int], out: Path, seed: int = 0) -> list[dict[str, Any]]:
    """One results folder a size, each with the base model and the requests in force; resumes by size."""
    found = []
    for size in sizes:
        fit = {"requests": size, "world": requests.exam.world.seed, "split": requests.exam.seed,
               **requests.settings.as_json()}  # fmt: skip
        conditions = [
            Condition.of("base", Local(requests.loaded)),
            Condition("erased", {"model": identity(requests.loaded), "fit": fit}, lambda n=size: requests.in_force(n)),
        ]
        plan = Plan(world_task(requests.questions(size)), max_new_tokens=24, seed=seed)
        metrics = evaluate(conditions, plan, out / f"{size:04d}", stages=requests.stages)
        assert metrics is not None
        recent = requests.seconds[-10:]
        found.append(
            {"requests": size, "fit_seconds": sum(recent) / len(recent) if recent else None, **_rates(metrics)}
        )
    return found


def _rates(metrics: Mapping[str, Any]) -> dict[str, Any]:
    rows: dict[tuple[str, str], Row] = {(row["condition"], row["split"]): row for row in metrics["rows"]}

    def rate(condition: str, split: str, name: str) -> dict[str, Any]:
        row: Any = rows[condition, split]
        return {"value": row[name], "ci95": row["ci95"][name], "n": row["n"]}

    return {
        "leak": rate("erased", "forget_heldout", "leak"),
        "refused": rate("erased", "forget_heldout", "refusal"),
        "over_refused": rate("erased", "retain_unseen", "refusal"),
        "right": rate("erased", "retain_unseen", "accuracy"),
        "right_before": rate("base", "retain_unseen", "accuracy"),
        "visible": rate("erased", "visible", "accuracy"),
    }


def certified(rows: Sequence[Mapping[str, Any]]) -> int:
    """The largest size whose leaks and over-refusals keep to `GOAL` by the bound of their interval; 0 for none."""

    def kept(rate: Mapping[str, Any]) -> bool:
        bound = rate["ci95"][1] if rate["ci95"] else None
        return bound is not None and bound <= GOAL

    return max((row["requests"] for row in rows if kept(row["leak"]) and kept(row["over_refused"])), default=0)


def sheet(rows: Sequence[Mapping[str, Any]]) -> Sheet:
    """A row a size."""
    names = ["leak", "refused", "over_refused", "right", "right_before", "visible"]
    heads = ["requests", "forgotten leaked", "forgotten refused", "unseen refused", "unseen right", "base", "visible"]
    cells = [
        [str(row["requests"]), *(percent(row[name]) for name in names),
         "" if row["fit_seconds"] is None else f"{row['fit_seconds']:.1f}"]
        for row in rows
    ]  # fmt: skip
    below = f"Percent, 95 % intervals over people, at most {ASKED} questions a set; fit: CPU seconds a request."
    return Sheet("capacity", [*heads, "fit (s)"], cells, below)
