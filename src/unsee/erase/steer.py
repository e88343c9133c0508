"""The arithmetic of steering, free of models and hooks: which token is which step, what a gate reads, what is added.

Every token has a *step*: 0 is the last prompt token, negative steps are the prompt before it, positive steps are
answer tokens. Steps come from positions and never from the length of a call, so that cached, uncached, chunked and
speculative decoding all mean the same.
"""

from dataclasses import dataclass
from typing import final

import torch

from unsee.shapes import Bool, Float, Int, Tensor


@final
@dataclass(frozen=True, eq=False)
class Steps:
    """What the tokens of one call are.

    Attributes:
        step: per token; meaningless where `real` is False.
        real: False for pads.
        prompt_tokens: real prompt tokens of each row, over all calls.
    """

    step: Int[Tensor, "B T"]
    real: Bool[Tensor, "B T"]
    prompt_tokens: Int[Tensor, " B"]

    @property
    def in_prompt(self) -> Bool[Tensor, "B T"]:
        """Real prompt tokens."""
        return self.real & (self.step <= 0)

    @property
    def answering(self) -> Bool[Tensor, "B T"]:
        """The last prompt token and every token after it: where refusing is decided."""
        return self.real & (self.step >= 0)


def number_steps(mask: Bool[Tensor, "B C"], prompt_tokens: Int[Tensor, " B"], first: int, width: int) -> Steps:
    """Steps of columns `first` to `first + width` of rows whose real tokens are marked in `mask`.

    `step = (real tokens up to and including this one) - prompt_tokens`; a step of a left-padded row is the same as
    that of the row alone. Columns beyond the mask are real: they are tokens that the model has generated.

    Args:
        mask: True for real tokens, for all columns known so far.
        prompt_tokens: real prompt tokens of each row.
        first: column of the call's first token (the length of the cache).
        width: tokens of the call.
    """
    known = mask.shape[1]
    if first + width > known:
        grown = torch.ones(mask.shape[0], first + width - known, dtype=torch.bool, device=mask.device)
        mask = torch.cat([mask, grown], dim=1)
    step = mask.long().cumsum(1) - prompt_tokens.unsqueeze(1)
    window = slice(first, first + width)
    return Steps(step[:, window], mask[:, window], prompt_tokens)


def pooled(states: Float[Tensor, "B T D"], steps: Steps) -> Float[Tensor, "B 2 D"]:
    """Contribution of this call's tokens to the two features a gate reads: last prompt token, mean over the prompt.

    Summed over the calls of a chunked prefill it is the feature itself; float32.
    """
    states = states.float()
    last = (steps.real & (steps.step == 0)).unsqueeze(-1)
    prompt = steps.in_prompt.unsqueeze(-1)
    mean = (states * prompt).sum(1) / steps.prompt_tokens.unsqueeze(-1)
    return torch.stack([(states * last).sum(1), mean], dim=1)


def along_trajectory(
    strength: Float[Tensor, " B"], trajectory: Float[Tensor, "S D"], steps: Steps
) -> Float[Tensor, "B T D"]:
    """What is added at one layer: `strength * d_t` at answer step t, nothing before; the last step is held."""
    index = steps.step.clamp(0, trajectory.shape[0] - 1)
    return trajectory[index] * (strength.unsqueeze(1) * steps.answering).unsqueeze(-1)
