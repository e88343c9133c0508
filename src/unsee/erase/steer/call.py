"""What one call of a decoder is, as far as steering is concerned: rows, columns, cache, pads."""

from dataclasses import dataclass
from typing import NoReturn, final

import torch
from transformers import Cache

from unsee.erase.steer.positions import Steps
from unsee.errors import SteeringError
from unsee.shapes import Bool, Int, Tensor


@final
@dataclass(frozen=True, eq=False)
class Call:
    """One call of the decoder.

    Attributes:
        rows: of the batch.
        width: columns of this call, pads included.
        cached: columns that the cache holds.
        cache: what it continues or fills, if anything.
        real: mask of its own columns where the call starts a prompt; None where the call does not say.
        position_ids: as the decoder got them; multimodal ones have three planes, or four with that of the text first.
        ids: token ids of its columns, where they are known.
        recorded: the caller wants hidden states, so what is added has to be remembered to the end of the call.
    """

    rows: int
    width: int
    cached: int
    cache: Cache | None
    real: Bool[Tensor, "B T"] | None
    position_ids: Int[Tensor, "*B T"] | None
    ids: Int[Tensor, "B T"] | None = None
    recorded: bool = False

    @property
    def text_positions(self) -> Int[Tensor, "#B T"] | None:
        """Positions that count every token, or None: three planes repeat theirs inside an image."""
        positions = self.position_ids
        if positions is None or positions.ndim == 2:
            return positions
        return positions[0] if positions.shape[0] == 4 else None


def columns_of(cache: Cache | None) -> int:
    """Columns that a cache holds."""
    return 0 if cache is None else int(cache.get_seq_length())


def real_columns(mask: object, rows: int, width: int) -> Bool[Tensor, "B T"] | None:
    """Which of a first call's columns are real, as far as its mask says."""
    if mask is None:
        return torch.ones(rows, width, dtype=torch.bool)
    if not isinstance(mask, Tensor) or mask.ndim != 2 or mask.shape[0] != rows:
        return None
    return mask[:, :width].bool().cpu()


def require_one_prompt_per_row(call: Call, steps: Steps) -> None:
    """Refuse a row whose positions begin again.

    Raises:
        SteeringError: they do.
    """
    positions = call.text_positions
    if positions is None or call.width < 2:
        return
    jumps = positions.cpu().diff(dim=1) != 1
    if bool((jumps & steps.real[:, 1:] & steps.real[:, :-1]).any()):
        refuse_packed()


def refuse_packed() -> NoReturn:
    """Several prompts in one row cannot be told apart, and one must never enter another's gate.

    Raises:
        SteeringError: always.
    """
    raise SteeringError(
        "several prompts are packed into one row, so one would enter the gate of another. Nothing is answered. "
        "Pad the prompts, one per row, and pass attention_mask."
    )
