"""Truth ratio: how much likelier the (paraphrased) true answer is than perturbed, false ones. Direction always named.

Everything is kept as `log r = mean_j L_j - L~` with r = true / false, so that positive means "knows" and nothing
overflows: L~ is the mean token loss of the paraphrased true answer, L_j of the J false ones, averaged as every release
does (TOFU's paper, equation 1, averages probabilities).

Directions differ in print. TOFU's paper and open-unlearning report R = false / true = 1 / r. The aggregation scripts of
TOFU, CLEAR and FIUBench use r = true / false, while the per-item `truth_ratio` in CLEAR's and FIUBench's logs is 1 / r.
"""

import math
from collections.abc import Sequence

from unsee.metrics.estimate import Card, scored

CARDS = (
    Card("truth-ratio-forget", forget="higher", keep=""),
    Card("truth-ratio-retain", forget="", keep="higher"),
)


def log_truth_ratio(true_loss: float | None, false_losses: Sequence[float | None]) -> float | None:
    """`log(true / false)` of one item; positive where the model prefers the truth.

    None without a false answer or where any loss is unscored: an average over some of them would shift the ratio.

    Args:
        true_loss: L~, in nats a token.
        false_losses: L_j, in nats a token.

    Source: TOFU (arXiv 2401.06121), aggregate_eval_stat.py of github.com/locuslab/tofu.
    """
    kept = scored(false_losses)
    if true_loss is None or math.isnan(true_loss) or not kept or len(kept) < len(false_losses):
        return None
    return math.fsum(kept) / len(kept) - true_loss


def forget_truth_ratio(log_ratio: float | None) -> float | None:
    """`min(r, 1/r) = e^-|log r|` in [0, 1]: 1 where truth and falsehood are equally likely.

    Higher is better on the forget set, and the direction of r does not matter. Source: TOFU, aggregate_eval_stat.py.
    """
    return None if log_ratio is None else math.exp(-abs(log_ratio))


def retain_truth_ratio(log_ratio: float | None) -> float | None:
    """`max(0, 1 - 1/r)` with r = true / false, in [0, 1): higher is better on what is kept.

    Fed with ratios of the other direction it rewards a model for preferring falsehoods. Source: as above.
    """
    return None if log_ratio is None else -math.expm1(-max(0.0, log_ratio))
