"""Every setting of a fit, with its default, in one place; an artifact keeps all of them."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, final

from pydantic import Field, model_validator

from unsee.schema import Schema

Direction = Literal["multimodal", "text", "image"]
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]


@final
class Settings(Schema):
    """How profiles and erasers are fitted.

    Attributes:
        direction: which prompts make the erasure direction: all, those without image, or those with one (then the two
            sides differ in their images alone: adversarial against clean).
        adversarial: move the recall images by PGD before reading them.
        epsilon: radius of PGD's ball (L-infinity, pixels in [0, 1]); the papers' best is 16/255.
        pgd_steps: gradient steps.
        step_size: length of one, same units.
        pgd_images: how many recall images are moved.
        steps: length of the refusal trajectory, the last prompt token included; with 1, no wording is followed: the
            direction acts at the first answer token, and `later` times it at every other one.
        later: that factor.
        trajectory_prompts: retained prompts that the trajectory is averaged over.
        read: part of the decoder's depth that a gate reads, as fractions.
        blocks_read: how many blocks of that part, evenly spaced.
        subject_read: parts of the depth at which a subject's names are read; what a turn is about, at the first.
        image_read: parts of the depth at which its images are read: earlier, while they are still themselves.
        subject_ridge: gamma of a subject's vector for its names.
        image_ridge: gamma of that for its images.
        image_views: share of the scatter of other images that is taken within subjects.
        name_floor: lowest threshold for names; people whom a model knows score higher than those of any background.
        image_floor: lowest threshold for images; another view of somebody scores less than copies of the one given.
        scope_ridge: gamma of a scope.
        ridge: gamma of the class-balanced ridge, relative to the mean spread of one feature.
        tail: share of retained people's prompts that any gate of a request may wrongly fire on.
        floor: lowest threshold, on a scale where 0 is kept and 1 forgotten; a half is the nearer of both.
        strengths: values of lambda to try, ascending; the weakest that refuses fluently is taken.
        refused: share of calibration answers that must be fluent refusals at the chosen strength.
        least: share below which the fit fails; 0 where a reply may be begun for a model that does not decline.
        wordings: refusal wordings whose trajectories are tried.
        calibration_prompts: prompts that strength is tried on.
        answer_tokens: length of the answers that a fit looks at; a refusal in natural language takes about 30.
        opening_tokens: of their first words, by which a wording is recognised.
        batch_size: prompts per forward pass.
    """

    direction: Direction = "multimodal"
    adversarial: bool = True
    epsilon: Annotated[float, Field(gt=0, le=1)] = 16 / 255
    pgd_steps: Count = 40
    step_size: Annotated[float, Field(gt=0, le=1)] = 1 / 255
    pgd_images: Count = 24
    steps: Count = 14
    later: Annotated[float, Field(ge=0, le=1)] = 0.0
    trajectory_prompts: Count = 128
    read: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.3, 0.85)
    blocks_read: Count = 4
    subject_read: Annotated[tuple[Share, ...], Field(min_length=1)] = (0.27, 0.4, 0.53)
    image_read: Annotated[tuple[Share, ...], Field(min_length=1)] = (0.03, 0.1, 0.27)
    subject_ridge: Annotated[float, Field(ge=0)] = 0.001
    image_ridge: Annotated[float, Field(ge=0)] = 0.01
    image_views: Annotated[float, Field(ge=0, le=1)] = 0.8
    name_floor: Share = 0.7
    image_floor: Share = 0.4
    scope_ridge: Annotated[float, Field(ge=0)] = 0.1
    ridge: Annotated[float, Field(ge=0)] = 0.003
    tail: Share = 0.01
    floor: Share = 0.5
    strengths: Annotated[tuple[Positive, ...], Field(min_length=1)] = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
    refused: Annotated[float, Field(gt=0, le=1)] = 0.98
    least: Annotated[float, Field(ge=0, le=1)] = 0.5
    wordings: Count = 4
    calibration_prompts: Count = 64
    answer_tokens: Count = 32
    opening_tokens: Count = 3
    batch_size: Count = 64

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.read[0] > self.read[1]:
            raise ValueError(f"read is {self.read}, expected two fractions of the depth, the smaller first")
        if list(self.strengths) != sorted(set(self.strengths)):
            raise ValueError(f"strengths are {self.strengths}, expected them ascending")
        return self

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> "Settings":
        """Settings from an artifact; what is not a setting is left out."""
        return Settings(**{name: values[name] for name in Settings.model_fields if name in values})

    def name_layers(self, depth: int) -> tuple[int, ...]:
        """Decoder blocks at which names are read: early enough that a name is still there."""
        return _blocks(self.subject_read, depth)

    def image_layers(self, depth: int) -> tuple[int, ...]:
        """Decoder blocks at which images are read."""
        return _blocks(self.image_read, depth)

    def subject_layers(self, depth: int) -> tuple[int, ...]:
        """Decoder blocks at which a subject's own tokens are read, names or images."""
        return tuple(sorted({*self.name_layers(depth), *self.image_layers(depth)}))

    def layers_read(self, depth: int) -> tuple[int, ...]:
        """Decoder blocks that a gate reads: never the first, whose last token is the same in every prompt."""
        low, high = (min(max(1, round(part * depth)), depth - 1) for part in self.read)
        count = min(self.blocks_read, high - low + 1)
        return tuple(sorted({low + round(i * (high - low) / max(1, count - 1)) for i in range(count)}))


def _blocks(parts: tuple[float, ...], depth: int) -> tuple[int, ...]:
    return tuple(sorted({min(max(1, round(part * depth)), depth - 1) for part in parts}))
