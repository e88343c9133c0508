"""Gates fitted on everybody who is kept, and what gates that never saw them would have said to each."""

from collections.abc import Sequence

import torch

from unsee.erase.fit.moments import Moments
from unsee.erase.fit.ridge import ridge_gates
from unsee.shapes import Float, Tensor


def cross_fitted(
    positives: Sequence[Float[Tensor, "_ M"]],
    halves: tuple[Float[Tensor, "_ M"], Float[Tensor, "_ M"]],
    others: Float[Tensor, "_ M"],
    keep: Float[Tensor, "_ M"] | None,
    gamma: float,
) -> tuple[Float[Tensor, "K M"], Float[Tensor, " K"], Float[Tensor, "P K"]]:
    """`ridge_gates` on the whole retain set, and the scores of each half of it by gates fitted on the other.

    Prompts of people whom a fit has seen score far lower than those of people it has not, so a threshold has to come
    from the latter; and the more people a fit has seen, the fewer it mistakes. Crossing gives both. As each of the
    crossed fits sees half of the people, their scores are rather higher than those of the fit that is used.

    Args:
        positives: features of each forgotten subject's prompts.
        halves: of prompts about retained people, nobody in both.
        others: of prompts about nobody in particular; every fit sees them.
        keep: of prompts that must still be answered though they look like forgotten ones. They are few: together they
            weigh as much as all else that is kept.
        gamma: ridge, as for `ridge_gate`.

    Returns:
        The K vectors and K intercepts, and the crossed scores of the P prompts of both halves, the second half first.

    Raises:
        OptionError, DataError, CalibrationError: as `ridge_gates`.
    """
    parts = [part.double() for part in (*positives, *halves, others, *(() if keep is None else (keep,)))]
    width = others.shape[1]
    basis = _span(parts)
    inside = parts if basis is None else [part @ basis for part in parts]
    moments = [Moments.of(part) for part in inside]
    forgotten, (first, second, nobody, *kept) = moments[: len(positives)], moments[len(positives) :]
    # The ridge is relative to the mean spread of a feature, and in the span there are fewer of them.
    scaled = gamma * inside[0].shape[1] / width

    def fitted(people: Moments) -> tuple[Tensor, Tensor]:
        negative = people + nobody
        for one in kept:
            negative = negative + one.repeated(max(1, round(negative.count / one.count)))
        return ridge_gates(forgotten, negative, scaled)

    scores = []
    for seen, unseen in ((first, 1), (second, 0)):
        weight, bias = fitted(seen)
        scores.append(inside[len(positives) + unseen] @ weight.mT + bias)
    weight, bias = fitted(first + second)
    return weight if basis is None else weight @ basis.mT, bias, torch.cat(scores)


def _span(parts: Sequence[Float[Tensor, "_ M"]]) -> Float[Tensor, "M N"] | None:
    """An orthonormal basis of what the states span, where that is less than everything.

    The gates lie in it, as the ridge is rotation invariant: fitted there, they are the same from N^2 numbers in place
    of M^2, which at 7B width and four layers is 8 GB against 54 GB and more.
    """
    count, width = sum(len(part) for part in parts), parts[0].shape[1]
    return torch.linalg.qr(torch.cat(list(parts)).mT).Q if count < width else None
