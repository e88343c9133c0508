"""From prompts to a `Profile`: what refusing is in one model. Each step checks itself and says what to do.

Direction and trajectory come from the fit's prompts, the strength from calibration people who are not among them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import torch

from unsee.data.sample import Sample, require_disjoint, require_some, spread, subjects
from unsee.erase.config import Settings
from unsee.erase.fit.activations import capture, capture_features
from unsee.erase.fit.background import capture_background, halves
from unsee.erase.fit.calibration import weakest_sufficient
from unsee.erase.fit.coefficient import no_longer, strength_finding, try_strengths
from unsee.erase.fit.findings import Finding, finding
from unsee.erase.fit.moments import require_finite
from unsee.erase.fit.refusing import NO_WORDING, Prompts, Refusing, first_token, refusing
from unsee.erase.kept_subjects import KeptSubjects
from unsee.erase.profile import Profile, identity
from unsee.models.load import LoadedModel
from unsee.progress import Stages, silent
from unsee.shapes import Float, Tensor
from unsee.workers import Here, Workers

HALF = 0.5
"""Of the calibration prompts, so many fluent refusals are the least that a steering coefficient has to give."""


def fit_profile(
    loaded: LoadedModel,
    *,
    retain: Sequence[Sample],
    calibration: Sequence[Sample],
    recall: Sequence[Sample],
    refusal: Sequence[Sample],
    others: Sequence[Sample] = (),
    unknown: Sequence[Sample] = (),
    settings: Settings | None = None,
    seed: int = 0,
    subject_key: bytes | None = None,
    stages: Stages = silent,
    workers: Workers[LoadedModel] | None = None,
) -> Profile:
    """Learn what refusing is in this model, and what its retained prompts look like.

    Args:
        loaded: the model.
        retain: questions about retained subjects, with their answers.
        calibration: the same about other retained subjects: strength and thresholds are chosen on them.
        recall: D-, prompts that the model complies with; images among them are moved by PGD toward complying more.
        refusal: D+, prompts that the model refuses.
        others: further prompts on which no gate may open: general knowledge, sensitive requests.
        unknown: questions about names of nobody. A model that declines too few of `refusal` gets its direction from
            known to unknown entities, and the report says so; its replies may have to be begun for it (`fit_reply`).
        settings: defaults if None.
        seed: of PGD and of every draw; the same gives the same bytes but for the key of the next line.
        subject_key: of the pseudonyms of whom it kept; random if None, so that no two profiles can be linked, and then
            `settings.kept` is what differs from run to run. A key made from the seed would be no secret.
        stages: progress display.
        workers: that hold the same model and read the prompts; this process alone if None. What the settings bound
            (PGD, trajectory, coefficients) stays here.

    Raises:
        DataError: a set is empty, or kept and calibration people overlap.
        DirectionError: too few prompts behave as their set says, or no refusal is fluent.
        CalibrationError: no strength makes the model refuse fluently.

    Source: MLLMEraser (arXiv 2510.04217) for D+, D- and the direction; trajectory and calibration are ours.
    """
    for samples, name in ((retain, "retain"), (calibration, "calibration"), (recall, "recall"), (refusal, "refusal")):
        require_some(samples, name)
    require_disjoint(retain, calibration, ("retain", "calibration"))
    fit = _Fit(loaded, settings or Settings(), stages, workers or Here(loaded), [])
    prompts = Prompts(recall, refusal, unknown, retain)
    found = refusing(loaded, prompts, fit.layers, fit.settings, seed, stages, fit.report, fit.workers)
    profile = fit.reading(found, retain, calibration, others, seed, subject_key)
    return fit.calibrated(profile, found, calibration)


@final
@dataclass(frozen=True)
class _Fit:
    """What both steps of a fit after the direction share."""

    loaded: LoadedModel
    settings: Settings
    stages: Stages
    workers: Workers[LoadedModel]
    report: list[Finding]

    @property
    def depth(self) -> int:
        return len(self.loaded.adapter.layers(self.loaded.model))

    @property
    def layers(self) -> tuple[int, ...]:
        return tuple(range(1, self.depth))

    def reading(
        self,
        found: Refusing,
        retain: Sequence[Sample],
        calibration: Sequence[Sample],
        others: Sequence[Sample],
        seed: int,
        subject_key: bytes | None,
    ) -> Profile:
        """The profile with what retained prompts look like, at strength 1."""
        loaded, settings, stages, workers = self.loaded, self.settings, self.stages, self.workers
        read, kept = settings.layers_read(self.depth), [*retain, *others]
        told = stages("retained prompts", len(kept))
        size, half = settings.batch_size, torch.float16
        states = capture(loaded, kept, self.layers, size, progress=told, mean_at=read, workers=workers, dtype=half)
        told = stages("calibration prompts", len(calibration))
        features = capture_features(loaded, calibration, read, size, told, workers, half)
        groups = {"subjects": (list(retain), list(calibration))} | ({"general": halves(others)} if others else {})
        at = settings.subject_layers(self.depth)
        pseudonyms = KeptSubjects.of([*subjects(retain), *subjects(calibration)], subject_key)
        return Profile(
            model=identity(loaded),
            family=loaded.adapter.family,
            layers=self.layers,
            read=read,
            trajectory=_kept(next(iter(found.trajectories.values()))),
            retain_last=states.last,
            retain_mean=states.mean,
            calibration=features,
            strength=1.0,
            settings=settings.as_json() | {"seed": seed, "kept": pseudonyms.as_json()},
            counts={
                "retain": len(kept),
                "others": len(others),
                "retain_subjects": len(subjects(retain)),
                "calibration": len(calibration),
                "calibration_subjects": len(subjects(calibration)),
                **found.counts,
            },
            report=self.report,
            curves={"pgd": found.pgd},
            background=capture_background(loaded, groups, at, pseudonyms, size, stages=stages, workers=workers),
        )

    def calibrated(self, profile: Profile, found: Refusing, calibration: Sequence[Sample]) -> Profile:
        """The profile at the weakest coefficient that suffices, with the trajectory that goes with it."""
        loaded, settings, stages, trajectories = self.loaded, self.settings, self.stages, found.trajectories
        tried = spread(calibration, settings.calibration_prompts)
        trials = try_strengths(loaded, profile, trajectories, tried, settings, stages)
        if NO_WORDING not in trajectories and (most := max(trial.refused for trial in trials)) < HALF:
            result = f"{most:.0%} fluent refusals at best, so the direction acts at the first answer token alone"
            self.report.append(finding("trajectory of one wording", result, "warn", "steps = 1 saves the attempt"))
            trajectories = {NO_WORDING: first_token(found.direction, settings.later)}
            trials = try_strengths(loaded, profile, trajectories, tried, settings, stages)
        # Words are there if the model declines by itself; else a reply can still be begun for it, request by request.
        best = weakest_sufficient(trials, settings.refused, least=settings.least if found.words else 0.0)
        self.report.append(strength_finding(best, settings))
        return replace(
            profile,
            trajectory=_kept(no_longer(trajectories[best.words], best.strength)),
            strength=best.strength,
            curves=profile.curves | {"strengths": [trial.as_json() for trial in trials]},
        )


def _kept(trajectory: Float[Tensor, "L S D"]) -> Float[Tensor, "L S D"]:
    """In half precision: to round by 2^-11 turns no direction, and the trajectory is most of an eraser's bytes."""
    half = trajectory.half()
    require_finite(half, "refusal trajectories in half precision")
    return half
