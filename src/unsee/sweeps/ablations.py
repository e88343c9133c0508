"""The papers' ablations on the honest split: one setting varied, everything else as it is by default."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import torch

from unsee.data.samples import Sample, subjects
from unsee.erase.eraser import Eraser, HeldGate
from unsee.erase.fit_eraser import fit_eraser, fit_published
from unsee.erase.gate import NullSpace
from unsee.erase.profile import Profile
from unsee.erase.settings import Settings
from unsee.errors import CalibrationError, DirectionError
from unsee.evals.run import Record, ask_all
from unsee.models.load import LoadedModel
from unsee.progress import Stages, silent
from unsee.trial import Data, fit_world_profile, gather, some
from unsee.world.exam import Exam

SPLITS = {"forget_heldout": 170, "retain_unseen": 135, "visible": 60}
"""What every variant is asked, and how many questions of each."""


@final
@dataclass(frozen=True)
class Trial:
    """One split with its default profile; variants refit what they change.

    Attributes:
        loaded: the model.
        exam: who is forgotten.
        data: questions by role.
        profile: made with the default settings.
        settings: those.
        stages: progress display.
    """

    loaded: LoadedModel
    exam: Exam
    data: Data
    profile: Profile
    settings: Settings
    stages: Stages = silent

    @property
    def people(self) -> tuple[list[Sample], list[Sample]]:
        """Questions about the forgotten people: to fit on, and to keep."""
        return self.data.requests["people"]

    def eraser(self) -> Eraser:
        """The default one."""
        forget, keep = self.people
        return fit_eraser(self.loaded, self.profile, forget, keep=keep)

    def refitted(self, settings: Settings, data: Data | None = None) -> Eraser:
        """An eraser on a profile of its own."""
        data = data or self.data
        profile = fit_world_profile(self.loaded, self.exam, data, settings)
        forget, keep = data.requests["people"]
        return fit_eraser(self.loaded, profile, forget, keep=keep, settings=settings)


Variants = Callable[[Trial], Iterable[tuple[str, Callable[[], Eraser]]]]


def begin(loaded: LoadedModel, exam: Exam, stages: Stages = silent) -> Trial:
    """Questions and default profile of one split."""
    data, settings = gather(exam), Settings(pgd_pictures=12)
    return Trial(loaded, exam, data, fit_world_profile(loaded, exam, data, settings, stages=stages), settings, stages)


def run(trial: Trial, variants: Variants) -> list[Record]:
    """Answers under the base model and each variant; one that cannot be fitted is unscored, with its reason."""
    splits = {name: some(trial.data.splits[name], count) for name, count in SPLITS.items()}
    records = ask_all(trial.loaded, splits, "base")
    listed = list(variants(trial))
    tell = trial.stages("variants", len(listed))
    for name, fit in listed:
        try:
            records += ask_all(trial.loaded, splits, name, [fit()])
        except (CalibrationError, DirectionError) as error:
            records += [_unfitted(name, split, str(error)) for split in splits]
        tell(1)
    return records


def _unfitted(condition: str, split: str, reason: str) -> Record:
    verdict = dict.fromkeys(("answer", "correct", "refused", "leaked", "fluent"))
    return {"condition": condition, "split": split, "person": "", "id": "", "reason": reason, **verdict}


def unconditional(trial: Trial) -> Iterable[tuple[str, Callable[[], Eraser]]]:
    """The direction without a gate: what it does to everybody; and the gate with a random direction."""
    eraser = trial.eraser()
    assert isinstance(eraser.gate, HeldGate)
    opened = replace(eraser.gate, threshold=torch.full_like(eraser.gate.threshold, -1e9))
    yield "gated (default)", lambda: eraser
    yield "no gate", lambda: replace(eraser, gate=opened)
    yield "gated, random direction", lambda: eraser.with_random_direction(0)


def direction(trial: Trial) -> Iterable[tuple[str, Callable[[], Eraser]]]:
    """Text, image or multimodal direction, with and without adversarial pictures."""
    for kind in ("text", "image", "multimodal"):
        for adversarial in (False, True):
            settings = replace(trial.settings, direction=kind, adversarial=adversarial)
            yield f"{kind}, {'adversarial' if adversarial else 'clean'}", lambda s=settings: trial.refitted(s)


def epsilon(trial: Trial) -> Iterable[tuple[str, Callable[[], Eraser]]]:
    """Radius of PGD's ball, with its number and size of steps."""
    for radius in (0, 4, 8, 16, 32, 64):
        for steps, size in ((10, 1), (40, 1), (40, 4)) if radius else ((0, 0),):
            settings = replace(trial.settings, adversarial=radius > 0)
            if radius:
                settings = replace(settings, epsilon=radius / 255, pgd_steps=steps, step_size=size / 255)
            yield f"{radius}/255, {steps} steps of {size}/255", lambda s=settings: trial.refitted(s)


def strength(trial: Trial) -> Iterable[tuple[str, Callable[[], Eraser]]]:
    """Lambda, around the calibrated one."""
    eraser = trial.eraser()
    for value in (0.125, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0):
        mark = " (chosen)" if value == eraser.strength else ""
        yield f"{value:g}{mark}", lambda v=value: eraser.with_strength(v)


def null_space(trial: Trial) -> Iterable[tuple[str, Callable[[], Eraser]]]:
    """The published gate over its ratio and its ridge, lambda as in its release."""
    forget, _ = trial.people
    yield "default gate", trial.eraser
    for ratio in (0.1, 0.3, 0.6, 0.9):
        for gamma in (0.01, 0.1, 1.0):
            preset = NullSpace(ratio, gamma)
            yield (
                f"ratio {ratio:g}, gamma {gamma:g}",
                lambda p=preset: fit_published(trial.loaded, trial.profile, some(forget, 1500), preset=p),
            )


def layers(trial: Trial) -> Iterable[tuple[str, Callable[[], Eraser]]]:
    """Which decoder blocks the gate reads; steering begins at the last of them."""
    places: Mapping[str, tuple[tuple[float, float], int]] = {
        "early": ((0.15, 0.35), 2),
        "middle": ((0.35, 0.65), 3),
        "late": ((0.65, 0.85), 2),
        "one, middle": ((0.5, 0.5), 1),
        "one, late": ((0.85, 0.85), 1),
        "alternate": ((0.15, 0.85), 3),
        "all but the first": ((0.15, 0.85), 64),
    }
    yield f"default: {', '.join(map(str, trial.profile.read))}", trial.eraser
    for name, (read, count) in places.items():
        settings = replace(trial.settings, read=read, blocks_read=count)
        shown = ", ".join(map(str, settings.layers_read(len(trial.loaded.adapter.layers(trial.loaded.model)))))
        yield f"{name}: {shown}", lambda s=settings: trial.refitted(s)


def ridge(trial: Trial) -> Iterable[tuple[str, Callable[[], Eraser]]]:
    """The ridge of the default gate; its profile does not depend on it."""
    forget, keep = trial.people
    for gamma in (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1):
        settings = replace(trial.settings, ridge=gamma)
        mark = " (default)" if gamma == trial.settings.ridge else ""
        yield (
            f"{gamma:g}{mark}",
            lambda s=settings: fit_eraser(trial.loaded, trial.profile, forget, keep=keep, settings=s),
        )


def retained(trial: Trial) -> Iterable[tuple[str, Callable[[], Eraser]]]:
    """How many kept people the fit sees."""
    kept = subjects(trial.data.retain)
    for count in (5, 10, 20, 40, len(kept)):
        chosen = set(kept[:count])
        data = replace(trial.data, retain=[s for s in trial.data.retain if s.subject in chosen])
        yield f"{count} kept", lambda d=data: trial.refitted(trial.settings, d)


def questions(trial: Trial) -> Iterable[tuple[str, Callable[[], Eraser]]]:
    """How many questions about each forgotten person the fit sees."""
    forget, keep = trial.people
    for share in (0.02, 0.05, 0.1, 0.25, 0.5, 1.0):
        chosen = _share_of_each(forget, share)
        each = len(chosen) / len(subjects(forget))
        yield f"{each:.0f} each", lambda c=chosen: fit_eraser(trial.loaded, trial.profile, c, keep=keep)


def _share_of_each(samples: Sequence[Sample], share: float) -> list[Sample]:
    by_subject: dict[str, list[Sample]] = {}
    for sample in samples:
        by_subject.setdefault(sample.subject, []).append(sample)
    return [s for mine in by_subject.values() for s in some(mine, max(1, round(share * len(mine))))]


ABLATIONS: Mapping[str, Variants] = {
    "unconditional": unconditional,
    "direction": direction,
    "epsilon": epsilon,
    "strength": strength,
    "null-space": null_space,
    "layers": layers,
    "ridge": ridge,
    "retained": retained,
    "questions": questions,
}


def described(name: str) -> str:
    """The first line of what a sweep varies."""
    return (ABLATIONS[name].__doc__ or "").strip().splitlines()[0]


def as_rows(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One line per variant: forgotten people refused and leaked, unseen kept ones and visible questions right."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        line = found.setdefault(row["condition"], {"variant": row["condition"]})
        names = (
            {"refusal": "forget_refused", "leak": "forget_leaked"}
            if row["split"] == "forget_heldout"
            else {"accuracy": f"{row['split']}_right", "refusal": f"{row['split']}_refused"}
        )
        for rate, column in names.items():
            line[column] = {"value": row[rate], "ci95": row["ci95"][rate], "n": row["n"]}
    return list(found.values())
