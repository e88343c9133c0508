"""MMUnlearner: forget steps move only the weights that matter more for what is forgotten than for what is kept.

`m = 1[(F_f + eps) / (F_p + eps) >= tau]`, F the mean squared gradient of the answer loss over batches. Language and
vision are masked apart, each against what it must preserve: the language model against questions by name (the forgotten
people's too: published as erasing what an image gives away, not what is known by name) and retained questions with a
image; the vision tower and the projector against retained questions with an image.

Source: MMUnlearner (arXiv 2502.11051); mask of `Mask_Our` (`SFRon.py`) as used by the official code.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from unsee.data.sample import Sample
from unsee.methods.errors import MethodError
from unsee.methods.job import Job
from unsee.methods.losses import cross_entropy
from unsee.methods.rows import Role, with_answers
from unsee.models.load import LoadedModel
from unsee.shapes import Bool, Float, Tensor

Mask = dict[str, Bool[Tensor, "..."]]


def mean_squared_gradient(
    parameters: Mapping[str, nn.Parameter], losses: Iterable[Float[Tensor, ""]]
) -> dict[str, Float[Tensor, "..."]]:
    """`F = (1/N) sum_n (d L_n / d theta)^2` of N scalar losses, element by element; 0 where no loss depends on it.

    Args:
        parameters: by name; each requires a gradient.
        losses: made one at a time, so that one graph is alive at once.

    Raises:
        MethodError: there is no loss, so that nothing is known to matter.
    """
    total = {name: torch.zeros_like(value, device="cpu") for name, value in parameters.items()}
    count = 0
    for loss in losses:
        gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
        for name, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                total[name] += gradient.detach().square().cpu()
        count += 1
    if count == 0:
        raise MethodError(
            "the Fisher information of an empty set was asked for, expected at least one question. MMUnlearner needs "
            "forget questions with an image and retained ones with an image."
        )
    return {name: value / count for name, value in total.items()}


def ratio_mask(
    forget: Mapping[str, Float[Tensor, "..."]],
    preserve: Mapping[str, Float[Tensor, "..."]],
    threshold: float = 1.0,
    epsilon: float = 1e-15,
) -> Mask:
    """`m = 1[(F_f + eps) / (F_p + eps) >= tau]` per element; weights that matter for neither are in the mask."""
    return {name: (value + epsilon) / (preserve[name] + epsilon) >= threshold for name, value in forget.items()}


def masked_steps(
    job: Job, answer_only: bool = True, batch_size: int = 4, threshold: float = 1.0
) -> Callable[[nn.Module], Callable[[frozenset[Role]], None]]:
    """What `unsee.methods.trainer.run` takes as `adjust`: masks made on the model as it is, applied to forget steps.

    Args:
        job: the model, and the data; forget questions without an image are preserved, as published.
        answer_only: as in `TrainSettings`.
        batch_size: questions per gradient; squares are of the batch's gradient, as in the release.
        threshold: tau.
    """
    loaded = job.loaded
    shown, named = _parted(job.forget)
    kept_shown, kept_named = _parted(job.retain)

    def prepare(model: nn.Module) -> Callable[[frozenset[Role]], None]:
        free = {name: p for name, p in model.named_parameters() if p.requires_grad}
        inside = {id(p) for p in loaded.adapter.text_model(loaded.model).parameters()}
        language = {name: p for name, p in free.items() if id(p) in inside}
        vision = {name: p for name, p in free.items() if id(p) not in inside}
        mask: Mask = {}
        for part, preserved in ((language, [*named, *kept_named, *kept_shown]), (vision, kept_shown)):
            if part:
                mask |= ratio_mask(fisher(model, part, shown), fisher(model, part, preserved), threshold)

        def apply(present: frozenset[Role]) -> None:
            if Role.FORGET in present:
                for name, parameter in free.items():
                    if parameter.grad is not None:
                        parameter.grad.mul_(mask[name].to(parameter.grad.device))

        return apply

    def fisher(model: nn.Module, part: Mapping[str, nn.Parameter], samples: Sequence[Sample]) -> dict[str, Tensor]:
        tell = job.stages("Fisher information", len(samples))
        return mean_squared_gradient(part, _losses(loaded, model, samples, answer_only, batch_size, tell))

    return prepare


def _losses(
    loaded: LoadedModel,
    model: Any,
    samples: Sequence[Sample],
    answer_only: bool,
    size: int,
    tell: Callable[[int], None],
) -> Iterable[Tensor]:
    model.eval()
    for start in range(0, len(samples), size):
        chosen = samples[start : start + size]
        inputs = with_answers(loaded, chosen, [s.answer for s in chosen], answer_only=answer_only)
        labels = inputs.pop("labels")
        yield cross_entropy(model(**inputs, use_cache=False).logits, labels)
        tell(len(chosen))


def _parted(samples: Sequence[Sample]) -> tuple[list[Sample], list[Sample]]:
    return [s for s in samples if s.image is not None], [s for s in samples if s.image is None]
