"""Steered controls: a refusal vector for everybody, AlphaSteer on text alone, and a vector behind a cosine condition.

The random direction of equal norm is `Eraser.with_random_direction`. What these fit are ordinary erasers; only CAST's
condition, which is no linear gate, is read before the answer.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import torch
from torch.nn.functional import cosine_similarity

from unsee.data.sample import Sample, require_some, subjects
from unsee.erase.eraser import Eraser
from unsee.erase.fit.activations import capture, capture_features
from unsee.erase.fit.direction import erasure_direction
from unsee.erase.gates.null_space import NullSpace, NullSpaceGate, null_space_gate
from unsee.erase.gates.prompt_ridge import PromptRidgeGate
from unsee.erase.profile import Profile, identity, require_same_model
from unsee.errors import DataError
from unsee.models.load import LoadedModel
from unsee.progress import Stages, silent
from unsee.shapes import Bool, Float, Tensor

ALPHASTEER = NullSpace(ratio=0.6, gamma=10.0)
"""AlphaSteer's ratio in most layers of Llama-3.1-8B, and its ridge; its code sets both per layer of each model."""


def unconditional(profile: Profile, strength: float | None = None) -> Eraser:
    """One refusal vector for every prompt: `h <- h + lambda d_l` from the last prompt token on, gate always open.

    The vector is the profile's erasure direction, without its trajectory.
    """
    always = PromptRidgeGate.fires_always(profile.read, profile.trajectory.shape[-1])
    places = [profile.layers.index(layer) for layer in profile.written]
    return Eraser(
        model=profile.model,
        family=profile.family,
        layers=profile.written,
        gate=always,
        trajectory=profile.trajectory[places, :1],
        strength=profile.strength if strength is None else strength,
        method="unconditional",
        subjects=("everybody",),
    )


def fit_alphasteer_text(
    loaded: LoadedModel,
    forget: Sequence[Sample],
    retain: Sequence[Sample],
    recall: Sequence[Sample],
    refusal: Sequence[Sample],
    *,
    preset: NullSpace = ALPHASTEER,
    strength: float = 0.3,
    batch_size: int = 64,
    stages: Stages = silent,
) -> Eraser:
    """AlphaSteer as published, which knows no images: direction, null space and gate from text-only prompts.

    `h <- h + lambda <w_l, h_last> d_l` at all prompt positions of every block but the first, prefill only.

    Args:
        loaded: the model.
        forget: what is forgotten; questions with images are left out, and still asked in tests.
        retain: what is kept.
        recall: prompts that the model answers.
        refusal: prompts that it refuses.
        preset: ratio and gamma.
        strength: lambda; the release sweeps 0.1 to 0.5.
        batch_size: prompts per forward pass.
        stages: progress display.

    Raises:
        DataError: a set has no text-only question.
        DirectionError: recall and refusal do not differ.
        CalibrationError: the forget states do not reach the null space.

    Source: AlphaSteer (arXiv 2506.07022), `src/utils/steering_utils.py` of github.com/AlphaLab-USTC/AlphaSteer.
    """
    sets = {"forget": forget, "retain": retain, "recall": recall, "refusal": refusal}
    plain = {name: [s for s in samples if s.image is None] for name, samples in sets.items()}
    for name, samples in plain.items():
        require_some(samples, f"{name} (text only)")
    layers = tuple(range(1, len(loaded.adapter.layers(loaded.model))))
    tell = stages("text-only prompts", sum(map(len, plain.values())))
    states = {
        name: capture(loaded, samples, layers, batch_size, pool=("last",), progress=tell).last
        for name, samples in plain.items()
    }
    direction = erasure_direction(states["refusal"], states["recall"]).float()
    weights = [
        null_space_gate(states["retain"][:, place], states["forget"][:, place], preset) for place in range(len(layers))
    ]
    return Eraser(
        model=identity(loaded),
        family=loaded.adapter.family,
        layers=layers,
        gate=NullSpaceGate(torch.stack(weights).float()),
        trajectory=direction.unsqueeze(1),
        strength=strength,
        method="alphasteer-text",
        settings={"ratio": preset.ratio, "gamma": preset.gamma, "lambda": strength},
        subjects=tuple(subjects(plain["forget"])),
        counts={name: len(samples) for name, samples in plain.items()},
    )


@final
@dataclass(frozen=True, eq=False)
class Condition:
    """CAST's condition: how far the mean state of a prompt points along a vector.

    Attributes:
        layer: block whose input is read.
        centre: what the states are compared with before their angle is taken.
        vector: condition vector, a unit vector.
        threshold: cosine from which it holds.
    """

    layer: int
    centre: Float[Tensor, " D"]
    vector: Float[Tensor, " D"]
    threshold: float

    def scores(self, states: Float[Tensor, "N D"]) -> Float[Tensor, " N"]:
        """`cos(h - centre, c)` in [-1, 1]."""
        return cosine_similarity(states.float() - self.centre, self.vector.unsqueeze(0), dim=-1)

    def fires(self, states: Float[Tensor, "N D"]) -> Bool[Tensor, " N"]:
        """Which prompts are steered."""
        return self.scores(states) >= self.threshold

    @property
    def called(self) -> str:
        """What settings call it."""
        return f"cosine at the input of block {self.layer} from {self.threshold:g} on"

    def holds(self, loaded: LoadedModel) -> Callable[[Sequence[Sample]], Bool[Tensor, " N"]]:
        """The same of prompts, which the model reads once for it."""

        def fires(samples: Sequence[Sample]) -> Bool[Tensor, " N"]:
            return self.fires(capture(loaded, samples, [self.layer], len(samples), pool=("mean",)).mean[:, 0])

        return fires


def condition_vector(
    positive: Float[Tensor, "N D"], negative: Float[Tensor, "M D"]
) -> tuple[Float[Tensor, " D"], Float[Tensor, " D"]]:
    """Centre and first principal component of two classes of states, turned towards the positive ones.

    The centre is halfway between the two means; the component is that of all states around it.

    Source: Lee et al. 2024 (arXiv 2409.05907), condition vectors.
    """
    above, below = positive.double(), negative.double()
    centre = (above.mean(0) + below.mean(0)) / 2
    component = torch.linalg.svd(torch.cat([above, below]) - centre, full_matrices=False).Vh[0]
    if (above.mean(0) - below.mean(0)) @ component < 0:
        component = -component
    return centre.float(), component.float()


def best_threshold(positive: Float[Tensor, " N"], negative: Float[Tensor, " M"]) -> tuple[float, float]:
    """The threshold with the highest F1 of "score >= threshold" among all scores, and that F1; the highest of equals.

    Both classes weigh the same, as theirs are of one size: `F1 = 2 r / (r + q + 1)` for a share `r` of the positive and
    `q` of the negative named. Were more of them positive, to name everything would have a high F1.

    Source: Lee et al. 2024 (arXiv 2409.05907), grid search of condition points.
    """
    scores, order = torch.cat([positive, negative]).sort(descending=True)
    above = order < len(positive)
    right, wrong = above.double().cumsum(0) / len(positive), (~above).double().cumsum(0) / len(negative)
    # A threshold takes all scores that are equal to it.
    last = torch.cat([scores[:-1] != scores[1:], torch.tensor([True])])
    f1 = (2 * right / (right + wrong + 1)).masked_fill(~last, -1.0)
    place = int(f1.argmax())
    return float(scores[place]), float(f1[place])


def fit_cast(
    loaded: LoadedModel,
    profile: Profile,
    forget: Sequence[Sample],
    retain: Sequence[Sample],
    *,
    batch_size: int = 64,
    stages: Stages = silent,
) -> Condition:
    """The block and threshold at which forget prompts are told from retained ones best, by F1 on calibration people.

    Raises:
        DataError: a set is empty.
        MismatchError: the profile is another model's.
    """
    require_some(forget, "forget")
    require_some(retain, "retain")
    require_same_model(profile.model, loaded, "profile")
    tell = stages("condition", len(forget) + len(retain))
    asked, kept = (
        capture_features(loaded, samples, profile.read, batch_size, progress=tell)[:, :, 1]
        for samples in (forget, retain)
    )
    best: tuple[float, Condition] | None = None
    for i, layer in enumerate(profile.read):
        centre, vector = condition_vector(asked[:, i], kept[:, i])
        free = Condition(layer, centre, vector, 0.0)
        others = free.scores(profile.calibration[:, i, 1])
        threshold, f1 = best_threshold(free.scores(asked[:, i]), others)
        if best is None or f1 > best[0]:
            best = (f1, Condition(layer, centre, vector, threshold))
    if best is None:
        raise DataError("the profile reads no block, so there is no condition to fit. Make the profile again.")
    return best[1]
