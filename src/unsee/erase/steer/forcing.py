"""Forced tokens: the logits of a call in which a reply fixes what is said, and whether it was said."""

import torch

from unsee.erase.replies.base import FREE
from unsee.errors import SteeringError
from unsee.shapes import Bool, Float, Int, Tensor


def forced_logits(logits: Float[Tensor, "B K V"], table: Int[Tensor, "B T"]) -> tuple[Float[Tensor, "B K V"], int]:
    """Where a token is fixed, 0 for it and minus infinity for every other; and how many places that were.

    The logits are those of the last K of the call's T columns.

    Raises:
        SteeringError: they are of none of these columns, or a fixed token is not in the vocabulary.
    """
    kept = table[:, -logits.shape[1] :] if logits.shape[1] else table[:, :0]
    if logits.shape[:2] != kept.shape or int(kept.max()) >= logits.shape[2]:
        raise SteeringError(
            f"the reply fixes tokens of {tuple(table.shape)} columns, up to id {int(table.max())}, but the model "
            f"returned logits of shape {tuple(logits.shape)}. Nothing is answered. Make the reply with this model."
        )
    row, column = (kept != FREE).nonzero().to(logits.device).unbind(1)
    token = kept.to(logits.device)[row, column]
    fixed = logits.clone()
    fixed[row, column] = -torch.inf
    fixed[row, column, token] = 0.0
    return fixed, len(row)


def require_said(said: Int[Tensor, "R N"], table: Int[Tensor, "R N"], ends: Int[Tensor, " E"]) -> None:
    """Refuse an answer that has another token where one was fixed; behind its end anything may stand.

    Raises:
        SteeringError: names the first place.
    """
    ended: Bool[Tensor, "R N"] = torch.isin(said, ends).long().cumsum(1) - torch.isin(said, ends).long() > 0
    wrong = ((table != FREE) & (said != table) & ~ended).nonzero()
    if len(wrong):
        row, step = wrong[0].tolist()
        raise SteeringError(
            f"row {row} was to say token {int(table[row, step])} at step {step} and said {int(said[row, step])}. "
            "Nothing is answered. Something else decides about tokens (min_new_tokens, bad words, a logits processor, "
            "an assistant model): generate without it."
        )
