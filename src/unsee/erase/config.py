"""Every setting of a fit, with its default, in one place; an artifact keeps all of them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, final, get_args

from unsee.errors import OptionError

Direction = Literal["multimodal", "text", "image"]


@final
@dataclass(frozen=True)
class Settings:
    """How profiles and erasers are fitted.

    Attributes:
        direction: which prompts make the erasure direction: all, those without picture, or those with one (then the two
            sides differ in their pictures alone: adversarial against clean).
        adversarial: move the recall pictures by PGD before reading them.
        epsilon: radius of PGD's ball (L-infinity, pixels in [0, 1]); the papers' best is 16/255.
        pgd_steps: gradient steps.
        step_size: length of one, same units.
        pgd_pictures: how many recall pictures are moved.
        steps: length of the refusal trajectory, the last prompt token included.
        trajectory_prompts: kept prompts that the trajectory is averaged over.
        read: part of the decoder's depth that a gate reads, as fractions.
        blocks_read: how many blocks of that part, evenly spaced.
        ridge: gamma of the class-balanced ridge, relative to the mean spread of one feature.
        tail: share of kept people's prompts that any gate of a request may wrongly fire on.
        floor: lowest threshold, on a scale where 0 is kept and 1 forgotten; a half is the nearer of both.
        strengths: values of lambda to try, ascending; the weakest that refuses fluently is taken.
        refused: share of calibration answers that must be fluent refusals at the chosen strength.
        wordings: refusal wordings whose trajectories are tried.
        calibration_prompts: prompts that strength is tried on.
        batch_size: prompts per forward pass.
    """

    direction: Direction = "multimodal"
    adversarial: bool = True
    epsilon: float = 16 / 255
    pgd_steps: int = 40
    step_size: float = 1 / 255
    pgd_pictures: int = 24
    steps: int = 14
    trajectory_prompts: int = 128
    read: tuple[float, float] = (0.3, 0.85)
    blocks_read: int = 4
    ridge: float = 0.003
    tail: float = 0.01
    floor: float = 0.5
    strengths: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
    refused: float = 0.98
    wordings: int = 4
    calibration_prompts: int = 64
    batch_size: int = 64

    def __post_init__(self) -> None:
        if self.direction not in get_args(Direction):
            raise OptionError(f"direction is {self.direction!r}, expected one of {list(get_args(Direction))}")
        low, high = self.read
        if not 0 <= low <= high < 1:
            raise OptionError(f"read is {self.read}, expected two fractions of the depth, 0 <= first <= second < 1")
        for name, share in (("tail", self.tail), ("floor", self.floor)):
            if not 0 < share < 1:
                raise OptionError(f"{name} is {share}, expected a share in (0, 1), such as 0.005")
        if not self.strengths or min(self.strengths) <= 0 or list(self.strengths) != sorted(self.strengths):
            raise OptionError(f"strengths are {self.strengths}, expected at least one, above 0 and ascending")
        if not 0 <= self.ridge < float("inf"):
            raise OptionError(f"ridge is {self.ridge}, expected a finite number of at least 0, such as 0.003")
        for name in (
            "blocks_read",
            "pgd_steps",
            "pgd_pictures",
            "steps",
            "trajectory_prompts",
            "calibration_prompts",
            "batch_size",
        ):
            if getattr(self, name) < 1:
                raise OptionError(f"{name} is {getattr(self, name)}, expected at least 1")

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> "Settings":
        """Settings from an artifact; what is not a setting is left out."""
        known: dict[str, Any] = {f.name: values[f.name] for f in fields(Settings) if f.name in values}
        for name in {"read", "strengths"} & known.keys():
            known[name] = tuple(known[name])
        return Settings(**known)

    def as_json(self) -> dict[str, Any]:
        """Plain values, for an artifact."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    def layers_read(self, depth: int) -> tuple[int, ...]:
        """Decoder blocks that a gate reads: never the first, whose last token is the same in every prompt."""
        low, high = (min(max(1, round(part * depth)), depth - 1) for part in self.read)
        count = min(self.blocks_read, high - low + 1)
        return tuple(sorted({low + round(i * (high - low) / max(1, count - 1)) for i in range(count)}))
