"""How hard to steer, and toward which refusal: retained questions answered with the gate held open, over both.

A model refuses in several wordings, and their mean is none of them: "that do decline". So each coefficient is first
asked for its first word alone, and the trajectory is that of a wording that begins with it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import torch

from unsee.data.sample import Sample
from unsee.data.text import bare_words
from unsee.erase.config import Settings
from unsee.erase.detectors import is_fluent, is_refusal, leaks
from unsee.erase.eraser import Eraser
from unsee.erase.fit.calibration import Trial
from unsee.erase.fit.findings import Finding, finding
from unsee.erase.gates.prompt_ridge import PromptRidgeGate
from unsee.erase.profile import Profile
from unsee.erase.steer.hooks import erased
from unsee.models.generate import generate
from unsee.models.load import LoadedModel
from unsee.progress import Stages, silent
from unsee.shapes import Float, Tensor


def try_strengths(
    loaded: LoadedModel,
    profile: Profile,
    trajectories: Mapping[str, Float[Tensor, "L S D"]],
    samples: Sequence[Sample],
    settings: Settings,
    stages: Stages = silent,
) -> list[Trial]:
    """Answers to retained questions with the gate held open, at each coefficient: what erasing would do to them.

    Args:
        loaded: the model.
        profile: names the layers; its own trajectory and strength are not used.
        trajectories: by refusal wording, the most used first, at all layers of the profile; "" follows no wording.
        samples: questions of calibration people.
        settings: the strengths.
        stages: progress display.
    """
    tell = stages("coefficients", len(settings.strengths) * len(samples))
    trials = []
    for strength in settings.strengths:
        wording = _wording(loaded, profile, trajectories, samples, strength, settings)
        along, length = no_longer(trajectories[wording], strength), settings.answer_tokens
        answers = _fired(loaded, profile, along, samples, strength, settings, length)
        begun = [is_refusal(a) and is_fluent(a) and (not wording or _first(a) == _first(wording)) for a in answers]
        leaked = [bool(s.gold) and leaks(a, s.accepted) for s, a in zip(samples, answers, strict=True)]
        fluent = [is_fluent(a) for a in answers]
        shares = {name: sum(hits) / len(answers) for name, hits in (("r", begun), ("l", leaked), ("f", fluent))}
        trials.append(Trial(strength, wording, refused=shares["r"], leaked=shares["l"], fluent=shares["f"]))
        tell(len(samples))
    return trials


def no_longer(trajectory: Float[Tensor, "L S D"], strength: float) -> Float[Tensor, "L S D"]:
    """Later steps divided by `max(1, strength)`, so that `strength` lengthens the first alone.

    The first step, a direction, has to win against what the prompt asks for. The later ones are whole differences of
    states: once, they carry a recall into the refusal; three times, past it ("that is private, so so will not answer").
    """
    return torch.cat([trajectory[:, :1], trajectory[:, 1:] / max(1.0, strength)], dim=1)


def strength_finding(best: Trial, settings: Settings) -> Finding:
    """Whether the chosen coefficient refuses fluently often enough."""
    enough = best.refused >= settings.refused
    return finding(
        "coefficient in the fluent range",
        f"lambda {best.strength:g}: {best.refused:.0%} fluent refusals, {best.leaked:.0%} leaks with the gate open",
        "pass" if enough else "warn",
        "" if enough else "more trajectory prompts, or other coefficients (strengths)",
    )


def _wording(
    loaded: LoadedModel,
    profile: Profile,
    trajectories: Mapping[str, Float[Tensor, "L S D"]],
    samples: Sequence[Sample],
    strength: float,
    settings: Settings,
) -> str:
    """The most used wording that begins as answers begin at this coefficient; else the most used of all."""
    if len(trajectories) == 1:
        return next(iter(trajectories))
    begun = next(iter(trajectories.values()))[:, :1]
    said = Counter(
        _first(a) for a in _fired(loaded, profile, begun, samples, strength, settings, settings.opening_tokens)
    )
    usual = said.most_common(1)[0][0]
    return next((words for words in trajectories if _first(words) == usual), next(iter(trajectories)))


def _fired(
    loaded: LoadedModel,
    profile: Profile,
    trajectory: Float[Tensor, "L S D"],
    samples: Sequence[Sample],
    strength: float,
    settings: Settings,
    length: int,
) -> list[str]:
    """Answers with a gate that always fires."""
    always = PromptRidgeGate.fires_always(profile.read, trajectory.shape[-1])
    written = profile.written
    steered = trajectory[[profile.layers.index(layer) for layer in written]]
    eraser = Eraser(profile.model, profile.family, written, always, steered, strength, "probe")
    with erased(loaded.model, eraser, adapter=loaded.adapter):
        return generate(loaded, samples, settings.batch_size, max_new_tokens=length)


def _first(answer: str) -> str:
    return next(iter(bare_words(answer).split()), "")
