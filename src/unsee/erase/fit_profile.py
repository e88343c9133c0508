"""From prompts to a `Profile`: what refusing is in one model. Each step checks itself and says what to do.

Direction and trajectory come from the fit's prompts, the strength from calibration people who are not among them.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch

from unsee.data.sample import Sample, require_disjoint, require_some, spread, subjects
from unsee.erase.config import Settings
from unsee.erase.fit.activations import AnswerStates, capture, capture_answers, capture_features
from unsee.erase.fit.background import capture_background, halves
from unsee.erase.fit.behaviour import LEAST_PROMPTS, behaving
from unsee.erase.fit.calibration import weakest_sufficient
from unsee.erase.fit.coefficient import no_longer, strength_finding, try_strengths
from unsee.erase.fit.direction import erasure_direction, separation
from unsee.erase.fit.findings import Finding, finding
from unsee.erase.fit.moments import require_finite
from unsee.erase.fit.pgd import pgd
from unsee.erase.kept_subjects import KeptSubjects
from unsee.erase.profile import Profile, identity
from unsee.erase.replies.steer import decayed
from unsee.errors import DirectionError
from unsee.models.load import LoadedModel
from unsee.progress import Stages, silent
from unsee.shapes import Float, Tensor
from unsee.workers import Here, Workers

HALF = 0.5
"""Of the calibration prompts, so many fluent refusals are the least that a steering coefficient has to give."""
NO_WORDING = ""
"""In place of the refusal whose trajectory is followed, where none is."""
_WITH_GRADIENTS = 8
"""Images that PGD moves at once: a graph of the whole model is alive for each."""


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
    """Learn what refusing is in this model, and what its kept prompts look like.

    Args:
        loaded: the model.
        retain: questions about kept subjects, with their answers.
        calibration: the same about other kept subjects: strength and thresholds are chosen on them.
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
    settings, workers = settings or Settings(), workers or Here(loaded)
    for samples, name in ((retain, "retain"), (calibration, "calibration"), (recall, "recall"), (refusal, "refusal")):
        require_some(samples, name)
    require_disjoint(retain, calibration, ("retain", "calibration"))
    depth = len(loaded.adapter.layers(loaded.model))
    layers, read = tuple(range(1, depth)), settings.layers_read(depth)
    report: list[Finding] = []
    complied, refused, words = behaving(loaded, recall, refusal, unknown, settings, stages, report, workers)
    complied, refused, history = _contrast(loaded, complied, refused, settings, seed, stages, report)
    direction = _direction(loaded, complied, refused, layers, settings, stages, report, workers)
    trajectories = {NO_WORDING: _first_token(direction, settings.later)}
    if words and settings.steps > 1:
        chosen = spread(retain, settings.trajectory_prompts)
        trajectories = _trajectories(loaded, chosen, words, direction, layers, settings, stages)
    kept = [*retain, *others]
    told = stages("kept prompts", len(kept))
    size, half = settings.batch_size, torch.float16
    states = capture(loaded, kept, layers, size, progress=told, mean_at=read, workers=workers, dtype=half)
    told = stages("calibration prompts", len(calibration))
    features = capture_features(loaded, calibration, read, size, told, workers, half)
    groups = {"subjects": (list(retain), list(calibration))} | ({"general": halves(others)} if others else {})
    at = settings.subject_layers(depth)
    background = capture_background(loaded, groups, at, size, stages=stages, workers=workers)
    profile = Profile(
        model=identity(loaded),
        family=loaded.adapter.family,
        layers=layers,
        read=read,
        trajectory=_kept(next(iter(trajectories.values()))),
        retain_last=states.last,
        retain_mean=states.mean,
        calibration=features,
        strength=1.0,
        settings=settings.as_json()
        | {"seed": seed, "kept": KeptSubjects.of([*subjects(retain), *subjects(calibration)], subject_key).as_json()},
        counts={
            "retain": len(kept),
            "others": len(others),
            "retain_subjects": len(subjects(retain)),
            "calibration": len(calibration),
            "calibration_subjects": len(subjects(calibration)),
            "recall": len(complied),
            "refusal": len(refused),
        },
        report=report,
        curves={"pgd": history},
        background=background,
    )
    tried = spread(calibration, settings.calibration_prompts)
    trials = try_strengths(loaded, profile, trajectories, tried, settings, stages)
    if NO_WORDING not in trajectories and (most := max(trial.refused for trial in trials)) < HALF:
        result = f"{most:.0%} fluent refusals at best, so the direction acts at the first answer token alone"
        report.append(finding("trajectory of one wording", result, "warn", "steps = 1 saves the attempt"))
        trajectories = {NO_WORDING: _first_token(direction, settings.later)}
        trials = try_strengths(loaded, profile, trajectories, tried, settings, stages)
    # Words are there if the model declines by itself; else a reply can still be begun for it, request by request.
    best = weakest_sufficient(trials, settings.refused, least=HALF if words else 0.0)
    report.append(strength_finding(best, settings))
    return replace(
        profile,
        trajectory=_kept(no_longer(trajectories[best.words], best.strength)),
        strength=best.strength,
        curves=profile.curves | {"strengths": [t.as_json() for t in trials]},
    )


def _contrast(
    loaded: LoadedModel,
    recall: list[Sample],
    refusal: list[Sample],
    settings: Settings,
    seed: int,
    stages: Stages,
    report: list[Finding],
) -> tuple[list[Sample], list[Sample], list[float]]:
    """The two sides of the direction in its chosen form, recall images moved by PGD."""
    shown, plain = [s for s in recall if s.image], [s for s in recall if not s.image]
    if settings.direction == "text":
        if not plain or not any(not s.image for s in refusal):
            raise DirectionError(
                "a text-only direction needs recall and refusal prompts without image; there are none."
            )
        return plain, [s for s in refusal if not s.image], []
    history: list[float] = []
    moved = shown
    if settings.adversarial and shown:
        chosen = spread(shown, settings.pgd_images)
        attack = pgd(
            loaded,
            chosen,
            [[s.answer] for s in chosen],
            generator=torch.Generator().manual_seed(seed),
            epsilon=settings.epsilon,
            steps=settings.pgd_steps,
            step_size=settings.step_size,
            targets_per_step=1,
            batch_size=min(settings.batch_size, _WITH_GRADIENTS),
            progress=stages("adversarial images", len(chosen) * settings.pgd_steps),
        )
        history = attack.history.mean(0).tolist()
        rise = float((attack.after - attack.before).mean())
        moved = attack.samples
        report.append(
            finding(
                "PGD raises the recall target",
                f"log-probability {float(attack.before.mean()):.2f} to {float(attack.after.mean()):.2f} nats",
                "pass" if rise > 0 else "warn",
                "" if rise > 0 else "more steps or a larger epsilon",
            )
        )
    if settings.direction == "image":
        if not moved or not settings.adversarial:
            raise DirectionError(
                "an image-only direction is adversarial against clean images: it needs recall images and PGD."
            )
        return moved, shown[: len(moved)], history
    return [*moved, *plain], refusal, history


def _direction(
    loaded: LoadedModel,
    recall: list[Sample],
    refusal: list[Sample],
    layers: tuple[int, ...],
    settings: Settings,
    stages: Stages,
    report: list[Finding],
    workers: Workers[LoadedModel],
) -> Float[Tensor, "L D"]:
    tell, size = stages("direction", len(recall) + len(refusal)), settings.batch_size
    below = capture(loaded, recall, layers, size, pool=("last",), progress=tell, workers=workers).last
    above = capture(loaded, refusal, layers, size, pool=("last",), progress=tell, workers=workers).last
    apart = separation(above, below)
    separates, stable = bool(apart.auc.max() >= 0.9), bool(apart.cosine.median() >= 0.8)
    report += [
        finding(
            "direction separates held-out prompts",
            f"AUC {apart.auc.min():.3f} to {apart.auc.max():.3f} over {len(layers)} layers",
            "pass" if separates else "warn",
            "" if separates else "more or cleaner D+ and D- prompts",
        ),
        finding(
            "direction is stable",
            f"cosine between halves {apart.cosine.min():.2f} to {apart.cosine.max():.2f}",
            "pass" if stable else "warn",
            "" if stable else "more prompts",
        ),
    ]
    return erasure_direction(above, below)


def _trajectories(
    loaded: LoadedModel,
    samples: list[Sample],
    wordings: Sequence[str],
    direction: Float[Tensor, "L D"],
    layers: tuple[int, ...],
    settings: Settings,
    stages: Stages,
) -> dict[str, Float[Tensor, "L S D"]]:
    """By refusal wording: refusal minus recall along the answer, teacher-forced on kept prompts; step 0 is `direction`.

    Where no recall answer is that long, the mean recall state of all steps stands in; after the refusal's last word its
    last step is held.
    """
    tell = stages("trajectory", (1 + len(wordings)) * len(samples))

    def along(answers: Sequence[str]) -> AnswerStates:
        return capture_answers(loaded, samples, answers, layers, settings.steps, settings.batch_size, progress=tell)

    recalling = along([sample.answer for sample in samples])
    counts = recalling.mask.sum(0)
    # One by one: the states of all prompts in double precision would be twice what they are. Masked ones are 0.
    totals = torch.zeros(recalling.states.shape[1:], dtype=torch.float64)
    for states in recalling.states:
        totals += states
    overall, enough = totals[1:].sum(0) / counts[1:].sum(), counts >= LEAST_PROMPTS
    recalled = [totals[step] / counts[step] if enough[step] else overall for step in range(settings.steps)]
    trajectories = {}
    for words in wordings:
        refusing = along([words] * len(samples))
        length = int(refusing.mask[0].sum())
        refused = [refusing.states[:, step].double().mean(0) for step in range(length)]
        steps = [direction, *(refused[step] - recalled[step] for step in range(1, length))]
        trajectories[words] = torch.stack(steps, dim=1).float()
    return trajectories


def _first_token(direction: Float[Tensor, "L D"], later: float) -> Float[Tensor, "L S D"]:
    """The direction at the first answer token and `later` times it at every other one: nothing belongs to a wording."""
    return decayed(direction.float().unsqueeze(1).repeat(1, 2, 1), later)


def _kept(trajectory: Float[Tensor, "L S D"]) -> Float[Tensor, "L S D"]:
    """In half precision: to round by 2^-11 turns no direction, and the trajectory is most of an eraser's bytes."""
    half = trajectory.half()
    require_finite(half, "refusal trajectories in half precision")
    return half
