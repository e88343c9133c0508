"""Forget quality: can the truth ratios of the unlearned model be told from those of a model that never knew?

The p-value of the two-sample Kolmogorov-Smirnov test, in [0, 1]; higher is better (indistinguishable), and its decimal
logarithm is what separates methods. It also rises when there are fewer items, so compare only equal n. Exact, and in
logarithms throughout: two sets of 1,000 that do not overlap have p = 2 / C(2000, 1000), far below the smallest float.

Source: TOFU (arXiv 2401.06121), section 3; `scipy.stats.ks_2samp` in its aggregate_eval_stat.py. KS is invariant to
monotone maps, so ratios of either direction and their logarithms give the same result.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from unsee.metrics.estimate import Card, scored

CARDS = (
    Card("forget-quality", forget="higher", keep=""),
    Card("forget-quality-log10", forget="higher", keep="", low=None, high=0.0),
)


@final
@dataclass(frozen=True)
class ForgetQuality:
    """Outcome of the test.

    Attributes:
        value: the p-value in [0, 1], or None where one side has nothing scored; 0 where it is below 1e-308.
        log10: its decimal logarithm, at most 0, finite also there.
        statistic: the largest gap D between the two distribution functions, in [0, 1].
        n: scored items of the unlearned model.
        n_reference: scored items of the never-knew model.
        unscored: items of both that could not be scored.
    """

    value: float | None
    log10: float | None
    statistic: float | None
    n: int
    n_reference: int
    unscored: int


def forget_quality(unlearned: Iterable[float | None], never_knew: Iterable[float | None]) -> ForgetQuality:
    """Compare truth ratios (or their logarithms) per item of the forget set; None and NaN are counted as unscored."""
    given, reference = list(unlearned), list(never_knew)
    first, second = scored(given), scored(reference)
    unscored = len(given) + len(reference) - len(first) - len(second)
    if not first or not second:
        return ForgetQuality(None, None, None, len(first), len(second), unscored)
    statistic, log_p = ks_two_sample(np.asarray(first), np.asarray(second))
    value, log10 = math.exp(log_p), log_p / math.log(10)
    return ForgetQuality(value, log10, statistic, len(first), len(second), unscored)


def ks_two_sample(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> tuple[float, float]:
    """D and the natural logarithm of its two-sided p-value, for two samples without NaN.

    `D = max_x |F(x) - G(x)|`. Under the null every order of the m + n values is equally likely, and D is reached by the
    orders whose lattice path from (0, 0) to (m, n) leaves the band |i/m - j/n| < D: `p = paths leaving it / C(m+n, m)`.
    Ties are left as they are, as scipy does; then p is an upper bound. Costs O(m n).

    Source: Hodges 1958.
    """
    m, n = len(first), len(second)
    both = np.concatenate([first, second])
    below_first = np.searchsorted(np.sort(first), both, side="right")
    below_second = np.searchsorted(np.sort(second), both, side="right")
    # In units of 1 / (m n), so that no rounding decides whether a path touches the border.
    gap = int(np.abs(below_first * n - below_second * m).max())
    return gap / (m * n), 0.0 if gap == 0 else min(0.0, _log_share_leaving(m, n, gap))


def _log_share_leaving(m: int, n: int, gap: int) -> float:
    """`log(paths that ever have |i n - j m| >= gap / all paths)`: each counted where it first leaves."""
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, m + n + 1)))])

    def log_paths(right: npt.NDArray[np.int64], up: int) -> npt.NDArray[np.float64]:
        return log_factorial[right + up] - log_factorial[right] - log_factorial[up]

    # Row i holds the log number of paths to (i, j) that have not left, for j from `low` to `high`.
    low, high = 0, min(n, (gap - 1) // m)
    row = np.zeros(high + 1)
    leaving = [row[-1] + log_paths(np.array([n - high - 1]), m)] if high < n else []
    for i in range(1, m + 1):
        next_low = max(0, (i * n - gap) // m + 1)
        next_high = min(n, -((-i * n - gap) // m) - 1)
        fallen = np.arange(low, min(next_low, high + 1))
        if fallen.size:
            leaving.append(row[: fallen.size] + log_paths(n - fallen, m - i))
        if next_low > min(next_high, high):
            break
        entered = np.full(next_high - next_low + 1, -np.inf)
        entered[: high - next_low + 1] = row[next_low - low :]
        row = np.logaddexp.accumulate(entered)
        low, high = next_low, next_high
        if high < n:
            leaving.append(row[-1:] + log_paths(np.array([n - high - 1]), m - i))
    return float(np.logaddexp.reduce(np.concatenate(leaving)) - log_paths(np.array([n]), m)[0])
