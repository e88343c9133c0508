"""From prompts to a `Profile`, and from a forget set to an `Eraser`: each step checks itself and says what to do.

Nothing is tried on a test question: direction and gates come from the fit's prompts, thresholds and strength from
calibration people who are in neither.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from unsee.data.answers import is_fluent, is_refusal, leaks
from unsee.data.samples import Sample, require_disjoint, require_some, subjects
from unsee.erase.adversarial import pgd
from unsee.erase.calibrate import Trial, thresholds, weakest_sufficient
from unsee.erase.capture import capture, capture_answers
from unsee.erase.direction import erasure_direction, separation
from unsee.erase.eraser import Eraser, HeldGate, LayerGate
from unsee.erase.gate import NullSpace, null_space_gate, residual_energy, null_space_basis, ridge_gates
from unsee.erase.hooks import erased
from unsee.erase.profile import Finding, Profile, identity, require_same_model
from unsee.erase.settings import Settings
from unsee.erase.statistics import Moments
from unsee.errors import CalibrationError, DirectionError
from unsee.models.encode import Progress, generate
from unsee.models.load import LoadedModel
from unsee.shapes import Float, Tensor

Stages = Callable[[str, int], Progress]
"""Announces a stage and its length; what it returns is told of each part done."""

_LEAST_PROMPTS = 4


def silent(name: str, total: int) -> Progress:
    """No progress display."""
    del name, total
    return lambda done: None


def finding(check: str, result: str, verdict: str, note: str = "") -> Finding:
    """One line of a diagnosis; verdict is "pass", "warn" or "fail"."""
    return {"check": check, "result": result, "verdict": verdict, "note": note}


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
    stages: Stages = silent,
) -> Profile:
    """Learn what refusing is in this model, and what its kept prompts look like.

    Args:
        loaded: the model.
        retain: questions about kept subjects, with their answers.
        calibration: the same about other kept subjects: strength and thresholds are chosen on them.
        recall: D-, prompts that the model complies with; pictures among them are moved by PGD toward complying more.
        refusal: D+, prompts that the model refuses.
        others: further prompts on which no gate may open: general knowledge, sensitive requests.
        settings: defaults if None.
        seed: of PGD and of every draw.
        stages: progress display.

    Raises:
        DataError: a set is empty, or kept and calibration people overlap.
        DirectionError: too few prompts behave as their set says.
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
    chosen = _spread(retain, settings.trajectory_prompts)
    trajectory = _trajectory(loaded, chosen, words, direction, layers, settings, stages)
    kept = [*retain, *others]
    states = capture(loaded, kept, layers, settings.batch_size, progress=stages("kept prompts", len(kept)))
    features = _features(loaded, calibration, read, settings, stages("calibration prompts", len(calibration)))
    places = [layers.index(layer) for layer in read]
    profile = Profile(
        model=identity(loaded),
        family=loaded.adapter.family,
        layers=layers,
        read=read,
        trajectory=trajectory,
        retain_last=states.last.half(),
        retain_mean=states.mean[:, places].half(),
        calibration=features.half(),
        strength=1.0,
        settings=settings.as_json() | {"seed": seed},
        counts={
            "retain": len(kept), "retain_subjects": len(subjects(retain)), "calibration": len(calibration),
            "calibration_subjects": len(subjects(calibration)), "recall": len(complied), "refusal": len(refused),
        },
        report=report,
        curves={"pgd": history},
    )
    trials = try_strengths(loaded, profile, _spread(calibration, settings.calibration_prompts), settings, stages)
    best = weakest_sufficient(trials, settings.refused)
    report.append(_strength_finding(best, settings))
    return replace(profile, strength=best.strength, curves=profile.curves | {"strengths": [t.as_json() for t in trials]})


def fit_eraser(
    loaded: LoadedModel,
    profile: Profile,
    forget: Sequence[Sample],
    *,
    keep: Sequence[Sample] = (),
    settings: Settings | None = None,
    stages: Stages = silent,
) -> Eraser:
    """Fit one gate per forgotten subject by class-balanced ridge, with thresholds from calibration people.

    Args:
        loaded: the model that the profile was made on.
        profile: what refusing is and what is kept.
        forget: questions about the subjects to forget, as many wordings and pictures as there are.
        keep: prompts about the same subjects that must still be answered: what is plainly visible.
        settings: the profile's defaults if None.
        stages: progress display.

    Raises:
        DataError: the forget set is empty.
        MismatchError: the profile is another model's.
        CalibrationError: a subject cannot be told from the kept ones at all.
    """
    settings = settings or Settings()
    require_some(forget, "forget")
    require_same_model(profile.model, loaded, "profile")
    ids = subjects(forget)
    features = _features(loaded, forget, profile.read, settings, stages("forget prompts", len(forget)))
    negative = profile.retain.float()
    if keep:
        kept = _features(loaded, keep, profile.read, settings, stages("prompts to keep", len(keep)))
        negative = torch.cat([negative, kept])
    owner = torch.tensor([ids.index(sample.subject) for sample in forget])
    positives = [Moments.of(features[owner == k].flatten(1)) for k in range(len(ids))]
    weight, bias = ridge_gates(positives, Moments.of(negative.flatten(1)), settings.ridge)
    gate = HeldGate(profile.read, weight.view(len(ids), *features.shape[1:]).float(), bias.float(), torch.zeros(len(ids)))
    gate = replace(gate, threshold=thresholds(gate.margins(profile.calibration), settings.tail))
    report = _gate_findings(gate, profile, features, owner, ids)
    depth = len(loaded.adapter.layers(loaded.model))
    layers = settings.layers_written(depth)
    return Eraser(
        model=profile.model,
        family=profile.family,
        layers=layers,
        gate=gate,
        trajectory=profile.trajectory[[profile.layers.index(layer) for layer in layers]],
        strength=profile.strength,
        method="held-ridge",
        settings=settings.as_json(),
        subjects=tuple(ids),
        counts={"forget": len(forget), "keep": len(keep), "retain": len(profile.retain_last)},
        report=report,
    )


def fit_published(
    loaded: LoadedModel,
    profile: Profile,
    forget: Sequence[Sample],
    *,
    preset: NullSpace,
    strength: float = 0.25,
    settings: Settings | None = None,
    stages: Stages = silent,
) -> Eraser:
    """Fit MLLMEraser's gate by its published rule: null space of the kept states, every layer for itself.

    `h <- h + lambda <w_l, h_last> d_l` at all prompt positions of every layer but the first, prefill only.

    Args:
        loaded: the model that the profile was made on.
        profile: direction and kept states.
        forget: questions about everything to forget, in one gate.
        preset: ratio and gamma, `RELEASED_LLAVA` or `RELEASED_QWEN`.
        strength: lambda; the paper uses 0.25 to 0.3.
        settings: batch size.
        stages: progress display.

    Raises:
        DataError: the forget set is empty.
        MismatchError: the profile is another model's.
        CalibrationError: the forget states do not reach the null space.

    Source: MLLMEraser (arXiv 2510.04217), released scripts; layer 17, which they skip, is steered here.
    """
    settings = settings or Settings()
    require_some(forget, "forget")
    require_same_model(profile.model, loaded, "profile")
    states = capture(
        loaded, forget, profile.layers, settings.batch_size, pool=("last",), progress=stages("forget prompts", len(forget))
    ).last
    weights, energies = [], []
    for place in range(len(profile.layers)):
        retained = profile.retain_last[:, place].double()
        second = retained.mT @ retained
        weights.append(null_space_gate(second, states[:, place], preset.ratio, preset.gamma))
        energies.append(residual_energy(second, null_space_basis(second, preset.ratio)))
    worst = max(energies)
    report = [
        finding(
            "null space", f"kept energy left in it: {min(energies):.1e} to {worst:.1e} of the total", "pass" if worst < 1e-3 else "warn",
            "with more kept prompts than dimensions no null space is exact; what is left reaches kept people",
        )
    ]
    return Eraser(
        model=profile.model,
        family=profile.family,
        layers=profile.layers,
        gate=LayerGate(torch.stack(weights).float()),
        trajectory=profile.trajectory[:, :1],
        strength=strength,
        method="published",
        settings={"ratio": preset.ratio, "gamma": preset.gamma, "lambda": strength},
        subjects=tuple(subjects(forget)),
        counts={"forget": len(forget), "retain": len(profile.retain_last)},
        report=report,
    )


def try_strengths(
    loaded: LoadedModel, profile: Profile, samples: Sequence[Sample], settings: Settings, stages: Stages = silent
) -> list[Trial]:
    """Answers to kept questions with the gate held open, at each strength: what erasing would do to them."""
    depth = len(loaded.adapter.layers(loaded.model))
    layers = settings.layers_written(depth)
    width = profile.trajectory.shape[-1]
    always = HeldGate(profile.read, torch.zeros(1, len(profile.read), 2, width), torch.zeros(1), torch.full((1,), -1.0))
    trajectory = profile.trajectory[[profile.layers.index(layer) for layer in layers]]
    trials = []
    tell = stages("strength", len(settings.strengths) * len(samples))
    for strength in settings.strengths:
        eraser = Eraser(profile.model, profile.family, layers, always, trajectory, strength, "probe")
        with erased(loaded.model, eraser):
            answers = generate(loaded, samples, settings.batch_size, max_new_tokens=24, progress=tell)
        count = len(samples)
        trials.append(
            Trial(
                strength,
                refused=sum(is_refusal(a) and is_fluent(a) for a in answers) / count,
                leaked=sum(bool(s.gold) and leaks(a, s.gold) for s, a in zip(samples, answers, strict=True)) / count,
                fluent=sum(is_fluent(a) for a in answers) / count,
            )
        )
    return trials


def _behaving(
    loaded: LoadedModel, recall: Sequence[Sample], refusal: Sequence[Sample], settings: Settings, stages: Stages, report: list[Finding]
) -> tuple[list[Sample], list[Sample], str]:
    """Drop prompts that do not behave as their set says; the refusal that the model uses most."""
    told = generate(loaded, recall, settings.batch_size, progress=stages("recall answers", len(recall)))
    declined = generate(loaded, refusal, settings.batch_size, progress=stages("refusal answers", len(refusal)))
    complied = [s for s, answer in zip(recall, told, strict=True) if not is_refusal(answer)]
    refused = [(s, answer) for s, answer in zip(refusal, declined, strict=True) if is_refusal(answer)]
    dropped = [s.id for s in recall if s not in complied] + [s.id for s in refusal if s not in [r for r, _ in refused]]
    for kept, all_, check, note in (
        (len(complied), len(recall), "complies with D-", "add prompts that it answers"),
        (len(refused), len(refusal), "refuses D+", "the method needs a model that already refuses something"),
    ):
        share = kept / all_
        if kept < _LEAST_PROMPTS:
            raise DirectionError(
                f"the model {check} in {kept} of {all_} prompts, expected at least {_LEAST_PROMPTS}: the direction would be "
                f"noise. Next: {note}. First dropped: {dropped[:5]}."
            )
        report.append(finding(check, f"{kept} of {all_} prompts", "pass" if share >= 0.9 else "warn", "" if share == 1 else f"dropped: {', '.join(dropped[:5])}"))
    words = Counter(answer for _, answer in refused).most_common(1)[0][0]
    return complied, [sample for sample, _ in refused], words


def _contrast(
    loaded: LoadedModel, recall: list[Sample], refusal: list[Sample], settings: Settings, seed: int, stages: Stages, report: list[Finding]
) -> tuple[list[Sample], list[Sample], list[float]]:
    """The two sides of the direction in its chosen form, recall pictures moved by PGD."""
    shown, plain = [s for s in recall if s.picture], [s for s in recall if not s.picture]
    if settings.direction == "text":
        if not plain or not any(not s.picture for s in refusal):
            raise DirectionError("a text-only direction needs recall and refusal prompts without picture; there are none.")
        return plain, [s for s in refusal if not s.picture], []
    history: list[float] = []
    moved = shown
    if settings.adversarial and shown:
        chosen = shown[: settings.pgd_pictures]
        attack = pgd(
            loaded, chosen, [[s.answer] for s in chosen], generator=torch.Generator().manual_seed(seed), epsilon=settings.epsilon,
            steps=settings.pgd_steps, step_size=settings.step_size, targets_per_step=1, batch_size=len(chosen),
            progress=stages("adversarial pictures", len(chosen) * settings.pgd_steps),
        )
        history = attack.history.mean(0).tolist()
        rise = float((attack.after - attack.before).mean())
        moved = attack.samples
        report.append(
            finding(
                "PGD raises the recall target", f"log-probability {float(attack.before.mean()):.2f} to {float(attack.after.mean()):.2f} nats",
                "pass" if rise > 0 else "warn", "" if rise > 0 else "more steps or a larger epsilon",
            )
        )
    if settings.direction == "image":
        if not moved or not settings.adversarial:
            raise DirectionError("an image-only direction is adversarial against clean pictures: it needs recall pictures and PGD.")
        return moved, shown[: len(moved)], history
    return [*moved, *plain], refusal, history


def _direction(
    loaded: LoadedModel, recall: list[Sample], refusal: list[Sample], layers: tuple[int, ...], settings: Settings, stages: Stages, report: list[Finding]
) -> Float[Tensor, "L D"]:
    tell = stages("direction", len(recall) + len(refusal))
    below = capture(loaded, recall, layers, settings.batch_size, pool=("last",), progress=tell).last
    above = capture(loaded, refusal, layers, settings.batch_size, pool=("last",), progress=tell).last
    apart = separation(above, below)
    report.append(
        finding(
            "direction separates held-out prompts", f"AUC {apart.auc.min():.3f} to {apart.auc.max():.3f} over {len(layers)} layers",
            "pass" if apart.auc.max() >= 0.9 else "warn", "" if apart.auc.max() >= 0.9 else "more or cleaner D+ and D- prompts",
        )
    )
    report.append(
        finding(
            "direction is stable", f"cosine between halves {apart.cosine.min():.2f} to {apart.cosine.max():.2f}",
            "pass" if apart.cosine.median() >= 0.8 else "warn", "" if apart.cosine.median() >= 0.8 else "more prompts",
        )
    )
    return erasure_direction(above, below)


def _trajectory(
    loaded: LoadedModel, samples: list[Sample], words: str, direction: Float[Tensor, "L D"], layers: tuple[int, ...], settings: Settings, stages: Stages
) -> Float[Tensor, "L S D"]:
    """Refusal minus recall along the answer, teacher-forced on kept prompts; step 0 is the erasure direction.

    Where no recall answer is that long, the mean recall state of all steps stands in; after the refusal's last word its
    last step is held.
    """
    tell = stages("trajectory", 2 * len(samples))
    refusing = capture_answers(loaded, samples, [words] * len(samples), layers, settings.steps, settings.batch_size, progress=tell)
    recalling = capture_answers(loaded, samples, [s.answer for s in samples], layers, settings.steps, settings.batch_size, progress=tell)
    length = int(refusing.mask[0].sum())
    told = recalling.mask[:, 1:].flatten()
    overall = recalling.states[:, 1:].flatten(0, 1)[told].double().mean(0)
    steps = [direction]
    for step in range(1, length):
        long_enough = recalling.mask[:, step]
        enough = int(long_enough.sum()) >= _LEAST_PROMPTS
        recalled = recalling.states[long_enough, step].double().mean(0) if enough else overall
        steps.append(refusing.states[:, step].double().mean(0) - recalled)
    return torch.stack(steps, dim=1).float()


def _features(
    loaded: LoadedModel, samples: Sequence[Sample], read: tuple[int, ...], settings: Settings, progress: Progress
) -> Float[Tensor, "N R 2 D"]:
    states = capture(loaded, samples, read, settings.batch_size, progress=progress)
    return torch.stack([states.last, states.mean], dim=2)


def _spread(samples: Sequence[Sample], count: int) -> list[Sample]:
    """Evenly spaced samples, so that every subject and form is among them."""
    step = max(1, len(samples) // count)
    return list(samples[::step][:count])


def _strength_finding(best: Trial, settings: Settings) -> Finding:
    enough = best.refused >= settings.refused
    return finding(
        "strength in the fluent range", f"lambda {best.strength:g}: {best.refused:.0%} fluent refusals, {best.leaked:.0%} leaks with the gate open",
        "pass" if enough else "warn", "" if enough else "more trajectory prompts, or other strengths",
    )


def _gate_findings(gate: HeldGate, profile: Profile, features: Tensor, owner: Tensor, ids: list[str]) -> list[Finding]:
    on_forget = gate.fires(features)
    on_kept = gate.fires(profile.calibration.float())
    recall, wrong = float(on_forget.float().mean()), float(on_kept.float().mean())
    per_subject = torch.stack([on_forget[owner == k].float().mean() for k in range(len(ids))])
    if recall == 0:
        raise CalibrationError(
            "no gate fires on the very prompts it was fitted on: the forgotten subjects cannot be told from the kept ones. "
            "Give more prompts per subject, or read other layers."
        )
    weakest = int(per_subject.argmin())
    return [
        finding("gates fire on forget prompts", f"{recall:.1%} of the fit; weakest {ids[weakest]}: {float(per_subject[weakest]):.0%}", "pass" if recall >= 0.95 else "warn"),
        finding("gates stay shut on calibration people", f"{wrong:.2%} of their prompts open one", "pass" if wrong <= 0.02 else "warn"),
    ]
