"""Where the true answer stands among candidates: a model may hold an answer it no longer says.

Scores are anything that orders candidates, such as `sum_t log p_t` or its mean. Ties go to the attacker: of equal
candidates the true one comes first, so a model that finds all alike has rank 1; read the rank together with the
never-knew model's.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from unsee.errors import DataError, OptionError
from unsee.metrics.estimate import Card

CARDS = (
    Card("answer-rank", forget="higher", keep="lower", low=1.0, high=None),
    Card("answer-in-top-k", forget="lower", keep="higher"),
    Card("token-in-top-k", forget="lower", keep="higher"),
    Card("exposure-bits", forget="lower", keep="", high=None),
)


def answer_rank(true_score: float | None, other_scores: Sequence[float | None]) -> int | None:
    """`1 + #{j : s_j > s_true}`, from 1 (most likely) to the number of candidates; None where any is unscored."""
    every = [true_score, *other_scores]
    if true_score is None or any(score is None or math.isnan(score) for score in every):
        return None
    return 1 + sum(score > true_score for score in other_scores if score is not None)


def tokens_in_top_k(token_ranks: npt.ArrayLike | None, k: int) -> float | None:
    """Share of one answer's tokens that are among the k likeliest where they stand (teacher forcing); None without.

    UnLOK-VQA's head projection asks the same of each layer's state with k = 4.

    Args:
        token_ranks: 1 is the likeliest token of the vocabulary, as `unsee.evals.likelihood` gives them.
        k: how many tokens count.

    Raises:
        OptionError: k is below 1.
    """
    if k < 1:
        raise OptionError(f"k is {k}, expected at least 1 token")
    ranks = np.asarray([] if token_ranks is None else token_ranks)
    return float((ranks <= k).mean()) if ranks.size else None


def exposure(true_score: float | None, other_scores: Sequence[float | None]) -> float | None:
    """Exposure `log2 |R| - log2 rank(secret)` of the secret with this score, in bits; None where a score is missing.

    By how much the model narrows a secret down, over a space R of candidates that are alike but for it: from 0 (last of
    all) to log2 |R| (first). A model that never saw the secret has 1.44 on average.

    The other candidates may be a random part of R: the rank then scales with it and the estimate stays, but it cannot
    exceed log2 of how many were scored.

    Args:
        true_score: of the secret; higher is likelier.
        other_scores: of the other candidates.

    Raises:
        DataError: no other candidate.

    Source: Carlini et al. 2019, The Secret Sharer (arXiv 1802.08232), definition 4. ReMem (arXiv 2605.03759) calls
    `sum log p(token)` exposure; that is `probability.sequence_log_probability` here.
    """
    if not other_scores:
        raise DataError("exposure of a secret without other candidates was asked for, expected at least one. Add some.")
    rank = answer_rank(true_score, other_scores)
    return None if rank is None else math.log2(len(other_scores) + 1) - math.log2(rank)
