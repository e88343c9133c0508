"""Thresholds and strength from calibration people: pure arithmetic on scores and trials."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any, final

import torch

from unsee.errors import CalibrationError, OptionError
from unsee.shapes import Float, Tensor


@final
@dataclass(frozen=True)
class Trial:
    """What one strength did to calibration prompts with the gate held open; shares in [0, 1].

    Attributes:
        strength: lambda.
        words: the refusal whose trajectory was followed.
        refused: fluent refusals that begin as `words` does.
        leaked: answers that hold the gold words.
        fluent: answers that read as text.
    """

    strength: float
    words: str
    refused: float
    leaked: float
    fluent: float

    def as_json(self) -> dict[str, Any]:
        """Plain values, for an artifact."""
        return asdict(self)


def thresholds(scores: Float[Tensor, "M K"], tail: float) -> Float[Tensor, " K"]:
    """Per gate, the score that a share `tail` of retained prompts exceeds: the conformal (1 - tail) quantile.

    Just above the ceil((M + 1)(1 - tail))-th smallest of M scores, so that a new prompt of the same kind reaches it
    with probability at most `tail`; where M is too small for that, just above the largest.

    Raises:
        OptionError: `tail` is outside (0, 1).
        CalibrationError: there is no calibration prompt, or a score is not finite.
    """
    if not 0 < tail < 1:
        raise OptionError(f"tail is {tail}, expected a share in (0, 1), such as 0.005")
    count = scores.shape[0]
    if count == 0:
        raise CalibrationError(
            "no calibration prompts, so no threshold can be set. Give retained people whom the fit does not see."
        )
    if not bool(scores.isfinite().all()):
        raise CalibrationError(
            "a calibration score is NaN or infinite, and a gate with such a threshold would never open. "
            "Look for broken calibration prompts, or load the model in a wider precision."
        )
    # Exact, as the share is written: in floating point 200 * (1 - 0.005) may come out above 199.
    rank = math.ceil((count + 1) * (1 - Fraction(str(tail))))
    limit = scores.sort(0).values[min(rank, count) - 1].float()
    return torch.nextafter(limit, torch.full_like(limit, torch.inf))


def raised_together(scores: Float[Tensor, "M K"], own: Float[Tensor, " K"], tail: float) -> Float[Tensor, " K"]:
    """Thresholds at which gates together fire on a share `tail` of retained prompts at most: `max(own_k, level)`.

    `level` is the conformal (1 - tail) quantile of the largest score of each prompt, one for all gates: each is fitted
    to 1 and 0, so their scores compare, and the quantile of K gates rests on K times the evidence that one alone has.

    Args:
        scores: of calibration prompts.
        own: what no gate's threshold is to fall below.
        tail: share of prompts that any gate may fire on, in (0, 1).

    Raises:
        OptionError, CalibrationError: as `thresholds`.
    """
    return torch.maximum(own, thresholds(scores.max(1, keepdim=True).values, tail))


def weakest_sufficient(trials: Sequence[Trial], refused: float, least: float = 0.5) -> Trial:
    """The smallest strength whose answers are fluent refusals often enough; else the one that refuses most.

    Raises:
        CalibrationError: no strength makes the model refuse fluently in a share `least` of the trials.
    """
    trials = sorted(trials, key=lambda t: t.strength)
    best = max(trials, key=lambda t: t.refused)
    if best.refused < least:
        tried = ", ".join(f"{t.strength:g}: {t.refused:.0%} refused, {t.fluent:.0%} fluent" for t in trials)
        raise CalibrationError(
            f"no strength makes the model refuse fluently. Tried {tried}. Expected at least {least:.0%}. "
            "The direction may be noise: look at the profile's other checks. In a model with a natural vocabulary the "
            "trajectory of one wording breaks the text: set steps to 1, or begin the reply for it (prefix, canned)."
        )
    return next((t for t in trials if t.refused >= refused), best)
