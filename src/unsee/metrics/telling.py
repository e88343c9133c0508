"""Whether replies tell who is on the list: can a classifier tell forgotten subjects from unknown ones by them?"""

from collections.abc import Collection, Sequence
from typing import NamedTuple, final

import numpy as np

from unsee.data.text import bare_words
from unsee.errors import DataError

FOLDS, LEAST, TARGET = 5, 10, 0.6


@final
class Telling(NamedTuple):
    """How well replies are told apart.

    Attributes:
        auc: 0.5 for not at all, 1 for always; of replies that the classifier was not fitted on.
        forgotten: number of replies about the forgotten subject.
        unknown: number about unknown ones.
        marks: words that tell most, with the sign of what they tell (+ forgotten).
    """

    auc: float
    forgotten: int
    unknown: int
    marks: tuple[str, ...]


def telling(
    forgotten: Sequence[str],
    unknown: Sequence[str],
    without: Collection[str] = (),
    *,
    seed: int = 0,
    ridge: float = 1.0,
) -> Telling:
    """Mean cross-validated AUC of a logistic regression on which words a reply holds, in [0, 1]; lower is better.

    Each of five folds holds a fifth of either class. An AUC below one half is noise: nothing recurs.

    Args:
        forgotten: replies about the forgotten subject.
        unknown: replies about subjects that the model does not know, to the same questions.
        without: words that do not count, such as names: a reply may repeat whom it was asked about.
        seed: of the folds.
        ridge: penalty of the squared weights.

    Raises:
        DataError: fewer than ten replies on either side.
    """
    if min(len(forgotten), len(unknown)) < LEAST:
        raise DataError(
            f"got {len(forgotten)} replies about the forgotten and {len(unknown)} about unknown subjects, expected at "
            f"least {LEAST} of each: fewer say nothing. Ask more questions."
        )
    leave = {word for text in without for word in bare_words(text).split()}
    sets = [set(bare_words(reply).split()) - leave for reply in (*forgotten, *unknown)]
    vocabulary = sorted({word for words in sets for word in words})
    x = np.array([[word in words for word in vocabulary] for words in sets], dtype=float).reshape(len(sets), -1)
    y = np.array([1.0] * len(forgotten) + [0.0] * len(unknown))
    fold = _folds(y, seed)
    found = []
    for k in range(FOLDS):
        weights = _logistic(x[fold != k], y[fold != k], ridge)
        found.append(_auc(_with_one(x[fold == k]) @ weights, y[fold == k]))
    weights = _logistic(x, y, ridge)[:-1]
    marks = [f"{'+' if weights[i] > 0 else '-'}{vocabulary[i]}" for i in np.argsort(-np.abs(weights))[:6]]
    return Telling(float(np.mean(found)), len(forgotten), len(unknown), tuple(marks))


def _folds(y: np.ndarray, seed: int) -> np.ndarray:
    generator, fold = np.random.default_rng(seed), np.empty(len(y), dtype=int)
    for label in (0.0, 1.0):
        rows = np.flatnonzero(y == label)
        fold[generator.permutation(rows)] = np.arange(len(rows)) % FOLDS
    return fold


def _with_one(x: np.ndarray) -> np.ndarray:
    return np.hstack([x, np.ones((len(x), 1))])


def _logistic(x: np.ndarray, y: np.ndarray, ridge: float) -> np.ndarray:
    """Class-balanced logistic regression with an intercept, by Newton's method; the intercept is not penalised."""
    x = _with_one(x)
    share = np.where(y == 1, 0.5 / max(1, (y == 1).sum()), 0.5 / max(1, (y == 0).sum())) * len(y)
    penalty = np.diag([ridge] * (x.shape[1] - 1) + [1e-6])
    weights = np.zeros(x.shape[1])
    for _ in range(25):
        p = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        gradient = x.T @ (share * (p - y)) + penalty @ weights
        hessian = (x * (share * p * (1 - p))[:, None]).T @ x + penalty
        step = np.linalg.solve(hessian, gradient)
        weights = weights - step
        if np.abs(step).max() < 1e-8:
            break
    return weights


def _auc(scores: np.ndarray, y: np.ndarray) -> float:
    above = scores[y == 1][:, None] - scores[y == 0][None, :]
    return float((above > 0).mean() + 0.5 * (above == 0).mean())
