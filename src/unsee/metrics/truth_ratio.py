"""Truth ratio: how much likelier the (paraphrased) true answer is than perturbed, false ones. Direction always named.

Everything is kept as `log r` with r = true / false, so that positive means "knows" and nothing overflows. With L the
mean token loss, L~ of the paraphrased true answer and L_j of J false ones:

- geometric, as every release computes it: `log r = mean_j L_j - L~`;
- arithmetic, as TOFU's paper defines it (equation 1): `log r = -log mean_j e^-L_j - L~`.

Directions differ in print. TOFU's paper and open-unlearning report R = false / true = 1 / r. The aggregation scripts of
TOFU, CLEAR and FIUBench use r = true / false, while the per-item `truth_ratio` in CLEAR's and FIUBench's logs is 1 / r.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Literal, get_args

from unsee.errors import OptionError
from unsee.metrics.estimate import Card, Estimate, mean_of, require_as_many, scored

Average = Literal["geometric", "arithmetic"]
Direction = Literal["true/false", "false/true"]

CARDS = (
    Card("truth-ratio-forget", forget="higher", keep=""),
    Card("truth-ratio-retain", forget="", keep="higher"),
    Card("truth-ratio-clear-global", forget="higher", keep="higher"),
)


def log_truth_ratio(
    true_loss: float | None, false_losses: Sequence[float | None], average: Average = "geometric"
) -> float | None:
    """`log(true / false)` of one item; positive where the model prefers the truth.

    None without a false answer or where any loss is unscored: an average over some of them would shift the ratio.

    Args:
        true_loss: L~, in nats a token.
        false_losses: L_j, in nats a token.
        average: over the false answers; "geometric" averages losses, "arithmetic" probabilities.

    Raises:
        OptionError: no such average.

    Source: TOFU (arXiv 2401.06121), equation 1 and aggregate_eval_stat.py of github.com/locuslab/tofu.
    """
    if average not in get_args(Average):
        raise OptionError(f"average is {average!r}, expected one of {list(get_args(Average))}. Pass one of these.")
    kept = scored(false_losses)
    if true_loss is None or math.isnan(true_loss) or not kept or len(kept) < len(false_losses):
        return None
    if average == "geometric":
        return math.fsum(kept) / len(kept) - true_loss
    least = min(kept)
    return least - math.log(math.fsum(math.exp(least - loss) for loss in kept) / len(kept)) - true_loss


def truth_ratio(log_ratio: float | None, direction: Direction) -> float | None:
    """The ratio itself in [0, inf), in the direction that a paper prints.

    Raises:
        OptionError: no such direction.
    """
    if direction not in get_args(Direction):
        raise OptionError(
            f"direction is {direction!r}, expected one of {list(get_args(Direction))}. Pass one of these."
        )
    if log_ratio is None:
        return None
    return _exp(log_ratio if direction == "true/false" else -log_ratio)


def forget_truth_ratio(log_ratios: Iterable[float | None]) -> Estimate:
    """`mean min(r, 1/r) = mean e^-|log r|` in [0, 1]: 1 where truth and falsehood are equally likely.

    Higher is better on the forget set, and the direction of r does not matter. Source: TOFU, aggregate_eval_stat.py.
    """
    return mean_of(None if value is None else math.exp(-abs(value)) for value in log_ratios)


def retain_truth_ratio(log_ratios: Iterable[float | None]) -> Estimate:
    """`mean max(0, 1 - 1/r)` with r = true / false, in [0, 1): higher is better on what is kept.

    Fed with ratios of the other direction it rewards a model for preferring falsehoods. Source: as above.
    """
    return mean_of(None if value is None else max(0.0, 1 - _exp(-value)) for value in log_ratios)


def clear_global_log_ratios(
    true_losses: Sequence[float | None], false_losses: Sequence[Sequence[float | None]]
) -> list[float | None]:
    """CLEAR's image version: every item's false loss is replaced by the mean over all items.

    `log r_i = mean_{k,j} L_kj - L~_i`, so that one item's false answers move the ratio of all others, and the KS test
    on it compares little more than true losses. Kept to reproduce published numbers.

    Raises:
        DataError: the columns are of unequal length.

    Source: mm/calculate_metrics.py of github.com/somvy/multimodal_unlearning, `.mean()` without an axis.
    """
    require_as_many("lists of false losses", false_losses, len(true_losses))
    every = scored(loss for losses in false_losses for loss in losses)
    common = math.fsum(every) / len(every) if every else None
    return [None if common is None or loss is None or math.isnan(loss) else common - loss for loss in true_losses]


def _exp(value: float) -> float:
    return math.exp(value) if value < 709 else math.inf
