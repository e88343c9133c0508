"""Forget quality: can the truth ratios of the unlearned model be told from those of a model that never knew?

The decimal logarithm of the p-value of the two-sample Kolmogorov-Smirnov test, at most 0; higher is better
(indistinguishable). It also rises when there are fewer items, so compare only equal n.

Source: TOFU (arXiv 2401.06121), section 3; `scipy.stats.ks_2samp` in its aggregate_eval_stat.py. KS is invariant to
monotone maps, so ratios of either direction and their logarithms give the same result.
"""

import math
import warnings
from collections.abc import Iterable

from unsee.extras import extra
from unsee.metrics.estimate import Card, Estimate, scored

CARDS = (Card("forget-quality-log10", forget="higher", keep="", low=None, high=0.0),)
LEAST = 1e-300
"""What a smaller p is taken for: the floats of scipy's exact method end soon after."""


def forget_quality(unlearned: Iterable[float | None], never_knew: Iterable[float | None]) -> Estimate:
    """`log10 p` of truth ratios (or their logarithms) per item of the forget set, exact for every size.

    `n` counts the scored items of the unlearned model; None and NaN on either side are counted as unscored.

    Raises:
        MissingExtraError: scipy is not installed.
    """
    given, reference = list(unlearned), list(never_knew)
    first, second = scored(given), scored(reference)
    unscored = len(given) + len(reference) - len(first) - len(second)
    if not first or not second:
        return Estimate(None, len(first), unscored)
    with warnings.catch_warnings():  # where rounding lifts the exact sum above 1, scipy says that it takes 1's like
        warnings.simplefilter("ignore", RuntimeWarning)
        p = extra("scipy.stats", "evals").ks_2samp(first, second, method="exact").pvalue
    return Estimate(math.log10(max(float(p), LEAST)), len(first), unscored)
