"""ASRU, stage 1: an MLP's down-projection is changed so that forgotten questions look like those about unknown people.

`v = mean a_L(unknown) - mean a_L(forget)` at the last real prompt token, `a_L` the output of block L. The projection
W takes `z` to `W z`. Its update is asked to add `lambda v` on forget prompts and nothing on what is kept:

    min over U of (1/N_f) sum_f |U z_f - lambda v|^2 + (alpha/N_r) sum_r |U z_r|^2 + gamma m |U|^2

with m the mean eigenvalue of the second moments, so that gamma has no unit; towards infinity it leaves W as it is. All
forget prompts share one target, so the solution has rank 1: `U = lambda v w^T`, `w = (S_f + alpha S_r + gamma m I)^-1
mean z_f`, the ridge of steering, moved into a weight.

Source: ASRU (arXiv 2605.15687). Its code trains W by gradient towards the same targets (`asru_gradient`); the closed
form is the one of its text, as a re-implementation gives it, here around W instead of around 0.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import torch
from torch import nn

from unsee.data.sample import Sample, require_some
from unsee.erase.detectors import is_refusal
from unsee.erase.fit.activations import capture
from unsee.erase.fit.direction import erasure_direction
from unsee.errors import OptionError
from unsee.methods.errors import MethodError
from unsee.methods.rows import with_answers
from unsee.methods.weights import default_layer, down_projection, reading_of
from unsee.models.generate import batches_by_length, encode, generate
from unsee.models.load import LoadedModel
from unsee.progress import Progress, Stages, silent
from unsee.shapes import Float, Tensor

_LEAST = 4
SUFFIX = " if you do not know, describe the image."
"""What the release adds to every such question."""


@final
@dataclass(frozen=True, eq=False)
class Shift:
    """Where to redirect to.

    Attributes:
        layer: decoder block.
        vector: v, in units of the residual stream.
        unknown: questions that were refused and therefore used.
    """

    layer: int
    vector: Float[Tensor, " D"]
    unknown: int


def ridge_update(
    forget: Float[Tensor, "N H"],
    retain_second: Float[Tensor, "H H"],
    vector: Float[Tensor, " D"],
    *,
    scale: float = 3.0,
    alpha: float = 1.0,
    gamma: float = 0.01,
) -> Float[Tensor, "D H"]:
    """The update U of the down-projection in closed form, float64; H is the width of the MLP.

    Args:
        forget: inputs `z_f` of the projection at the last prompt token, one row per forget prompt.
        retain_second: `S_r`, mean of `z_r z_r^T` over kept tokens.
        vector: v.
        scale: lambda.
        alpha: weight of what is kept.
        gamma: ridge, relative to the mean eigenvalue of `S_f + alpha S_r`; above 0.

    Raises:
        OptionError: gamma is not above 0, or alpha is below 0.
    """
    if not (0 < gamma < float("inf") and alpha >= 0):
        raise OptionError(f"gamma is {gamma} and alpha {alpha}, expected gamma above 0 and alpha at least 0.")
    states = forget.double()
    second = states.mT @ states / len(states) + alpha * retain_second.double()
    ridge = gamma * second.diagonal().mean() * torch.eye(len(second), dtype=second.dtype, device=second.device)
    weight = torch.linalg.solve(second + ridge, states.mean(0))
    return scale * vector.double().to(weight.device).unsqueeze(1) * weight


def find_shift(
    loaded: LoadedModel,
    forget: Sequence[Sample],
    unknown: Sequence[Sample],
    *,
    layer: int | None = None,
    original: LoadedModel | None = None,
    suffix: str = "",
    batch_size: int = 32,
    stages: Stages = silent,
) -> Shift:
    """The shift of one block, from people whom the model says it does not know.

    Args:
        loaded: the model that is to forget.
        forget: questions about what is forgotten.
        unknown: questions about people whom no model was told of.
        layer: block L; None takes the published share of the depth.
        original: the model before it learnt what is forgotten, as published; None uses the same model for both.
        suffix: added to these questions; the release's is `SUFFIX`.
        batch_size: prompts per forward pass.
        stages: progress display.

    Raises:
        DataError: a set is empty.
        MethodError: the model refuses fewer than four of the questions about unknown people, or block L is the last.
        OptionError: there is no such block.
    """
    require_some(forget, "forget")
    require_some(unknown, "unknown")
    place = default_layer(loaded, "asru_gradient") if layer is None else layer
    down_projection(loaded, place)
    if place + 1 >= len(loaded.adapter.layers(loaded.model)):
        raise MethodError(
            f"block {place} is the last one, and its output is read by no block. Choose an earlier layer for ASRU."
        )
    knows_nobody = original or loaded
    asked = [_suffixed(sample, suffix) for sample in unknown] if suffix else list(unknown)
    answers = generate(knows_nobody, asked, batch_size, progress=stages("unknown", len(asked)))
    refused = [sample for sample, answer in zip(asked, answers, strict=True) if is_refusal(answer)]
    if len(refused) < _LEAST:
        raise MethodError(
            f"the model refuses {len(refused)} of {len(asked)} questions about unknown people, expected "
            f"at least {_LEAST}: "
            "there is nothing to redirect to. Pass more of them, or a model that says when it does not know somebody."
        )
    above = capture(knows_nobody, refused, [place + 1], batch_size, pool=("last",)).last
    below = capture(
        loaded, forget, [place + 1], batch_size, pool=("last",), progress=stages("forget", len(forget))
    ).last
    return Shift(place, erasure_direction(above, below)[0].float(), len(refused))


def redirect(
    loaded: LoadedModel,
    forget: Sequence[Sample],
    retain: Sequence[Sample],
    shift: Shift,
    *,
    scale: float = 3.0,
    alpha: float = 1.0,
    gamma: float = 0.01,
    batch_size: int = 32,
    stages: Stages = silent,
) -> None:
    """Add the closed-form update to the model's down-projection, in place.

    Kept: every real token of retained questions and their answers, as the release's retain loss counts them.

    Raises:
        DataError: a set is empty.
        OptionError: as `ridge_update`.
    """
    require_some(forget, "forget")
    require_some(retain, "retain")
    matrix = down_projection(loaded, shift.layer)
    tell = stages("inputs of the projection", len(forget) + len(retain))
    asked = torch.cat(list(_last_inputs(loaded, matrix, forget, batch_size, tell)))
    second = torch.zeros(matrix.in_features, matrix.in_features, dtype=torch.float64)
    count = 0
    for rows in _all_inputs(loaded, matrix, retain, batch_size, tell):
        second += rows.mT @ rows
        count += len(rows)
    update = ridge_update(asked, second / count, shift.vector, scale=scale, alpha=alpha, gamma=gamma)
    with torch.no_grad():
        matrix.weight += update.to(matrix.weight)


def _suffixed(sample: Sample, suffix: str) -> Sample:
    return replace(sample, question=sample.question + suffix)


def _last_inputs(
    loaded: LoadedModel, matrix: nn.Linear, samples: Sequence[Sample], size: int, tell: Progress
) -> Iterator[Float[Tensor, "N H"]]:
    for indices in batches_by_length(loaded, samples, size):
        inputs = dict(encode(loaded, [samples[i] for i in indices]))
        yield _inputs_of(loaded, matrix, inputs)[:, -1].double().cpu()
        tell(len(indices))


def _all_inputs(
    loaded: LoadedModel, matrix: nn.Linear, samples: Sequence[Sample], size: int, tell: Progress
) -> Iterator[Float[Tensor, "N H"]]:
    for indices in batches_by_length(loaded, samples, size):
        chosen = [samples[i] for i in indices]
        inputs = with_answers(loaded, chosen, [sample.answer for sample in chosen])
        inputs.pop("labels")
        yield _inputs_of(loaded, matrix, inputs)[inputs["attention_mask"].bool()].double().cpu()
        tell(len(indices))


def _inputs_of(loaded: LoadedModel, matrix: nn.Linear, inputs: dict[str, Any]) -> Float[Tensor, "B T H"]:
    with torch.no_grad(), reading_of({"matrix": matrix}, outputs=False) as seen:
        loaded.model(**inputs, use_cache=False, logits_to_keep=1)
    return seen["matrix"]
