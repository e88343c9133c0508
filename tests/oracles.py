"""Slow float64 truth, written from the papers' formulas in numpy; shares no code with the package."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def float64(values: Any) -> Array:
    """A float64 numpy copy of a tensor or array."""
    return np.asarray(values).astype(np.float64)


def dense_null_space_matrix(retain: Any, forget: Any, direction: Any, ratio: float, gamma: float) -> Array:
    """MLLMEraser's D x D steering matrix M (row vectors: `f(h) = h M`), step by step as published.

    SVD of `H_r^T H_r`; `P = Q Q^T` from the trailing `int(ratio D)` right singular vectors; `X = H_f P`;
    `A = X^T X + gamma P^T P`; `Delta = pinv(A) X^T (1 d^T)`; `M = P Delta`.
    """
    kept, forgotten, target = float64(retain), float64(forget), float64(direction)
    width = kept.shape[1]
    _, _, right = np.linalg.svd(kept.T @ kept)
    null = right[width - int(ratio * width) :].T
    projector = null @ null.T
    inputs = forgotten @ projector
    system = inputs.T @ inputs + gamma * projector.T @ projector
    targets = np.ones((forgotten.shape[0], 1)) @ target[None, :]
    # The cut-off of torch.linalg.pinv, which the released code calls; numpy's own is tighter than its rounding.
    delta = np.linalg.pinv(system, rcond=width * np.finfo(np.float64).eps) @ inputs.T @ targets
    return projector @ delta


def weighted_ridge(positive: Any, negative: Any, gamma: float) -> tuple[Array, float]:
    """Class-balanced ridge regression with a free intercept, by least squares on explicitly augmented rows.

    Row i is `sqrt(weight_i) [h_i, 1]` with target `sqrt(weight_i) y_i`, weights 1 / (2 n) of the own class; D more
    rows `sqrt(rho) [e_j, 0]` with target 0 are the ridge, rho = gamma times the mean weighted variance of a feature.
    """
    forgotten, kept = float64(positive), float64(negative)
    rows = np.concatenate([forgotten, kept])
    width = rows.shape[1]
    weights = np.concatenate([np.full(len(forgotten), 0.5 / len(forgotten)), np.full(len(kept), 0.5 / len(kept))])
    labels = np.concatenate([np.ones(len(forgotten)), np.zeros(len(kept))])
    centre = np.average(rows, axis=0, weights=weights)
    rho = gamma * float(np.average((rows - centre) ** 2, axis=0, weights=weights).mean())
    root = np.sqrt(weights)[:, None]
    data = np.concatenate([root * rows, root], axis=1)
    ridge = np.concatenate([np.sqrt(rho) * np.eye(width), np.zeros((width, 1))], axis=1)
    targets = np.concatenate([np.sqrt(weights) * labels, np.zeros(width)])
    solution = np.linalg.lstsq(np.concatenate([data, ridge]), targets, rcond=None)[0]
    return float64(solution[:-1]), float(solution[-1])


def auc_by_pairs(positive: Any, negative: Any) -> float:
    """AUC by asking every pair: 1 if the positive is above, 1/2 for a tie."""
    above = [1.0 if p > q else 0.5 if p == q else 0.0 for p in float64(positive) for q in float64(negative)]
    return sum(above) / len(above)
