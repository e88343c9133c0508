"""Who answers: transformers in this process, or another engine that gives rows of the same kind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, final

import torch

from unsee.data.sample import Sample
from unsee.erase.eraser import Eraser
from unsee.evals.prompting import Asking
from unsee.evals.run import answers_of


@final
@dataclass(frozen=True)
class Draw:
    """Replies are drawn and not greedy.

    Attributes:
        seed: of one call.
        temperature: of the model's whole distribution, or None to draw as its `generation_config.json` says.
    """

    seed: int
    temperature: float | None = None


class Engine(Protocol):
    """What answers the questions of an evaluation."""

    @property
    def name(self) -> str:
        """What rows and settings call it."""
        ...

    @property
    def options(self) -> Mapping[str, Any]:
        """What it was started with, beyond its defaults, as JSON values."""
        ...

    @property
    def versions(self) -> Mapping[str, str]:
        """Of libraries that only this engine uses."""
        ...

    def answers(
        self, asks: Asking, prompts: Sequence[Sample], max_new_tokens: int, draw: Draw | None = None
    ) -> list[str]:
        """One answer a prompt, in order.

        Args:
            asks: the model, and how it is asked.
            prompts: as `Asking.prompts` makes them; at least one.
            max_new_tokens: longest answer.
            draw: how to draw, or None for greedy answers.

        Raises:
            SteeringError: steering did not happen as an eraser requires.
        """
        ...


@final
@dataclass(frozen=True)
class Library:
    """transformers, on the model as it is loaded.

    Attributes:
        erasers: requests in force.
    """

    erasers: Sequence[Eraser] = ()
    name: str = "transformers"
    options: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    def answers(
        self, asks: Asking, prompts: Sequence[Sample], max_new_tokens: int, draw: Draw | None = None
    ) -> list[str]:
        """All prompts in one batch."""
        drawn: dict[str, Any] = {}
        if draw is not None:
            torch.manual_seed(draw.seed)
            whole = {} if draw.temperature is None else {"temperature": draw.temperature, "top_k": 0, "top_p": 1.0}
            drawn = {"do_sample": True, **whole}
        return answers_of(
            asks.loaded,
            prompts,
            self.erasers,
            batch_size=len(prompts),
            max_new_tokens=max_new_tokens,
            style=asks.style,
            **drawn,
        )
