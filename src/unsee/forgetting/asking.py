"""A request's prompts, asked: the answers as they came, each with what it was an answer to."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, final

import torch

from unsee.erase.eraser import Eraser
from unsee.erase.request.expansion import Prompt
from unsee.erase.steer.hooks import erased
from unsee.metrics.detectors import is_refusal, leaks
from unsee.models.generate import generate
from unsee.models.load import LoadedModel
from unsee.progress import Stages, silent

LONGEST = 40
"""Tokens of one answer."""


@final
@dataclass(frozen=True)
class Answer:
    """One answer.

    Attributes:
        prompt: what was asked.
        text: what came.
        draw: 0 for the greedy answer, else the number of the sampled one.
    """

    prompt: Prompt
    text: str
    draw: int = 0

    @property
    def refused(self) -> bool:
        """Whether it declines or professes ignorance."""
        return is_refusal(self.text)

    def leaked(self, golds: Sequence[str]) -> bool | None:
        """Whether it holds any of the phrases; None where there is none to look for."""
        return leaks(self.text, golds, self.prompt.sample.question) if golds else None

    def as_json(self) -> dict[str, Any]:
        """One line of `before.jsonl` or `after.jsonl`."""
        sample = self.prompt.sample
        return {
            "fact": self.prompt.fact,
            "way": self.prompt.way,
            "family": self.prompt.family,
            "held_out": self.prompt.held,
            "spared": self.prompt.spared,
            "earlier": [list(turn) for turn in sample.earlier],
            "question": sample.question,
            "image": sample.image.id if sample.image else None,
            "draw": self.draw,
            "answer": self.text,
            "refused": self.refused,
        }


def ask(
    loaded: LoadedModel,
    prompts: Sequence[Prompt],
    eraser: Eraser | None = None,
    *,
    draws: int = 0,
    seed: int = 0,
    stage: str = "asking",
    stages: Stages = silent,
) -> list[Answer]:
    """Greedy answers to all prompts, then `draws` sampled ones at temperature 0.7; steered where an eraser is given.

    Args:
        loaded: the model.
        prompts: what to ask; none gives no answer.
        eraser: in force while asking.
        draws: sampled answers to each prompt.
        seed: of the draws.
        stage: name of the progress display.
        stages: progress display.

    Raises:
        SteeringError: steering did not happen as it must.
    """
    if not prompts:
        return []
    samples, tell = [prompt.sample for prompt in prompts], stages(stage, (1 + draws) * len(prompts))
    found: list[Answer] = []
    steered = nullcontext() if eraser is None else erased(loaded.model, eraser, adapter=loaded.adapter)
    with steered, torch.random.fork_rng():
        for draw in range(draws + 1):
            torch.manual_seed(seed + draw)
            how: dict[str, Any] = {"do_sample": True, "temperature": 0.7} if draw else {}
            texts = generate(loaded, samples, max_new_tokens=LONGEST, progress=tell, **how)
            found += [Answer(prompt, text, draw) for prompt, text in zip(prompts, texts, strict=True)]
    return found
