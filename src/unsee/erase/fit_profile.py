"""From prompts to a `Profile`: what refusing is in one model. Each step checks itself and says what to do.

Direction and trajectory come from the fit's prompts, the strength from calibration people who are not among them.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import torch

from unsee.data.sample import Sample, require_disjoint, require_some, spread, subjects
from unsee.erase.config import Settings
from unsee.erase.detectors import is_fluent, is_refusal
from unsee.erase.fit.activations import AnswerStates, capture, capture_answers, capture_features
from unsee.erase.fit.background import capture_background, halves
from unsee.erase.fit.calibration import weakest_sufficient
from unsee.erase.fit.coefficient import no_longer, strength_finding, try_strengths
from unsee.erase.fit.direction import erasure_direction, separation
from unsee.erase.fit.findings import Finding, finding
from unsee.erase.fit.moments import require_finite
from unsee.erase.fit.pgd import pgd
from unsee.erase.kept_subjects import KeptSubjects
from unsee.erase.profile import Profile, identity
from unsee.errors import DirectionError
from unsee.models.generate import generate
from unsee.models.load import LoadedModel
from unsee.progress import Stages, silent
from unsee.shapes import Float, Tensor

_LEAST_PROMPTS = 4


def fit_profile(
    loaded: LoadedModel,
    *,
    retain: Sequence[Sample],
    calibration: Sequence[Sample],
    recall: Sequence[Sample],
    refusal: Sequence[Sample],
    others: Sequence[Sample] = (),
    settings: Settings | None = None,
    seed: int = 0,
    subject_key: bytes | None = None,
    stages: Stages = silent,
) -> Profile:
    """Learn what refusing is in this model, and what its kept prompts look like.

    Args:
        loaded: the model.
        retain: questions about kept subjects, with their answers.
        calibration: the same about other kept subjects: strength and thresholds are chosen on them.
        recall: D-, prompts that the model complies with; images among them are moved by PGD toward complying more.
        refusal: D+, prompts that the model refuses.
        others: further prompts on which no gate may open: general knowledge, sensitive requests.
        settings: defaults if None.
        seed: of PGD and of every draw; the same gives the same bytes but for the key of the next line.
        subject_key: of the pseudonyms of whom it kept; random if None, so that no two profiles can be linked, and then
            `settings.kept` is what differs from run to run. A key made from the seed would be no secret.
        stages: progress display.

    Raises:
        DataError: a set is empty, or kept and calibration people overlap.
        DirectionError: too few prompts behave as their set says, or no refusal is fluent.
        CalibrationError: no strength makes the model refuse fluently.

    Source: MLLMEraser (arXiv 2510.04217) for D+, D- and the direction; trajectory and calibration are ours.
    """
    settings = settings or Settings()
    for samples, name in ((retain, "retain"), (calibration, "calibration"), (recall, "recall"), (refusal, "refusal")):
        require_some(samples, name)
    require_disjoint(retain, calibration, ("retain", "calibration"))
    depth = len(loaded.adapter.layers(loaded.model))
    layers, read = tuple(range(1, depth)), settings.layers_read(depth)
    report: list[Finding] = []
    complied, refused, words = _behaving(loaded, recall, refusal, settings, stages, report)
    complied, refused, history = _contrast(loaded, complied, refused, settings, seed, stages, report)
    direction = _direction(loaded, complied, refused, layers, settings, stages, report)
    chosen = spread(retain, settings.trajectory_prompts)
    trajectories = _trajectories(loaded, chosen, words, direction, layers, settings, stages)
    kept = [*retain, *others]
    told = stages("kept prompts", len(kept))
    states = capture(loaded, kept, layers, settings.batch_size, progress=told, mean_at=read)
    features = capture_features(
        loaded, calibration, read, settings.batch_size, progress=stages("calibration prompts", len(calibration))
    )
    groups = {"subjects": (list(retain), list(calibration))} | ({"general": halves(others)} if others else {})
    background = capture_background(loaded, groups, settings.subject_layers(depth), settings.batch_size, stages=stages)
    profile = Profile(
        model=identity(loaded),
        family=loaded.adapter.family,
        layers=layers,
        read=read,
        trajectory=_kept(trajectories[words[0]]),
        retain_last=states.last.half(),
        retain_mean=states.mean.half(),
        calibration=features.half(),
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
    trials = try_strengths(
        loaded, profile, trajectories, spread(calibration, settings.calibration_prompts), settings, stages
    )
    best = weakest_sufficient(trials, settings.refused)
    report.append(strength_finding(best, settings))
    return replace(
        profile,
        trajectory=_kept(no_longer(trajectories[best.words], best.strength)),
        strength=best.strength,
        curves=profile.curves | {"strengths": [t.as_json() for t in trials]},
    )


def _behaving(
    loaded: LoadedModel,
    recall: Sequence[Sample],
    refusal: Sequence[Sample],
    settings: Settings,
    stages: Stages,
    report: list[Finding],
) -> tuple[list[Sample], list[Sample], list[str]]:
    """Drop prompts that do not behave as their set says; the refusals that the model uses most."""
    told = generate(loaded, recall, settings.batch_size, progress=stages("recall answers", len(recall)))
    declined = generate(loaded, refusal, settings.batch_size, progress=stages("refusal answers", len(refusal)))
    complied = [s for s, answer in zip(recall, told, strict=True) if is_fluent(answer) and not is_refusal(answer)]
    refused = [(s, answer) for s, answer in zip(refusal, declined, strict=True) if is_refusal(answer)]
    dropped = [s.id for s in recall if s not in complied] + [s.id for s in refusal if s not in [r for r, _ in refused]]
    for kept, all_, check, note in (
        (len(complied), len(recall), "complies with D-", "add prompts that it answers"),
        (len(refused), len(refusal), "refuses D+", "the method needs a model that already refuses something"),
    ):
        share = kept / all_
        if kept < _LEAST_PROMPTS:
            raise DirectionError(
                f"the model {check} in {kept} of {all_} prompts, expected at least {_LEAST_PROMPTS}: the direction "
                f"would be noise. Next: {note}. First dropped: {dropped[:5]}."
            )
        report.append(
            finding(
                check,
                f"{kept} of {all_} prompts",
                "pass" if share >= 0.9 else "warn",
                "" if share == 1 else f"dropped: {', '.join(dropped[:5])}",
            )
        )
    # Greedy answers may all be one wording, and the steered model may begin another; sampled ones show them all.
    with torch.random.fork_rng():
        torch.manual_seed(0)
        drawn = generate(loaded, [sample for sample, _ in refused], settings.batch_size, do_sample=True)
    said = Counter(answer for answer in [*(a for _, a in refused), *drawn] if is_refusal(answer) and is_fluent(answer))
    if not said:
        shown = [answer for _, answer in refused[:3]]
        raise DirectionError(
            f"the model refuses D+ in {len(refused)} prompts, but never fluently: got {shown}. Expected at least one "
            "refusal that reads as text, for an erased answer to be led to. Next: other D+ prompts, or a model whose "
            "refusals are whole sentences."
        )
    return complied, [sample for sample, _ in refused], [words for words, _ in said.most_common(settings.wordings)]


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
            batch_size=settings.batch_size,
            progress=stages("adversarial pictures", len(chosen) * settings.pgd_steps),
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
) -> Float[Tensor, "L D"]:
    tell = stages("direction", len(recall) + len(refusal))
    below = capture(loaded, recall, layers, settings.batch_size, pool=("last",), progress=tell).last
    above = capture(loaded, refusal, layers, settings.batch_size, pool=("last",), progress=tell).last
    apart = separation(above, below)
    report.append(
        finding(
            "direction separates held-out prompts",
            f"AUC {apart.auc.min():.3f} to {apart.auc.max():.3f} over {len(layers)} layers",
            "pass" if apart.auc.max() >= 0.9 else "warn",
            "" if apart.auc.max() >= 0.9 else "more or cleaner D+ and D- prompts",
        )
    )
    report.append(
        finding(
            "direction is stable",
            f"cosine between halves {apart.cosine.min():.2f} to {apart.cosine.max():.2f}",
            "pass" if apart.cosine.median() >= 0.8 else "warn",
            "" if apart.cosine.median() >= 0.8 else "more prompts",
        )
    )
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
    overall = recalling.states[:, 1:].flatten(0, 1)[recalling.mask[:, 1:].flatten()].double().mean(0)
    enough = recalling.mask.sum(0) >= _LEAST_PROMPTS
    recalled = [
        recalling.states[recalling.mask[:, step], step].double().mean(0) if enough[step] else overall
        for step in range(settings.steps)
    ]
    trajectories = {}
    for words in wordings:
        refusing = along([words] * len(samples))
        length = int(refusing.mask[0].sum())
        refused = refusing.states[:, :length].double().mean(0)
        steps = [direction, *(refused[step] - recalled[step] for step in range(1, length))]
        trajectories[words] = torch.stack(steps, dim=1).float()
    return trajectories


def _kept(trajectory: Float[Tensor, "L S D"]) -> Float[Tensor, "L S D"]:
    """In half precision: to round by 2^-11 turns no direction, and the trajectory is most of an eraser's bytes."""
    half = trajectory.half()
    require_finite(half, "refusal trajectories in half precision")
    return half
