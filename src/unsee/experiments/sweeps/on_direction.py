"""Presets about what is added: the direction, the images and prompts behind it, how hard, and at which tokens.

A direction is the first step of the trajectory; the later steps do not depend on it. Variants are given the length of
the default one at each layer, so that only where they point differs, and lambda need not be calibrated again. They are
compared at a lambda too small to refuse everybody with: at the calibrated one all of them do.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch
from torch import nn

from unsee.data.sample import Sample, spread
from unsee.erase.eraser import Eraser
from unsee.erase.fit.activations import capture
from unsee.erase.fit.coefficient import no_longer
from unsee.erase.fit.direction import erasure_direction
from unsee.erase.fit.pgd import pgd
from unsee.evals.answerers import Answerer
from unsee.experiments.sweeps.trying import Listed, Trial
from unsee.models.load import LoadedModel
from unsee.shapes import Float, Tensor

WEAK = 0.25
"""Lambda at which directions are told apart; the papers' own."""


def unconditional(trial: Trial) -> Listed:
    """The direction without a gate: what it does to everybody; and the gate with a random direction."""
    yield "gated (default)", lambda: trial.asked(trial.eraser)
    yield "no gate", lambda: trial.opened
    yield "gated, random direction", lambda: trial.asked(trial.eraser.with_random_direction(0))


def direction(trial: Trial) -> Listed:
    """Text, image or multimodal direction, with and without adversarial images, at a lambda of 0.25."""
    recall, refusal = trial.contrast
    clean, told = _parted(recall)
    clean = spread(clean, trial.settings.pgd_images)
    _, refused = _parted(refusal)
    # A text-only direction has no image to move; an image-only one is adversarial against clean.
    yield "text", lambda: trial.asked(along(trial, told, refused))
    yield "image: adversarial, clean", lambda: trial.asked(along(trial, moved(trial), clean))
    yield "multimodal, clean", lambda: trial.asked(along(trial, [*clean, *told], refusal))
    yield "multimodal, adversarial", lambda: trial.asked(at(trial.eraser, WEAK))
    yield "the same at the calibrated lambda (default)", lambda: trial.asked(trial.eraser)


def epsilon(trial: Trial) -> Listed:
    """Radius of PGD's ball, then number and size of its steps at the default radius, at a lambda of 0.25."""
    recall, refusal = trial.contrast
    clean, told = _parted(recall)
    clean = spread(clean, trial.settings.pgd_images)
    yield "0/255", lambda: trial.asked(along(trial, [*clean, *told], refusal))
    for radius, steps, size in [(r, 40, 1) for r in (4, 8, 16, 32, 64)] + [(16, 10, 1), (16, 10, 4), (16, 40, 4)]:

        def fit(radius: int = radius, steps: int = steps, size: int = size) -> Answerer:
            return trial.asked(along(trial, [*moved(trial, radius / 255, steps, size / 255), *told], refusal))

        yield f"{radius}/255, {steps} steps of {size}/255", fit


def strength(trial: Trial) -> Listed:
    """Lambda, around the calibrated one."""
    eraser = trial.eraser
    for value in (0.125, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0):
        mark = " (chosen)" if value == eraser.strength else ""
        yield f"{value:g}{mark}", lambda v=value: trial.asked(at(eraser, v))


def pairs(trial: Trial) -> Listed:
    """How many D+ and D- prompts make the direction (the papers: 17 of each), at a lambda of 0.25."""
    recall, refusal = trial.contrast
    mixed = spread_over(moved(trial), _parted(recall)[1])
    for count in (2, 4, 8, 17, 40, 80):
        yield f"{count} of each", lambda n=count: trial.asked(along(trial, mixed[:n], spread(refusal, n)))


def positions(trial: Trial) -> Listed:
    """Which tokens are steered: the last of the prompt or all of it, and what follows; lambda as calibrated."""
    eraser = trial.eraser
    first = eraser.trajectory[:, :1]
    # The last step of a trajectory is held, so a second one of zero steers the prompt alone.
    prompt = replace(eraser, trajectory=torch.cat([first, torch.zeros_like(first)], dim=1))
    same = replace(eraser, trajectory=no_longer(torch.cat([first, first], dim=1), eraser.strength))
    forms = {"no more": prompt, "the same at every answer token": same, "the trajectory": eraser}
    for name, form in forms.items():
        mark = " (default)" if form is eraser else ""
        yield f"last token, then {name}{mark}", lambda f=form: trial.asked(f)
        yield (
            f"all tokens, then {name}",
            lambda f=form: trial.decided(trial.gate, lambda: steered_before(trial.loaded, f), f),
        )


def refusals(trial: Trial) -> Listed:
    """The default eraser on a model that refuses more or less: give another checkpoint with --model."""
    yield "gated (default)", lambda: trial.asked(trial.eraser)
    yield "no gate", lambda: trial.opened


def moved(
    trial: Trial, epsilon: float | None = None, steps: int | None = None, step_size: float | None = None
) -> list[Sample]:
    """The recall images of the profile, moved by PGD; each setting is the default's where it is None."""
    shown, settings = _parted(trial.contrast[0])[0], trial.settings
    chosen = spread(shown, settings.pgd_images)
    attack = pgd(
        trial.loaded,
        chosen,
        [[s.answer] for s in chosen],
        generator=torch.Generator().manual_seed(0),
        epsilon=settings.epsilon if epsilon is None else epsilon,
        steps=settings.pgd_steps if steps is None else steps,
        step_size=settings.step_size if step_size is None else step_size,
        targets_per_step=1,
        batch_size=len(chosen),
    )
    return attack.samples


def along(trial: Trial, recall: Sequence[Sample], refusal: Sequence[Sample]) -> Eraser:
    """The default eraser, weak, along the direction between these prompts, as long as the default at each layer."""
    eraser, size = trial.eraser, trial.settings.batch_size
    above, below = (
        capture(trial.loaded, prompts, eraser.layers, size, pool=("last",)).last for prompts in (refusal, recall)
    )
    found, first = erasure_direction(above, below).float(), eraser.trajectory[:, 0]
    found = found * (first.norm(dim=1) / found.norm(dim=1)).unsqueeze(1)
    return at(replace(eraser, trajectory=torch.cat([found.unsqueeze(1), eraser.trajectory[:, 1:]], dim=1)), WEAK)


def at(eraser: Eraser, strength: float) -> Eraser:
    """The same at another lambda, its later steps as far as before."""
    trajectory = no_longer(whole(eraser.trajectory, eraser.strength), strength)
    return replace(eraser, trajectory=trajectory, strength=strength)


def whole(trajectory: Float[Tensor, "L S D"], strength: float) -> Float[Tensor, "L S D"]:
    """A trajectory before `no_longer` divided its steps after the first."""
    return torch.cat([trajectory[:, :1], trajectory[:, 1:] * max(1.0, strength)], dim=1)


def spread_over(one: Sequence[Sample], other: Sequence[Sample]) -> list[Sample]:
    """Both in turn, so that the first of the list are of both; what is left of the longer follows."""
    shared = min(len(one), len(other))
    return [s for pair in zip(one, other, strict=False) for s in pair] + [*one[shared:], *other[shared:]]


def _parted(samples: Sequence[Sample]) -> tuple[list[Sample], list[Sample]]:
    """With an image, and without."""
    return [s for s in samples if s.image], [s for s in samples if not s.image]


@contextmanager
def steered_before(loaded: LoadedModel, eraser: Eraser) -> Iterator[None]:
    """Also add the first step to every prompt token before the last, as the papers do; the eraser does the rest.

    For a batch in which every row is steered. Pads, which no real token looks at, are steered along.
    """
    blocks = loaded.adapter.layers(loaded.model)

    def adding(step: Float[Tensor, " D"]) -> Callable[[nn.Module, tuple[Tensor, ...]], tuple[Tensor, ...] | None]:
        def hook(_: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
            states = args[0]
            if states.shape[1] == 1:
                return None  # a token that is decoded
            before = torch.cat([states[:, :-1] + step.to(states), states[:, -1:]], dim=1)
            return (before, *args[1:])

        return hook

    steps = eraser.strength * eraser.trajectory[:, 0]
    handles = [
        blocks[layer].register_forward_pre_hook(adding(step)) for layer, step in zip(eraser.layers, steps, strict=True)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
