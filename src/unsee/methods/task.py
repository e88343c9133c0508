"""The values that methods are made of: what a fit may see, one fit, and its result."""

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, final

from unsee.data.sample import Sample
from unsee.data.task import Task, prompt_digest
from unsee.erase.config import Settings
from unsee.erase.fit_profile import fit_profile
from unsee.erase.profile import Profile, identity
from unsee.erase.request.defaults import default_refusal
from unsee.errors import DataError
from unsee.evals.answerers.base import Answerer
from unsee.evals.held import Condition
from unsee.methods.rows import REFUSALS
from unsee.models.load import LoadedModel
from unsee.progress import Stages, silent
from unsee.registry import METHODS


@final
@dataclass(frozen=True)
class FitData:
    """What a method may see; no person of the test is in it.

    Attributes:
        forget: questions about what is forgotten, with their true answers.
        retain: questions about retained people of the fit.
        calibration: questions about other retained people: thresholds are chosen on them.
        unknown: questions about people that no model was told of (ASRU).
        recall: prompts that the model answers (AlphaSteer).
        refusal: prompts that it refuses (AlphaSteer).
        keep: questions about the forgotten that must still be answered.
        refusals: what a model is taught to say (PO, DPO).
        profile: of the model, for steered methods.
    """

    forget: list[Sample]
    retain: list[Sample]
    calibration: list[Sample] = field(default_factory=list)
    unknown: list[Sample] = field(default_factory=list)
    recall: list[Sample] = field(default_factory=list)
    refusal: list[Sample] = field(default_factory=list)
    keep: list[Sample] = field(default_factory=list)
    refusals: tuple[str, ...] = REFUSALS
    profile: Profile | None = None

    @staticmethod
    def of(task: Task, profile: Profile | None = None) -> "FitData":
        """What a task's protocol lets a fit see: its sets for fit and calibration.

        Raises:
            DataError: the task has no set that a fit may forget, or none that it may keep.
        """
        forget, retain = task.seen("fit", "forget"), task.seen("fit", "retain")
        if not forget or not retain:
            sets = {name: (one.role, one.use) for name, one in task.sets.items()}
            raise DataError(
                f"{task.name!r} has no set for a fit to forget, or none to keep: its sets are {sets}. Take a benchmark "
                "under the honest protocol, or give --fit-forget and --fit-retain."
            )
        held, unknown = task.seen("calibration", "retain"), task.seen("fit", "unknown")
        return FitData(forget, retain, held, unknown, profile=profile)

    def digest(self) -> str:
        """`"sha256:" + sha256` over every prompt and answer that is seen, by what it is for."""
        found = hashlib.sha256()
        for name in ("forget", "retain", "calibration", "unknown", "recall", "refusal", "keep"):
            for sample in getattr(self, name):
                found.update(f"{name}/{prompt_digest(sample)}/{sample.answer}/{sample.gold}\n".encode())
        found.update(repr(self.refusals).encode())
        return f"sha256:{found.hexdigest()}"

    def seen(self) -> frozenset[str]:
        """Digests of every prompt that a fit or its choices see."""
        return frozenset(map(prompt_digest, (*self.forget, *self.retain, *self.calibration, *self.keep)))


@final
@dataclass(frozen=True, eq=False)
class Made:
    """What a method makes.

    Attributes:
        answerer: what is asked.
        stored: bytes to keep beside the base model.
    """

    answerer: Answerer
    stored: int


@final
@dataclass(frozen=True, eq=False)
class Fitted:
    """A fitted method.

    Attributes:
        answerer: what is asked.
        seconds: to fit.
        stored: bytes to keep beside the base model.
        reversible: taken away without keeping a copy of the base model.
    """

    answerer: Answerer
    seconds: float
    stored: int
    reversible: bool


@final
@dataclass(frozen=True, eq=False)
class Request:
    """One fit.

    Attributes:
        loaded: the base model, which must stay as it is.
        data: what may be seen.
        out: folder for whatever is saved on the way.
        value: of the method's knob; None for its default.
        seed: of every draw.
        options: further settings by name, for the method's own settings class.
        stages: progress display.
    """

    loaded: LoadedModel
    data: FitData
    out: Path
    value: float | None = None
    seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    stages: Stages = silent

    def profile(self) -> Profile:
        """The profile that is given, or one from what may be kept, where there are calibration people."""
        data = self.data
        if data.profile is not None:
            return data.profile
        if not data.calibration:
            raise DataError(
                "this method steers, and there is no profile and nobody to calibrate one on. Give --profile."
            )
        return fit_profile(
            self.loaded,
            retain=data.retain,
            calibration=data.calibration,
            recall=data.recall or data.retain,
            refusal=data.refusal or default_refusal(data.retain),
            settings=Settings(),
            seed=self.seed,
            stages=self.stages,
        )


def fit(name: str, request: Request) -> Fitted:
    """Fit a method by its name and say what that took.

    Raises:
        OptionError: there is none of that name; lists those that there are.
        MethodError: it cannot serve this model or this data.
        UnseeError: what the method itself raises.
    """
    entry, start = METHODS.named(name), time.monotonic()
    made: Made = entry.make(request)
    return Fitted(made.answerer, time.monotonic() - start, made.stored, entry.facts["reversible"])


def condition(name: str, request: Request, called: str = "", profile: Callable[[], Profile] | None = None) -> Condition:
    """A method as a condition of an evaluation: fitted where something is left to ask it.

    Args:
        name: of the method.
        request: its fit.
        called: name of the row; the method's by default.
        profile: makes the one that methods which steer share; by default each makes its own.
    """
    settings = {
        "model": identity(request.loaded),
        "method": name,
        "value": request.value,
        "options": dict(request.options),
        "seed": request.seed,
        "fit": request.data.digest(),
    }

    def make() -> Answerer:
        if profile is None or METHODS.named(name).facts["kind"] != "steered":
            return fit(name, request).answerer
        return fit(name, replace(request, data=replace(request.data, profile=profile()))).answerer

    return Condition(called or name, settings, make, request.data.seen())
