"""The values that the registry of methods is made of: the data of a fit, one fit, its result, and a method."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, final

from unsee.data.sample import Sample
from unsee.erase.profile import Profile
from unsee.errors import DataError
from unsee.methods.controls import Answerer
from unsee.methods.rows import REFUSALS
from unsee.models.load import LoadedModel
from unsee.progress import Stages, silent

Kind = Literal["trained", "reinforced", "prompted", "filtered", "steered"]


@final
@dataclass(frozen=True)
class Task:
    """What a method may see; no person of the test is in it.

    Attributes:
        forget: questions about what is forgotten, with their true answers.
        retain: questions about kept people of the fit.
        calibration: questions about other kept people: thresholds are chosen on them.
        strangers: questions about people that no model was told of (ASRU).
        recall: prompts that the model answers (AlphaSteer).
        refusal: prompts that it refuses (AlphaSteer).
        keep: questions about the forgotten that must still be answered.
        refusals: what a model is taught to say (PO, DPO).
        profile: of the model, for steered methods.
    """

    forget: list[Sample]
    retain: list[Sample]
    calibration: list[Sample] = field(default_factory=list)
    strangers: list[Sample] = field(default_factory=list)
    recall: list[Sample] = field(default_factory=list)
    refusal: list[Sample] = field(default_factory=list)
    keep: list[Sample] = field(default_factory=list)
    refusals: tuple[str, ...] = REFUSALS
    profile: Profile | None = None


@final
@dataclass(frozen=True, eq=False)
class Fitted:
    """A fitted method.

    Attributes:
        answerer: what is asked.
        loaded: the model behind it, for attacks on its weights; that of the task where none was changed.
        seconds: to fit.
        stored: bytes to keep beside the base model.
        reversible: taken away without keeping a copy of the base model.
    """

    answerer: Answerer
    loaded: LoadedModel
    seconds: float
    stored: int
    reversible: bool


Fit = Callable[["Request"], tuple[Answerer, LoadedModel, int]]
Vary = Callable[[Answerer, float], Answerer]


@final
@dataclass(frozen=True, eq=False)
class Request:
    """One fit.

    Attributes:
        loaded: the base model, which must stay as it is.
        task: the data.
        out: folder for whatever is saved on the way.
        value: of the method's knob; None for its default.
        seed: of every draw.
        options: further settings by name, for the method's own settings class.
        stages: progress display.
    """

    loaded: LoadedModel
    task: Task
    out: Path
    value: float | None = None
    seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)
    stages: Stages = silent

    def profile(self) -> Profile:
        """The task's profile.

        Raises:
            DataError: it has none.
        """
        if self.task.profile is None:
            raise DataError("this method steers, and the task has no profile. Make one with fit_profile first.")
        return self.task.profile


@final
@dataclass(frozen=True)
class Method:
    """One way to forget.

    Attributes:
        kind: what is changed.
        make: fits it.
        knob: the one number that is tuned; "" where there is none.
        values: what it may be, from the weakest forgetting to the strongest.
        reversible: see `Fitted`.
        vary: what was fitted, at another value of the knob, where that takes no new fit.
    """

    kind: Kind
    make: Fit
    knob: str = ""
    values: tuple[float, ...] = ()
    reversible: bool = True
    vary: Vary | None = None

    def fit(
        self,
        loaded: LoadedModel,
        task: Task,
        out: Path,
        *,
        value: float | None = None,
        seed: int = 0,
        options: Mapping[str, Any] | None = None,
        stages: Stages = silent,
    ) -> Fitted:
        """Fit it and say what that took.

        Raises:
            MethodError: the method cannot serve this model or this data.
            UnseeError: what the method itself raises.
        """
        start = time.monotonic()
        answerer, model, stored = self.make(Request(loaded, task, out, value, seed, options or {}, stages))
        return Fitted(answerer, model, time.monotonic() - start, stored, self.reversible)
