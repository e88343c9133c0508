"""MANU: neurons of MLPs that are busier on what is forgotten than on what is kept are cut out, without training.

Four statistics per neuron over all real tokens: mean |a|, share of |a| above a threshold, standard deviation, root mean
square. Score: `sum_k w_k (I_k(D_f) / (I_k(D_r) + eps) - 1)`. The neurons with the highest scores over all chosen layers
are zeroed, those of the vision tower by questions with an image, those of the decoder by questions without one.

Source: MANU (arXiv 2502.15910); `prune_utility.py` of github.com/franciscoliu/MANU, whose weights are
(2, 0, 2, 2), threshold 0.1, eps 1e-5, and which takes its statistics over the batch, pads included, per position.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, final, get_args

import torch
from torch import nn

from unsee.data.sample import Sample, require_some
from unsee.errors import OptionError
from unsee.methods.errors import MethodError
from unsee.methods.rows import with_answers
from unsee.methods.weights import reading_of
from unsee.models.load import LoadedModel
from unsee.progress import Progress, Stages, silent
from unsee.shapes import Bool, Float, Tensor

WEIGHTS = (2.0, 0.0, 2.0, 2.0)
Part = Literal["vision", "language"]
_ENTERING = ("down_proj", "fc2", "linear_fc2")


@final
@dataclass(frozen=True, eq=False)
class Busy:
    """How busy M neurons were over some tokens; two of them add up to what they are over all.

    Attributes:
        count: tokens.
        total: sum of the activations.
        size: sum of their absolute values.
        square: sum of their squares.
        above: tokens at which the absolute value is above the threshold.
    """

    count: int
    total: Float[Tensor, " M"]
    size: Float[Tensor, " M"]
    square: Float[Tensor, " M"]
    above: Float[Tensor, " M"]

    @staticmethod
    def of(activations: Float[Tensor, "N M"], threshold: float = 0.1) -> "Busy":
        """Of N tokens, in float64."""
        a = activations.double()
        return Busy(len(a), a.sum(0), a.abs().sum(0), a.square().sum(0), (a.abs() > threshold).double().sum(0))

    def __add__(self, other: "Busy") -> "Busy":
        mine, its = ((one.total, one.size, one.square, one.above) for one in (self, other))
        return Busy(self.count + other.count, *(a + b for a, b in zip(mine, its, strict=True)))

    def importance(self) -> Float[Tensor, "4 M"]:
        """Mean |a|, share above the threshold, standard deviation (n - 1), root mean square."""
        mean = self.total / self.count
        spread = (self.square - self.count * mean.square()).clamp(min=0) / max(1, self.count - 1)
        return torch.stack(
            [self.size / self.count, self.above / self.count, spread.sqrt(), (self.square / self.count).sqrt()]
        )


def scores(
    forget: Float[Tensor, "4 M"],
    retain: Float[Tensor, "4 M"],
    weights: Sequence[float] = WEIGHTS,
    epsilon: float = 1e-5,
) -> Float[Tensor, " M"]:
    """`sum_k w_k (I_k(D_f) / (I_k(D_r) + eps) - 1)` per neuron."""
    return torch.tensor(weights, dtype=forget.dtype) @ (forget / (retain + epsilon) - 1)


def highest(scored: Mapping[str, Float[Tensor, " M"]], percent: float) -> dict[str, Bool[Tensor, " M"]]:
    """The `percent` of all neurons with the highest scores, over all layers together; at least one.

    Raises:
        OptionError: `percent` is outside (0, 100].
    """
    if not 0 < percent <= 100:
        raise OptionError(f"percent is {percent}, expected more than 0 and at most 100; the paper uses 2, 5 and 10.")
    every = torch.cat(list(scored.values()))
    limit = every.topk(max(1, int(percent / 100 * len(every)))).values[-1]
    return {name: values >= limit for name, values in scored.items()}


def prune(
    loaded: LoadedModel,
    forget: Sequence[Sample],
    retain: Sequence[Sample],
    *,
    percent: float = 2.0,
    released: bool = False,
    batch_size: int = 16,
    stages: Stages = silent,
) -> dict[str, int]:
    """Cut neurons out of the model in place; returns how many per matrix.

    Ours: a neuron is what enters an MLP's last matrix, in every block. Released: an output of any of the MLP's
    matrices, in the last three blocks of the tower and of the decoder.

    Raises:
        MethodError: the model has no such MLPs.
        DataError: a set is empty.
    """
    require_some(forget, "forget")
    require_some(retain, "retain")
    cut: dict[str, int] = {}
    for part in get_args(Part):
        matrices = _matrices(loaded, part, released)
        asked, kept = (_of(part, samples) for samples in (forget, retain))
        if not asked or not kept:
            continue  # nothing tells this part's neurons apart
        tell = stages(f"neurons of the {part} part", len(asked) + len(kept))
        busy_f, busy_r = (
            _busy(loaded, matrices, samples, released, part == "language", batch_size, tell)
            for samples in (asked, kept)
        )
        scored = {name: scores(busy_f[name].importance(), busy_r[name].importance()) for name in matrices}
        with torch.no_grad():
            for name, chosen in highest(scored, percent).items():
                weight, bias, gone = matrices[name].weight, matrices[name].bias, chosen.to(matrices[name].weight.device)
                if not released:
                    weight[:, gone] = 0
                else:
                    weight[gone] = 0
                    if bias is not None:
                        bias[gone] = 0
                cut[name] = int(gone.sum())
    if not cut:
        raise MethodError(
            "MANU found nothing to compare: expected forget and retain questions that both have images, or both have "
            "none. Add some."
        )
    return cut


def _of(part: Part, samples: Sequence[Sample]) -> list[Sample]:
    return [sample for sample in samples if (sample.image is not None) == (part == "vision")]


def _matrices(loaded: LoadedModel, part: Part, released: bool) -> dict[str, nn.Linear]:
    decoder = {id(module) for module in loaded.adapter.text_model(loaded.model).modules()}
    blocks = [
        (name, module)
        for name, module in loaded.model.named_modules()
        if name.endswith(".mlp") and (id(module) in decoder) == (part == "language")
    ]
    found: dict[str, nn.Linear] = {}
    for name, block in blocks[-3:] if released else blocks:
        for child, matrix in block.named_children():
            if isinstance(matrix, nn.Linear) and (released or child in _ENTERING):
                found[f"{name}.{child}"] = matrix
    if not found:
        raise MethodError(
            f"MANU cuts neurons of MLPs, but the {part} part of family {loaded.adapter.family!r} has no module named "
            f"'mlp' with one of {list(_ENTERING)}. Choose another method."
        )
    return found


def _busy(
    loaded: LoadedModel,
    matrices: Mapping[str, nn.Linear],
    samples: Sequence[Sample],
    outputs: bool,
    padded: bool,
    size: int,
    tell: Progress,
) -> dict[str, Busy]:
    busy: dict[str, Busy] = {}
    for start in range(0, len(samples), size):
        chosen = samples[start : start + size]
        inputs = with_answers(loaded, chosen, [sample.answer for sample in chosen])
        inputs.pop("labels")
        real = inputs["attention_mask"].bool()
        with torch.no_grad(), reading_of(matrices, outputs) as read:
            loaded.model(**inputs, use_cache=False, logits_to_keep=1)
        for name, states in read.items():
            rows = states[real] if padded else states.flatten(0, -2)  # the tower sees images, without pads
            here = Busy.of(rows.cpu())
            busy[name] = busy[name] + here if name in busy else here
        tell(len(chosen))
    return busy
