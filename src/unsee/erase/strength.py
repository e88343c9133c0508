"""How hard to steer: kept questions answered with the gate held open, over a range of strengths."""

from collections.abc import Sequence

import torch

from unsee.data.answers import is_fluent, is_refusal, leaks
from unsee.data.samples import Sample
from unsee.erase.calibrate import Trial
from unsee.erase.diagnosis import Finding, finding
from unsee.erase.eraser import Eraser, HeldGate
from unsee.erase.hooks import erased
from unsee.erase.profile import Profile
from unsee.erase.settings import Settings
from unsee.models.encode import generate
from unsee.models.load import LoadedModel
from unsee.progress import Stages, silent


def try_strengths(
    loaded: LoadedModel, profile: Profile, samples: Sequence[Sample], settings: Settings, stages: Stages = silent
) -> list[Trial]:
    """Answers to kept questions with the gate held open, at each strength: what erasing would do to them."""
    layers = profile.written
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


def strength_finding(best: Trial, settings: Settings) -> Finding:
    """Whether the chosen strength refuses fluently often enough."""
    enough = best.refused >= settings.refused
    return finding(
        "strength in the fluent range",
        f"lambda {best.strength:g}: {best.refused:.0%} fluent refusals, {best.leaked:.0%} leaks with the gate open",
        "pass" if enough else "warn",
        "" if enough else "more trajectory prompts, or other strengths",
    )
