"""ASRU's boundary set: the retained questions that look most like forgotten ones, where the line has to be drawn."""

from collections.abc import Sequence

import torch
from torch.nn.functional import cosine_similarity

from unsee.data.sample import Sample
from unsee.erase.fit.activations import capture
from unsee.errors import OptionError
from unsee.models.load import LoadedModel
from unsee.shapes import Float, Int, Tensor

SHARE = 0.273
"""Of the retain set, as a re-implementation of the paper has it; the release draws 200 questions at random."""


def nearest(retain: Float[Tensor, "M D"], forget: Float[Tensor, "N D"], share: float = SHARE) -> Int[Tensor, " K"]:
    """Indices of the `ceil(share M)` retain states with the highest cosine to the mean forget state, nearest first.

    Both are centred on the mean of all states: what every prompt has in common would otherwise make all of them alike.

    Raises:
        OptionError: `share` is outside (0, 1].
    """
    if not 0 < share <= 1:
        raise OptionError(f"share is {share}, expected a part of the retain set in (0, 1]; the paper's is {SHARE}.")
    every = torch.cat([retain, forget]).double()
    centre = every.mean(0)
    target = forget.double().mean(0) - centre
    alike = cosine_similarity(retain.double() - centre, target.unsqueeze(0), dim=-1)
    count = max(1, -int(-share * len(retain) // 1))
    return alike.argsort(descending=True, stable=True)[:count]


def boundary(
    loaded: LoadedModel, forget: Sequence[Sample], retain: Sequence[Sample], layer: int, share: float = SHARE
) -> list[Sample]:
    """Retained questions nearest to the forget set, by the state of the last prompt token at the input of a block.

    Raises:
        OptionError: there is no such layer, or `share` is not legal.
        DataError: a set is empty.
    """
    kept, asked = (capture(loaded, samples, [layer], pool=("last",)).last[:, 0] for samples in (retain, forget))
    return [retain[int(i)] for i in nearest(kept, asked, share)]
