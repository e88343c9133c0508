"""From a forget set to an `Eraser`: the default gates, and MLLMEraser's published one.

Gates are fitted on the forget set and the profile's retained prompts; thresholds come from people a gate has not seen.
"""

from collections.abc import Sequence

import torch

from unsee.data.sample import Sample, require_some, subjects
from unsee.data.task import prompt_digest
from unsee.erase.config import Settings
from unsee.erase.eraser import Eraser
from unsee.erase.eraser_set import false_fires
from unsee.erase.fit.activations import capture, capture_features
from unsee.erase.fit.calibration import raised_together
from unsee.erase.fit.cross_fitting import cross_fitted
from unsee.erase.fit.findings import Finding, finding
from unsee.erase.fit.request_states import fingerprint
from unsee.erase.gates.null_space import NullSpace, NullSpaceGate, gate_of_components, null_components
from unsee.erase.gates.prompt_ridge import PromptRidgeGate
from unsee.erase.profile import Profile, require_same_model
from unsee.errors import CalibrationError
from unsee.models.load import LoadedModel
from unsee.progress import Stages, silent
from unsee.shapes import Tensor


def fit_eraser(
    loaded: LoadedModel,
    profile: Profile,
    forget: Sequence[Sample],
    *,
    keep: Sequence[Sample] = (),
    settings: Settings | None = None,
    stages: Stages = silent,
) -> Eraser:
    """Fit one gate per forgotten subject by class-balanced ridge, with one threshold from retained people.

    Args:
        loaded: the model that the profile was made on.
        profile: what refusing is and what is kept.
        forget: questions about the subjects to forget, as many wordings and images as there are.
        keep: prompts about the same subjects that must still be answered: what is plainly visible.
        settings: the profile's defaults if None.
        stages: progress display.

    Raises:
        DataError: the forget set is empty, or a subject of it is among the retained ones of the profile.
        MismatchError: the profile is another model's.
        CalibrationError: a subject cannot be told from the retained ones at all.
    """
    settings = settings or Settings.from_json(profile.settings)
    require_some(forget, "forget")
    require_same_model(profile.model, loaded, "profile")
    profile.require_unknown(forget)
    ids = subjects(forget)
    read, size = profile.read, settings.batch_size
    features = capture_features(loaded, forget, read, size, stages("forget prompts", len(forget)))
    kept = None
    if keep:
        kept = capture_features(loaded, keep, read, size, stages("prompts to keep", len(keep))).flatten(1)
    owner = torch.tensor([ids.index(sample.subject) for sample in forget])
    positives = [features[owner == k].flatten(1) for k in range(len(ids))]
    halves = profile.retain_people.float().flatten(1), profile.calibration.float().flatten(1)
    others = profile.retain_others.float().flatten(1)
    weight, bias, unseen = cross_fitted(positives, halves, others, kept, settings.ridge)
    threshold = raised_together(unseen, torch.full((len(ids),), settings.floor), settings.tail)
    gate = PromptRidgeGate(profile.read, weight.view(len(ids), *features.shape[1:]).float(), bias.float(), threshold)
    report = _gate_findings(gate, unseen, features, owner, ids)
    layers = profile.written
    return Eraser(
        model=profile.model,
        family=profile.family,
        layers=layers,
        gate=gate,
        trajectory=profile.trajectory[[profile.layers.index(layer) for layer in layers]],
        strength=profile.strength,
        method="held-ridge",
        settings=settings.as_json() | false_fires({"prompt": unseen}, threshold, fingerprint(profile)),
        subjects=tuple(ids),
        counts={"forget": len(forget), "keep": len(keep), "retain": len(profile.retain_last)},
        report=report,
        fitted_on=tuple(map(prompt_digest, (*forget, *keep))),
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
    """Fit MLLMEraser's gate by its published rule: null space of the retained states, every layer for itself.

    `h <- h + lambda <w_l, h_last> d_l` at all prompt positions of every layer but the first, prefill only.

    Args:
        loaded: the model that the profile was made on.
        profile: direction and retained states.
        forget: questions about everything to forget, in one gate.
        preset: ratio and gamma, `RELEASED_LLAVA` or `RELEASED_QWEN`.
        strength: lambda; the paper uses 0.25 to 0.3.
        settings: batch size.
        stages: progress display.

    Raises:
        DataError: the forget set is empty, or a subject of it is among the retained ones of the profile.
        MismatchError: the profile is another model's.
        CalibrationError: the forget states do not reach the null space.

    Source: MLLMEraser (arXiv 2510.04217), released scripts; layer 17, which they skip, is steered here.
    """
    settings = settings or Settings.from_json(profile.settings)
    require_some(forget, "forget")
    require_same_model(profile.model, loaded, "profile")
    profile.require_unknown(forget)
    tell = stages("forget prompts", len(forget))
    states = capture(loaded, forget, profile.layers, settings.batch_size, pool=("last",), progress=tell).last
    weights, energies = [], []
    for place in range(len(profile.layers)):
        inside, left = null_components(profile.retain_last[:, place], states[:, place], preset.ratio)
        weights.append(gate_of_components(inside, preset.gamma))
        energies.append(left)
    return Eraser(
        model=profile.model,
        family=profile.family,
        layers=profile.layers,
        gate=NullSpaceGate(torch.stack(weights).float()),
        trajectory=profile.trajectory[:, :1],
        strength=strength,
        method="published",
        settings={"ratio": preset.ratio, "gamma": preset.gamma, "lambda": strength},
        subjects=tuple(subjects(forget)),
        counts={"forget": len(forget), "retain": len(profile.retain_last)},
        report=[_null_space_finding(energies)],
        fitted_on=tuple(map(prompt_digest, forget)),
    )


def _null_space_finding(energies: Sequence[float]) -> Finding:
    worst = max(energies)
    return finding(
        "null space",
        f"kept energy left in it: {min(energies):.1e} to {worst:.1e} of the total",
        "pass" if worst < 1e-3 else "warn",
        "with more retained prompts than dimensions no null space is exact; what is left reaches retained people",
    )


def _gate_findings(
    gate: PromptRidgeGate, unseen: Tensor, features: Tensor, owner: Tensor, ids: list[str]
) -> list[Finding]:
    on_forget = gate.fires(features)
    on_kept = (unseen >= gate.threshold).any(1)
    recall, wrong = float(on_forget.float().mean()), float(on_kept.float().mean())
    per_subject = torch.stack([on_forget[owner == k].float().mean() for k in range(len(ids))])
    if recall == 0:
        raise CalibrationError(
            "no gate fires on the very prompts it was fitted on: the forgotten subjects cannot be told from the kept "
            "ones. Give more prompts per subject, or read other layers."
        )
    weakest = int(per_subject.argmin())
    return [
        finding(
            "gates fire on forget prompts",
            f"{recall:.1%} of the fit; weakest {ids[weakest]}: {float(per_subject[weakest]):.0%}",
            "pass" if recall >= 0.95 else "warn",
        ),
        finding(
            "gates stay shut on retained people",
            f"{wrong:.2%} of the prompts about people that a gate was not fitted on open it",
            "pass" if wrong <= 0.02 else "warn",
        ),
    ]
