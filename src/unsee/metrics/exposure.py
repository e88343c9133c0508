"""Exposure: by how many bits the model narrows a secret down. Lower is better on what must be forgotten.

`exposure = log2 |R| - log2 rank(secret)` over a space R of candidates that are alike but for the secret, ordered by
likelihood; from 0 (last of all) to log2 |R| (first). A model that never saw the secret has 1.44 on average.
Source: Carlini et al. 2019, The Secret Sharer (arXiv 1802.08232), definition 4.

ReMem (arXiv 2605.03759) calls `sum log p(token)` exposure; that is `probability.sequence_log_probability` here.
"""

import math
from collections.abc import Sequence

from unsee.errors import DataError
from unsee.metrics.estimate import Card
from unsee.metrics.ranking import answer_rank

CARDS = (Card("exposure-bits", forget="lower", keep="", high=None),)


def exposure(true_score: float | None, other_scores: Sequence[float | None]) -> float | None:
    """Exposure in bits of the secret with this score; None where a score is missing.

    The other candidates may be a random part of R: the rank then scales with it and the estimate stays, but it cannot
    exceed log2 of how many were scored.

    Args:
        true_score: of the secret; higher is likelier.
        other_scores: of the other candidates.

    Raises:
        DataError: no other candidate.
    """
    if not other_scores:
        raise DataError("exposure of a secret without other candidates was asked for, expected at least one. Add some.")
    rank = answer_rank(true_score, other_scores)
    return None if rank is None else math.log2(len(other_scores) + 1) - math.log2(rank)
