"""Membership inference: can it be told from token probabilities what the model was trained on?

All scores here are higher for likelier members. open-unlearning returns them negated, with the same attack. What a
table shows is the AUC between members and matched non-members: 0.5 is what a never-trained model has, and both 0 and
1 give members away, so the distance from 0.5 counts.
"""

import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from unsee.errors import DataError
from unsee.metrics.estimate import Card, require_as_many, scored
from unsee.metrics.probability import mean_loss

CARDS = (
    Card("mia-auc-loss", forget="same", keep="same"),
    Card("mia-auc-zlib", forget="same", keep="same"),
    Card("mia-auc-min-k", forget="same", keep="same"),
    Card("mia-auc-min-k-plus-plus", forget="same", keep="same"),
    Card("mia-open-mm", forget="higher", keep=""),
    Card("mia-tpr-at-fpr", forget="same", keep="same"),
)
SHARE = 0.2
"""Of the tokens, that Min-K% looks at."""


def loss_score(token_log_p: npt.ArrayLike | None) -> float | None:
    """`-L`, at most 0: members have a lower loss. None without tokens. Source: Yeom et al. 2018 (arXiv 1709.01604)."""
    loss = mean_loss(token_log_p)
    return None if loss is None else -loss


def zlib_score(token_log_p: npt.ArrayLike | None, text: str) -> float | None:
    """`-L / len(zlib(text))` per compressed byte, so that repetitive text does not pass for remembered text.

    Source: Carlini et al. 2021 (arXiv 2012.07805); L per token and UTF-8 as in open-unlearning and FIUBench.
    """
    loss = mean_loss(token_log_p)
    return None if loss is None else -loss / len(zlib.compress(text.encode("utf-8")))


def min_k_score(token_log_p: npt.ArrayLike | None) -> float | None:
    """Min-K%: mean log-probability of the k = max(1, floor(0.2 T)) least likely tokens; at most 0.

    None without tokens, where open-unlearning returns 0, which would be the surest member of all.

    Source: Shi et al. 2024 (arXiv 2310.16789).
    """
    return None if mean_loss(token_log_p) is None else _lowest(np.asarray(token_log_p, dtype=np.float64))


def min_k_plus_plus_score(
    token_log_p: npt.ArrayLike | None, vocabulary_mean: npt.ArrayLike, vocabulary_variance: npt.ArrayLike
) -> float | None:
    """Min-K%++: as Min-K% over `(log p_t - mu_t) / sigma_t`.

    mu and sigma are those of log p(v) under v ~ p(. | prefix): how far the token stands out among its alternatives. The
    variance is kept above 1e-6, as in open-unlearning.

    Args:
        token_log_p: per answer token, or None where the item is unscored.
        vocabulary_mean: mu_t per answer token, as `unsee.evals.likelihood` gives it.
        vocabulary_variance: sigma_t^2 per answer token.

    Raises:
        DataError: not one mean and one variance per token, or a NaN among them.

    Source: Zhang et al. 2025 (arXiv 2404.02936), equation 3.
    """
    if token_log_p is None or mean_loss(token_log_p) is None:
        return None
    log_p, mean, variance = (
        np.asarray(column, dtype=np.float64).ravel() for column in (token_log_p, vocabulary_mean, vocabulary_variance)
    )
    require_as_many("vocabulary means", mean.tolist(), log_p.size)
    require_as_many("vocabulary variances", variance.tolist(), log_p.size)
    return _lowest((log_p - mean) / np.sqrt(np.maximum(variance, 1e-6)))


def standing(member: float | None, others: Sequence[float | None]) -> float | None:
    """Share of the non-members that a member's score stands above, ties half, in [0, 1]; its mean is the AUC.

    None where the member or every other is unscored. The mean is Mann and Whitney's statistic over `n_1 n_2`.
    """
    known = np.asarray(scored(others))
    if member is None or not known.size:
        return None
    return float((known < member).mean() + (known == member).mean() / 2)


def found_at(member: float | None, others: Sequence[float | None], rate: float = 0.01) -> float | None:
    """1 where a member is found when at most `rate` of the non-members are taken for members, else 0.

    The threshold is a strict one on the non-members' own scores: with N of them, rates below 1/N find only members that
    stand above all of them. Source: Carlini et al. 2022 (arXiv 2112.03570).
    """
    known = sorted(scored(others), reverse=True)
    return None if member is None or not known else float(member > known[int(rate * len(known))])


def open_mm_score(area: float | None) -> float | None:
    """`1 - 2 |AUC - 0.5|` in [0, 1]: 1 where nobody can tell. Source: Open-MMunlearning."""
    return None if area is None else 1 - 2 * abs(area - 0.5)


def _lowest(values: npt.NDArray[np.float64]) -> float:
    if np.isnan(values).any():
        raise DataError("a token's score is NaN, expected numbers. Score the item as None, so that it is counted.")
    return float(np.sort(values.ravel())[: max(1, int(values.size * SHARE))].mean())
