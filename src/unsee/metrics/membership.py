"""Membership inference: can it be told from token probabilities what the model was trained on?

All scores here are higher for likelier members. open-unlearning returns them negated, with the same attack. What a
table shows is the AUC between members and matched non-members: 0.5 is what a never-trained model has, and both 0 and
1 give members away, so the distance from 0.5 counts.
"""

import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from unsee.errors import DataError, OptionError
from unsee.metrics.estimate import Card, Estimate, require_as_many, scored
from unsee.metrics.probability import mean_loss

CARDS = (
    Card("mia-auc-loss", forget="same", keep="same"),
    Card("mia-auc-zlib", forget="same", keep="same"),
    Card("mia-auc-min-k", forget="same", keep="same"),
    Card("mia-auc-min-k-plus-plus", forget="same", keep="same"),
    Card("mia-open-mm", forget="higher", keep=""),
    Card("mia-tpr-at-fpr", forget="same", keep="same"),
)
_FIUBENCH_WEIGHTS = {0.1: 0.3, 0.2: 0.3, 0.3: 0.2, 0.4: 0.1, 0.5: 0.1}


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


def min_k_score(token_log_p: npt.ArrayLike | None, share: float = 0.2) -> float | None:
    """Min-K%: mean log-probability of the k = max(1, floor(share T)) least likely tokens; at most 0.

    None without tokens, where open-unlearning returns 0, which would be the surest member of all.

    Raises:
        OptionError: the share is not in (0, 1].

    Source: Shi et al. 2024 (arXiv 2310.16789); share 0.2.
    """
    return None if mean_loss(token_log_p) is None else _lowest(np.asarray(token_log_p, dtype=np.float64), share)


def min_k_plus_plus_score(
    token_log_p: npt.ArrayLike | None,
    vocabulary_mean: npt.ArrayLike,
    vocabulary_variance: npt.ArrayLike,
    share: float = 0.2,
) -> float | None:
    """Min-K%++: as Min-K% over `(log p_t - mu_t) / sigma_t`.

    mu and sigma are those of log p(v) under v ~ p(. | prefix): how far the token stands out among its alternatives. The
    variance is kept above 1e-6, as in open-unlearning.

    Args:
        token_log_p: per answer token, or None where the item is unscored.
        vocabulary_mean: mu_t per answer token, as `unsee.evals.likelihood` gives it.
        vocabulary_variance: sigma_t^2 per answer token.
        share: of the tokens.

    Raises:
        OptionError: the share is not in (0, 1].
        DataError: not one mean and one variance per token.

    Source: Zhang et al. 2025 (arXiv 2404.02936), equation 3.
    """
    if token_log_p is None or mean_loss(token_log_p) is None:
        return None
    log_p, mean, variance = (
        np.asarray(column, dtype=np.float64).ravel() for column in (token_log_p, vocabulary_mean, vocabulary_variance)
    )
    require_as_many("vocabulary means", mean.tolist(), log_p.size)
    require_as_many("vocabulary variances", variance.tolist(), log_p.size)
    return _lowest((log_p - mean) / np.sqrt(np.maximum(variance, 1e-6)), share)


def fiubench_min_k(standardised: npt.ArrayLike | None) -> float | None:
    """FIUBench's Min-K and Min-K++: `sum_r w_r exp(mean of the floor(r T) lowest)`, r = .1 to .5, w = .3 .3 .2 .1 .1.

    A ratio that holds no token (short answers) is left out and its weight is not made up for, so the score of an
    answer of one token is 0. Feed token log-probabilities for Min-K, standardised ones for Min-K++.
    Source: evaluate_util.py of github.com/gray311/VLM_Unlearned.
    """
    values = np.sort(np.asarray([] if standardised is None else standardised, dtype=np.float64).ravel())
    if values.size == 0 or np.isnan(values).any():
        return None
    counts = {ratio: int(values.size * ratio) for ratio in _FIUBENCH_WEIGHTS}
    return sum(
        weight * float(np.exp(values[: counts[ratio]].mean()))
        for ratio, weight in _FIUBENCH_WEIGHTS.items()
        if counts[ratio]
    )


def auc(members: Sequence[float | None], others: Sequence[float | None]) -> Estimate:
    """`P(score of a member > score of a non-member)`, ties counting half, in [0, 1]; the Mann-Whitney statistic.

    None where one side has nothing scored.
    """
    first, second = scored(members), scored(others)
    n, unscored = len(first) + len(second), len(members) + len(others) - len(first) - len(second)
    if not first or not second:
        return Estimate(None, n, unscored)
    ordered = np.sort(np.asarray(second))
    below = np.searchsorted(ordered, first, side="left")
    upto = np.searchsorted(ordered, first, side="right")
    return Estimate(float((below + upto).sum()) / (2 * len(first) * len(second)), n, unscored)


def open_mm_score(area: float | None) -> float | None:
    """`1 - 2 |AUC - 0.5|` in [0, 1]: 1 where nobody can tell. Source: Open-MMunlearning."""
    return None if area is None else 1 - 2 * abs(area - 0.5)


def tpr_at_fpr(members: Sequence[float | None], others: Sequence[float | None], rate: float = 0.01) -> Estimate:
    """Share of members found when at most `rate` of the non-members are taken for members, in [0, 1].

    The threshold is a strict one on the non-members' own scores: with N of them, rates below 1/N find only members that
    stand above all of them. Source: Carlini et al. 2022 (arXiv 2112.03570).

    Raises:
        OptionError: the rate is not in [0, 1).
    """
    if not 0 <= rate < 1:
        raise OptionError(f"the false positive rate is {rate}, expected 0 or more and below 1, such as 0.01")
    first, second = scored(members), scored(others)
    n, unscored = len(first) + len(second), len(members) + len(others) - len(first) - len(second)
    if not first or not second:
        return Estimate(None, n, unscored)
    threshold = sorted(second, reverse=True)[int(rate * len(second))]
    return Estimate(float((np.asarray(first) > threshold).mean()), n, unscored)


def _lowest(values: npt.NDArray[np.float64], share: float) -> float:
    if not 0 < share <= 1:
        raise OptionError(f"share is {share}, expected a share of the tokens in (0, 1], such as 0.2")
    if np.isnan(values).any():
        raise DataError("a token's score is NaN, expected numbers. Score the item as None, so that it is counted.")
    count = max(1, int(values.size * share))
    return float(np.sort(values.ravel())[:count].mean())
