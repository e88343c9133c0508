"""Images moved within a small ball until the model says what it was asked to: the recall side of a direction.

The loop over pixels is `unsee.erase.fit.ascent`'s; here is what it makes likely.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import torch
from transformers import BatchFeature

from unsee.data.prompts import Style
from unsee.data.sample import Sample
from unsee.erase.fit.ascent import ascend, frozen, moved
from unsee.errors import DataError, OptionError
from unsee.models.generate import answer_tokens, encode, log_probability
from unsee.models.load import LoadedModel
from unsee.progress import Progress
from unsee.shapes import Float, Tensor

# Pairs of (row, token ids): which prompt and image a target belongs to.
_Targets = Sequence[tuple[int, list[int]]]


@final
@dataclass(frozen=True, eq=False)
class Adversarial:
    """The result of an attack on N samples.

    Attributes:
        samples: the samples given, each with its moved image (PNG, at the model's resolution).
        pixels: the moved images in [0, 1], multiples of 1/255, float32 on the CPU.
        clean: the images before, likewise.
        history: log-probability of the targets that each step drew, mean over them; nats, taken before the step.
        before: log-probability of all targets on the clean image, mean over the targets, nats.
        after: the same on the moved image, as saved.
    """

    samples: list[Sample]
    pixels: Float[Tensor, "N C H W"]
    clean: Float[Tensor, "N C H W"]
    history: Float[Tensor, "N steps"]
    before: Float[Tensor, " N"]
    after: Float[Tensor, " N"]


@dataclass(frozen=True)
class _Attack:
    epsilon: float
    steps: int
    step_size: float
    random_start: bool
    targets_per_step: int
    generator: torch.Generator

    def __post_init__(self) -> None:
        if not 0.0 <= self.epsilon <= 1.0:
            raise OptionError(f"epsilon is {self.epsilon}, expected a number in [0, 1], such as 16/255")
        if not (self.step_size > 0.0 and math.isfinite(self.step_size)):
            raise OptionError(f"step_size is {self.step_size}, expected a number above 0, such as 1/255")
        if self.steps < 1:
            raise OptionError(f"steps is {self.steps}, expected at least 1")
        if self.targets_per_step < 1:
            raise OptionError(f"targets_per_step is {self.targets_per_step}, expected at least 1")


def pgd(
    loaded: LoadedModel,
    samples: Sequence[Sample],
    targets: Sequence[Sequence[str]],
    *,
    generator: torch.Generator,
    epsilon: float = 16 / 255,
    steps: int = 200,
    step_size: float = 1 / 255,
    random_start: bool = True,
    targets_per_step: int = 8,
    batch_size: int = 8,
    style: Style = "plain",
    progress: Progress | None = None,
) -> Adversarial:
    """Projected gradient ascent on the log-probability of target answers.

    `I' = argmax over |I' - I|_inf <= epsilon of sum_y log P(y | I', Q)`, by
    `I <- clip(I + step_size * sign(gradient))` into the ball and into [0, 1], from a uniform random start.
    The last iterate is rounded to 8 bits inside the ball.

    Args:
        loaded: the model; weights, gradients and mode are left as they were.
        samples: prompts with an image each.
        targets: for each sample, the answers to be made likely. For one corpus: `[corpus] * len(samples)`.
        generator: on the CPU; draws the start and the targets.
        epsilon: radius of the ball in L-infinity, in units of the pixel range [0, 1].
        steps: gradient steps.
        step_size: length of a step per pixel, in the same units.
        random_start: begin anywhere in the ball rather than at the clean image.
        targets_per_step: targets drawn for a sample at each step, without replacement.
        batch_size: images moved together; a forward pass holds `batch_size * targets_per_step` rows.
        style: as for `unsee.models.generate.encode`.
        progress: called with the number of image steps done, `len(samples) * steps` in all.

    Raises:
        OptionError: an option is out of its range.
        DataError: no sample, a sample without image, or no target for a sample.
        ModelError: the processor alters an image of the model's own resolution.

    Source: objective of MLLMEraser (arXiv 2510.04217); update, start and defaults of Qi et al. (Visual Adversarial
        Examples Jailbreak Aligned LLMs, `visual_attacker.py`), the code behind the images it uses.
    """
    attack = _Attack(epsilon, steps, step_size, random_start, targets_per_step, generator)
    if batch_size < 1:
        raise OptionError(f"batch_size is {batch_size}, expected at least 1")
    _require_images_and_targets(samples, targets)
    parts = []
    with frozen(loaded.model), torch.enable_grad():
        for start in range(0, len(samples), batch_size):
            batch = slice(start, start + batch_size)
            parts.append(_move(loaded, list(samples[batch]), targets[batch], attack, style, progress))
    return Adversarial(
        samples=[sample for part in parts for sample in part.samples],
        pixels=torch.cat([part.pixels for part in parts]),
        clean=torch.cat([part.clean for part in parts]),
        history=torch.cat([part.history for part in parts]),
        before=torch.cat([part.before for part in parts]),
        after=torch.cat([part.after for part in parts]),
    )


def _require_images_and_targets(samples: Sequence[Sample], targets: Sequence[Sequence[str]]) -> None:
    if not samples:
        raise DataError("there is no sample to attack: got an empty list, expected at least one with an image")
    if len(targets) != len(samples) or any(isinstance(texts, str) for texts in targets):
        raise DataError(
            f"got {len(targets)} entries of targets for {len(samples)} samples, expected one list of answers per "
            "sample. To use the same answers for all, pass [answers] * len(samples)."
        )
    for sample, texts in zip(samples, targets, strict=True):
        if sample.image is None:
            raise DataError(f"sample {sample.id!r} has no image, so there is nothing to move. Leave it out.")
        if not texts:
            raise DataError(f"sample {sample.id!r} has no target answer, expected at least one")


def _move(
    loaded: LoadedModel,
    samples: list[Sample],
    targets: Sequence[Sequence[str]],
    attack: _Attack,
    style: Style,
    progress: Progress | None,
) -> Adversarial:
    clean = loaded.adapter.pixels(loaded.processor, [s.image for s in samples if s.image is not None])
    prompts = encode(loaded, samples, style)
    tokens = [answer_tokens(loaded, texts) for texts in targets]

    def gain(pixels: Float[Tensor, "N C H W"]) -> Float[Tensor, " N"]:
        drawn = [(row, answer) for row, answers in enumerate(tokens) for answer in _draw(answers, attack)]
        return _mean_by_row(_log_probabilities(loaded, prompts, pixels, drawn), drawn, len(tokens))

    pixels, history = ascend(
        gain, clean, epsilon=attack.epsilon, steps=attack.steps, step_size=attack.step_size, device=loaded.device,
        start=attack.generator if attack.random_start else None, progress=progress,
    )  # fmt: skip
    found = moved(loaded, samples, pixels)
    size = len(samples) * attack.targets_per_step
    return Adversarial(
        samples=found,
        pixels=pixels,
        clean=clean,
        history=history,
        before=_score(loaded, prompts, tokens, clean, size),
        after=_score(loaded, prompts, tokens, pixels, size),
    )


def _draw(answers: list[list[int]], attack: _Attack) -> list[list[int]]:
    if len(answers) <= attack.targets_per_step:
        return answers
    chosen = torch.randperm(len(answers), generator=attack.generator)[: attack.targets_per_step]
    return [answers[index] for index in chosen.tolist()]


def _log_probabilities(
    loaded: LoadedModel, prompts: BatchFeature, pixels: Float[Tensor, "N C H W"], targets: _Targets
) -> Float[Tensor, " M"]:
    """Of M targets, each on the prompt and the image of its row."""
    rows = torch.tensor([row for row, _ in targets], device=pixels.device)
    images = BatchFeature(loaded.adapter.model_inputs(loaded.processor, pixels[rows])).to(loaded.model.dtype)
    inputs = {name: value[rows] for name, value in prompts.items() if name not in images} | dict(images)
    return log_probability(loaded, inputs, [answer for _, answer in targets])


def _mean_by_row(values: Float[Tensor, " M"], targets: _Targets, count: int) -> Float[Tensor, " N"]:
    rows = torch.tensor([row for row, _ in targets], device=values.device)
    return torch.zeros_like(values[:1]).repeat(count).index_add(0, rows, values) / rows.bincount(minlength=count)


@torch.no_grad()
def _score(
    loaded: LoadedModel,
    prompts: BatchFeature,
    tokens: list[list[list[int]]],
    pixels: Float[Tensor, "N C H W"],
    size: int,
) -> Float[Tensor, " N"]:
    """Mean log-probability of all targets of each sample, `size` rows in a forward pass."""
    targets = [(row, answer) for row, answers in enumerate(tokens) for answer in answers]
    there = pixels.to(loaded.device)
    parts = [
        _log_probabilities(loaded, prompts, there, targets[start : start + size])
        for start in range(0, len(targets), size)
    ]
    return _mean_by_row(torch.cat(parts), targets, len(tokens)).cpu()
