"""What a row would take at full size, counted and not measured: memory and hours from a model's shape alone.

A forward pass of T tokens takes `2 P T` operations, a training step three times that (Kaplan et al. 2020, arXiv
2001.08361, section 2.1). Attention over the prompt and the vision tower are left out, so the figures are a lower bound
within a factor of two or three of what a machine needs.
"""

from dataclasses import dataclass
from typing import final

from unsee.methods.grpo import GrpoSettings
from unsee.methods.settings import preset

PROMPT, ANSWER = 640, 48
"""Tokens of a prompt with an image of LLaVA-1.5 (576) and of an answer."""
GIB = 2**30
_COUNTED, _TAUGHT = ("manu", "asru_ridge"), {"expert": "po"}
"""Trained in one pass, and by the settings of another method."""


@final
@dataclass(frozen=True)
class Job:
    """What a table asks of one model.

    Attributes:
        parameters: of the model.
        bytes_each: of a weight as it is stored.
        asked: questions that are put to a row.
        fitted: questions that a fit may see.
        speed: operations a second that the machine sustains.
    """

    parameters: int
    bytes_each: int
    asked: int
    fitted: int
    speed: float


@final
@dataclass(frozen=True)
class Size:
    """Counted, not measured.

    Attributes:
        memory_gib: at the peak.
        hours: of the fit and of all questions.
    """

    memory_gib: float
    hours: float


def size(method: str, kind: str, job: Job) -> Size:
    """Memory and time of one row.

    Memory: the weights, and half as much for what is computed; a model that is trained has a frozen copy beside it or
    adapters (twice the weights in all), all its weights in float32 with AdamW 16 bytes each.

    Args:
        method: its name; "" for the model as it is.
        kind: as the registry has it.
        job: the model and the questions.
    """
    forward = 2 * job.parameters
    asked = forward * (PROMPT + ANSWER) * job.asked
    weights = job.parameters * job.bytes_each
    fitted, memory = 0.0, 1.5 * weights
    if kind == "reinforced":
        settings = GrpoSettings()
        answers = settings.steps * settings.questions * settings.group
        # Sampled once, scored by the frozen model, trained on.
        fitted, memory = 5 * forward * (PROMPT + settings.longest) * answers, 2.5 * weights
    elif kind == "trained":
        settings = preset(_TAUGHT.get(method, method)) if method not in _COUNTED else None
        passes = 1 if settings is None else 3 * settings.epochs
        fitted = passes * forward * (PROMPT + ANSWER) * job.fitted
        memory = 16 * job.parameters if settings is not None and not settings.lora else 2.5 * weights
    elif kind == "steered":
        fitted = forward * PROMPT * job.fitted
    return Size(memory / GIB, (asked + fitted) / job.speed / 3600)
