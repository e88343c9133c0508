"""The arithmetic of steering, free of models and hooks: which token is which step, what a gate reads, what is added.

Every token has a *step*: 0 is the last prompt token, negative steps are the prompt before it, positive steps are
answer tokens. Steps come from positions and never from the length of a call, so that cached, uncached, chunked and
speculative decoding all mean the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import final

import torch

from unsee.errors import SteeringError
from unsee.shapes import Bool, Float, Int, Tensor


def no_ids() -> Int[Tensor, "B T"]:
    """What stands for the token ids, or the images, of a call whose token ids nobody has given.

    Raises:
        SteeringError: always.
    """
    raise SteeringError(
        "a gate reads images apart from text and turns apart from each other, but the call has no token ids "
        "(inputs_embeds alone), so it is not known which tokens are which. Nothing is answered. Pass input_ids, beside "
        "inputs_embeds of the same length if any."
    )


@final
@dataclass(frozen=True, eq=False)
class Steps:
    """What the tokens of one call are; kept on the CPU, so that asking about them never waits for an accelerator.

    Attributes:
        step: per token; meaningless where `real` is False.
        real: False for pads.
        prompt_tokens: real prompt tokens of each row, over all calls.
        begun: answer tokens of each row that the caller has put into the model's mouth: they are neither read nor
            steered, and refusing begins after them.
        find_images: finds `images`.
        find_ids: finds the ids of all columns that were given with the prompts, whichever call this is.
        first: column of the call's first token.
    """

    step: Int[Tensor, "B T"]
    real: Bool[Tensor, "B T"]
    prompt_tokens: Int[Tensor, " B"]
    begun: Int[Tensor, " B"]
    find_images: Callable[[], Int[Tensor, "B T"]] = no_ids
    find_ids: Callable[[], Int[Tensor, "B C"]] = no_ids
    first: int = 0

    @property
    def images(self) -> Int[Tensor, "B T"]:
        """Per token: 0 for text, j for the row's j-th image, from 1 (`AbstractAdapter.image_index`); found on demand.

        Raises:
            SteeringError: the call has no token ids.
            ModelError: it is not known which token belongs to which image.
        """
        return self.find_images()

    def in_last_turn(self, marker: Int[Tensor, " M"]) -> Bool[Tensor, "B T"]:
        """Whether each token is in the user's last turn, or behind it; `marker` opens a turn (`models.turns`).

        Raises:
            SteeringError: the call has no token ids.
        """
        return self._here(in_last_turn(self.find_ids(), marker), beyond=True)

    def ends_sentence(self, stops: Int[Tensor, " E"], tail: int) -> Bool[Tensor, "B T"]:
        """Whether each token ends a sentence behind which the user says more: more than a tail of so many tokens.

        Raises:
            SteeringError: the call has no token ids.
        """
        return self._here(torch.isin(self.find_ids(), stops), beyond=False) & (self.step < -tail)

    def _here(self, known: Bool[Tensor, "B C"], *, beyond: bool) -> Bool[Tensor, "B T"]:
        width = self.step.shape[1]
        missing = max(0, self.first + width - known.shape[1])
        return torch.nn.functional.pad(known, (0, missing), value=beyond)[:, self.first : self.first + width]

    @property
    def in_prompt(self) -> Bool[Tensor, "B T"]:
        """Real prompt tokens."""
        return self.real & (self.step <= 0)

    @property
    def last(self) -> Bool[Tensor, "B T"]:
        """The last prompt token of each row that has it in this call."""
        return self.real & (self.step == 0)

    @property
    def answer_step(self) -> Int[Tensor, "B T"]:
        """Steps from the last token that was given: 0 is where the model speaks first."""
        return self.step - self.begun.unsqueeze(1)

    @property
    def answering(self) -> Bool[Tensor, "B T"]:
        """The last token that was given and every token after it: where refusing is decided."""
        return self.real & (self.answer_step >= 0)

    def from_first_answering(self) -> "Steps":
        """The columns from the first one in which any row is answering; none if no row is."""
        columns = self.answering.any(0).nonzero()
        start = int(columns[0]) if len(columns) else self.step.shape[1]
        return replace(
            self,
            step=self.step[:, start:],
            real=self.real[:, start:],
            find_images=lambda: self.images[:, start:],
            first=self.first + start,
        )


def number_steps(
    mask: Bool[Tensor, "B C"],
    prompt_tokens: Int[Tensor, " B"],
    first: int,
    width: int,
    begun: Int[Tensor, " B"] | None = None,
    images: Callable[[], Int[Tensor, "B C"]] = no_ids,
    ids: Callable[[], Int[Tensor, "B C"]] = no_ids,
) -> Steps:
    """Steps of columns `first` to `first + width` of rows whose real tokens are marked in `mask`.

    `step = (real tokens up to and including this one) - prompt_tokens`; a step of a left-padded row is the same as
    that of the row alone. Columns beyond the mask are real: they are tokens that the model has generated.

    Args:
        mask: True for real tokens, for all columns known so far.
        prompt_tokens: real prompt tokens of each row.
        first: column of the call's first token (the length of the cache).
        width: tokens of the call.
        begun: answer tokens that were given with each prompt; none if None.
        images: finds the image of each column that was given; those beyond are text.
        ids: finds the token id of each column that was given.
    """
    begun = torch.zeros_like(prompt_tokens) if begun is None else begun
    missing = max(0, first + width - mask.shape[1])
    mask = torch.cat([mask, torch.ones(mask.shape[0], missing, dtype=torch.bool)], dim=1)
    window = slice(first, first + width)
    step = mask.long().cumsum(1) - prompt_tokens.unsqueeze(1)

    def here() -> Int[Tensor, "B T"]:
        known = images()
        return torch.nn.functional.pad(known, (0, max(0, first + width - known.shape[1])))[:, window]

    return Steps(step[:, window], mask[:, window], prompt_tokens, begun, here, ids, first)


def in_last_turn(ids: Int[Tensor, "B T"], marker: Int[Tensor, " M"]) -> Bool[Tensor, "B T"]:
    """Columns after the last place of the marker, whatever follows included; all columns of a row without one.

    Args:
        ids: of whole prompts.
        marker: as `models.turns` finds it.
    """
    rows, width = ids.shape
    size = len(marker)
    if width < size:
        return torch.ones(rows, width, dtype=torch.bool)
    found = (ids.unfold(1, size, 1) == marker).all(2)
    after = torch.arange(size, width + 1)  # the column behind each place
    start = torch.where(found, after, 0).amax(1)
    return torch.arange(width) >= start.unsqueeze(1)


def pooled(states: Float[Tensor, "B T D"], steps: Steps) -> Float[Tensor, "B 2 D"]:
    """Contribution of this call's tokens to the two features a gate reads: last prompt token, mean over the prompt.

    Summed over the calls of a chunked prefill it is the feature itself; float32, on the device of the states.
    """

    def total(chosen: Bool[Tensor, "B T"]) -> Float[Tensor, "B D"]:
        # Filled and not multiplied: a pad may hold NaN, and 0 times NaN is NaN.
        return states.float().masked_fill(~chosen.to(states.device).unsqueeze(-1), 0.0).sum(1)

    mean = total(steps.in_prompt) / steps.prompt_tokens.to(states.device).unsqueeze(-1)
    return torch.stack([total(steps.last), mean], dim=1)


def along_trajectory(
    strength: Float[Tensor, " B"], trajectory: Float[Tensor, "S D"], steps: Steps
) -> Float[Tensor, "B T D"]:
    """What is added at one layer: `strength * d_t` at answer step t, nothing before; the last step is held.

    On the device of the trajectory, in its precision.
    """
    index = steps.answer_step.clamp(0, trajectory.shape[0] - 1)
    factor = strength.unsqueeze(1) * steps.answering
    return trajectory[index.to(trajectory.device)] * factor.unsqueeze(-1).to(trajectory)


def added(states: Float[Tensor, "B T D"], parts: Sequence[Float[Tensor, "B _ D"]]) -> Float[Tensor, "B T D"]:
    """`states` plus parts of any width, each aligned with the last column; parts are summed before they are rounded."""
    width = max(part.shape[1] for part in parts)
    total = sum(torch.nn.functional.pad(part, (0, 0, width - part.shape[1], 0)) for part in parts)
    assert isinstance(total, Tensor)
    start = states.shape[1] - width
    return torch.cat([states[:, :start], states[:, start:] + total.to(states.dtype)], dim=1)
