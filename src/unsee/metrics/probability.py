"""How probable a model finds an answer, from the log-probabilities of its tokens.

Take tokens from `unsee.evals.likelihood`; nothing here runs a model. L = -(1/T) sum_t log p(y_t | y_<t, prompt) is
the mean negative log-likelihood (nats a token), the "avg loss" of the released scripts.
"""

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from unsee.errors import DataError
from unsee.metrics.estimate import Card

CARDS = (
    Card("probability", forget="lower", keep="higher"),
    Card("probability-contrastive", forget="lower", keep="higher"),
    Card("sequence-log-probability", forget="lower", keep="higher", low=None, high=0.0),
)


def mean_loss(token_log_p: npt.ArrayLike | None) -> float | None:
    """L of one answer in nats a token, at least 0; None without tokens or where one is NaN.

    Raises:
        DataError: a log-probability is above 0, so these are logits or probabilities.
    """
    total = sequence_log_probability(token_log_p)
    return None if total is None else -total / np.asarray(token_log_p).size


def answer_probability(token_log_p: npt.ArrayLike | None) -> float | None:
    """Length-normalised probability `e^-L = (prod_t p_t)^(1/T)` in [0, 1]; None without tokens.

    Source: TOFU (arXiv 2401.06121), `exp(-avg_gt_loss)`; CLEAR and FIUBench alike.

    Raises:
        DataError: a log-probability is above 0.
    """
    loss = mean_loss(token_log_p)
    return None if loss is None else math.exp(-loss)


def sequence_log_probability(token_log_p: npt.ArrayLike | None) -> float | None:
    """`sum_t log p_t` in nats, at most 0, not normalised: the "exposure" of ReMem (arXiv 2605.03759).

    Raises:
        DataError: a log-probability is above 0.
    """
    if token_log_p is None:
        return None
    values = np.asarray(token_log_p, dtype=np.float64).ravel()
    if values.size == 0 or np.isnan(values).any():
        return None
    if values.max() > 1e-4:
        raise DataError(
            f"a token's log-probability is {values.max():g}, expected at most 0. Take the logarithm of a softmax, "
            "not logits or probabilities."
        )
    return float(values.sum())


def contrastive_probability(true_loss: float | None, false_losses: Sequence[float | None]) -> float | None:
    """`e^-L_true / (e^-L_true + sum_j e^-L_j)` over the true and the false answers, in [0, 1].

    Stays exact where every `e^-L` underflows. None without a false answer or where one is unscored.
    Source: TOFU (arXiv 2401.06121) on its real-author and world sets; CLEAR and FIUBench off the retain set.
    """
    losses = [true_loss, *false_losses]
    if len(losses) < 2 or true_loss is None or any(loss is None or math.isnan(loss) for loss in losses):
        return None
    odds = sum(math.exp(min(true_loss - loss, 700.0)) for loss in false_losses if loss is not None)
    return 1 / (1 + odds)
