"""What refusing is in one model: the erasure direction, and the trajectory of a refusal's words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch

from unsee.data.sample import Sample, spread
from unsee.erase.config import Settings
from unsee.erase.fit.activations import AnswerStates, capture, capture_answers
from unsee.erase.fit.behaviour import LEAST_PROMPTS, behaving
from unsee.erase.fit.direction import erasure_direction, separation
from unsee.erase.fit.findings import Finding, finding
from unsee.erase.fit.pgd import pgd
from unsee.erase.replies.steer import decayed
from unsee.errors import DirectionError
from unsee.models.load import LoadedModel
from unsee.progress import Stages
from unsee.shapes import Float, Tensor
from unsee.workers import Workers

NO_WORDING = ""
"""In place of the refusal whose trajectory is followed, where none is."""
_WITH_GRADIENTS = 8
"""Images that PGD moves at once: a graph of the whole model is alive for each."""


@final
@dataclass(frozen=True)
class Prompts:
    """D-, D+, questions about names of nobody, and the retained ones that a trajectory is read on."""

    recall: Sequence[Sample]
    refusal: Sequence[Sample]
    unknown: Sequence[Sample]
    retain: Sequence[Sample]


@final
@dataclass(frozen=True)
class Refusing:
    """What refusing is in this model: its direction, one trajectory a wording, and how many prompts showed it."""

    direction: Float[Tensor, "L D"]
    trajectories: dict[str, Float[Tensor, "L S D"]]
    words: Sequence[str]
    counts: dict[str, int]
    pgd: list[float]


def refusing(
    loaded: LoadedModel,
    prompts: Prompts,
    layers: tuple[int, ...],
    settings: Settings,
    seed: int,
    stages: Stages,
    report: list[Finding],
    workers: Workers[LoadedModel],
) -> Refusing:
    """Find it; what was found on the way goes into the report.

    Raises:
        DirectionError: too few prompts behave as their set says, or no refusal is fluent.
    """
    complied, refused, words = behaving(
        loaded, prompts.recall, prompts.refusal, prompts.unknown, settings, stages, report, workers
    )
    complied, refused, history = _contrast(loaded, complied, refused, settings, seed, stages, report)
    direction = _direction(loaded, complied, refused, layers, settings, stages, report, workers)
    trajectories = {NO_WORDING: first_token(direction, settings.later)}
    if words and settings.steps > 1:
        chosen = spread(prompts.retain, settings.trajectory_prompts)
        trajectories = _trajectories(loaded, chosen, words, direction, layers, settings, stages)
    return Refusing(direction, trajectories, words, {"recall": len(complied), "refusal": len(refused)}, history)


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
    """By refusal wording: refusal minus recall along the answer, over retained prompts; step 0 is `direction`.

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


def first_token(direction: Float[Tensor, "L D"], later: float) -> Float[Tensor, "L S D"]:
    """The direction at the first answer token and `later` times it at every other one: nothing belongs to a wording."""
    return decayed(direction.float().unsqueeze(1).repeat(1, 2, 1), later)
