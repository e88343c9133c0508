"""Gates fitted on everybody who is kept, and what gates that never saw them would have said to each."""

from collections.abc import Sequence

import torch

from unsee.erase.gate import ridge_gates_of_states
from unsee.shapes import Float, Tensor


def cross_fitted(
    positives: Sequence[Float[Tensor, "_ M"]],
    halves: tuple[Float[Tensor, "_ M"], Float[Tensor, "_ M"]],
    others: Float[Tensor, "_ M"],
    keep: Float[Tensor, "_ M"] | None,
    gamma: float,
) -> tuple[Float[Tensor, "K M"], Float[Tensor, " K"], Float[Tensor, "P K"]]:
    """`ridge_gates` on all that is kept, and the scores of each half of the kept people by gates fitted on the other.

    Prompts of people whom a fit has seen score far lower than those of people it has not, so a threshold has to come
    from the latter; and the more people a fit has seen, the fewer it mistakes. Crossing gives both. As each of the
    crossed fits sees half of the people, their scores are rather higher than those of the fit that is used.

    Args:
        positives: features of each forgotten subject's prompts.
        halves: of prompts about kept people, nobody in both.
        others: of prompts about nobody in particular; every fit sees them.
        keep: of prompts that must still be answered though they look like forgotten ones. They are few: together they
            weigh as much as all else that is kept.
        gamma: ridge, as for `ridge_gate`.

    Returns:
        The K vectors and K intercepts, and the crossed scores of the P prompts of both halves, the second half first.

    Raises:
        OptionError, DataError, CalibrationError: as `ridge_gates`.
    """

    def fitted(*people: Tensor) -> tuple[Tensor, Tensor]:
        negative = torch.cat([*people, others])
        if keep is not None:
            negative = torch.cat([negative, keep.repeat(max(1, round(len(negative) / len(keep))), 1)])
        return ridge_gates_of_states(positives, negative, gamma)

    scores = []
    for seen, unseen in (halves, halves[::-1]):
        weight, bias = fitted(seen)
        scores.append(unseen.double() @ weight.mT + bias)
    weight, bias = fitted(*halves)
    return weight, bias, torch.cat(scores)
