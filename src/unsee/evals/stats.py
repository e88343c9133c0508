"""Rows of a results table: rates with 95 % intervals over subjects, the worst subject, and what went unscored.

Questions about one person stand or fall together, so people are resampled, never questions.
"""

from collections.abc import Iterable, Mapping, Sequence
from statistics import NormalDist
from typing import Any, NotRequired, TypedDict

import numpy as np
import numpy.typing as npt

from unsee.data.task import REFUSED
from unsee.errors import DataError, OptionError

RATES = {"accuracy": "correct", "leak": "leaked", "refusal": "refused", "fluent": "fluent"}
"""Name of a rate to the field of a record that it averages."""

CONFIDENCE = 0.95
FEW = 5
"""People who differ from all others, below which resampling sees too little of how people differ."""


class Row(TypedDict):
    """One condition on one split; a rate is None when nothing was scored.

    `n` counts scored answers, `unscored` the questions that got none; `worst` holds the least favourable
    subject's rate, where subjects have several questions each; `ci95` is None where it cannot be estimated.
    """

    condition: str
    split: str
    role: str
    in_sample: bool
    n: int
    n_subjects: int
    unscored: int
    accuracy: float | None
    leak: float | None
    refusal: float | None
    fluent: float | None
    worst: NotRequired[dict[str, float]]
    ci95: dict[str, tuple[float, float] | None]


def bootstrap_ci(
    values: Sequence[float], clusters: Sequence[str], resamples: int = 2000, seed: int = 0
) -> tuple[float, float] | None:
    """95 % percentile interval of the mean, by resampling whole clusters.

    Each resample draws C of the C clusters with replacement and takes sum(values) / count(values), so that a
    cluster weighs as many values as it has (Davison and Hinkley 1997, section 3.8; Efron's percentile limits).

    Where all resamples agree, as with 0 leaks on 5 people, the bootstrap would claim certainty, and where fewer than
    `FEW` people differ from all others it claims too much: where 2 of 20 people are expected to leak, 95 % are 88. Then
    the interval covers the Wilson score interval with n = C too, for values in [0, 1]: people are what was sampled.

    Args:
        values: one number per answer.
        clusters: the subject of each answer.
        resamples: how many bootstrap samples.
        seed: of the resampling.

    Returns:
        Lower and upper limit, or None for fewer than two clusters: spread between people cannot be seen in one.

    Raises:
        DataError: no values, not one cluster per value, or a value that is not finite.
        OptionError: fewer than 100 resamples, too few for a 2.5 % tail.
    """
    if len(values) != len(clusters) or not values:
        raise DataError(
            f"an interval needs one cluster per value and at least one value; got {len(values)} values and "
            f"{len(clusters)} clusters. Pass the subject of every scored answer."
        )
    if resamples < 100:
        raise OptionError(f"resamples is {resamples}, expected 100 or more: fewer cannot show a 2.5 % tail")
    numbers = np.asarray(values, dtype=np.float64)
    if not np.isfinite(numbers).all():
        raise DataError("a value is NaN or infinite, expected finite numbers. Leave unscored answers out.")
    names, member = np.unique(np.asarray(clusters), return_inverse=True)
    if len(names) < 2:
        return None
    sums, counts = _sums(member, numbers), _sums(member, np.ones_like(numbers))
    means = _resampled_means(sums, counts, resamples, seed)
    tail = (1 - CONFIDENCE) / 2
    low, high = (float(limit) for limit in np.quantile(means, [tail, 1 - tail]))
    spread, rates = high - low > 1e-12, bool(numbers.min() >= 0 and numbers.max() <= 1)
    if spread and not (rates and min((sums > 0).sum(), (sums < counts).sum()) < FEW):
        return low, high
    if not rates:
        return None
    below, above = wilson(float(numbers.mean()), len(names))
    return (min(low, below), max(high, above)) if spread else (below, above)


def p_value(differences: Sequence[float], clusters: Sequence[str], draws: int = 20_000, seed: int = 0) -> float:
    """Two-sided p of "no difference" from paired differences: would their mean be as far from 0 with sides swapped?

    Under that hypothesis a person's answers under both conditions could as well be swapped, which turns the sign of all
    differences of that person at once. All 2^C ways are tried up to 14 people, else `draws` of them, the given one
    among them (Phipson and Smyth 2010, so that p is never 0).

    Raises:
        DataError: no differences, or not one cluster for each.
    """
    if len(differences) != len(clusters) or not differences:
        raise DataError(f"got {len(differences)} differences and {len(clusters)} clusters, expected one for each.")
    _, member = np.unique(np.asarray(clusters), return_inverse=True)
    sums = _sums(member, np.asarray(differences, dtype=np.float64))
    exact = len(sums) <= 14
    if exact:
        signs = 1 - 2 * (np.arange(2 ** len(sums))[:, None] >> np.arange(len(sums)) & 1)
    else:
        signs = 1 - 2 * np.random.default_rng(seed).integers(0, 2, (draws, len(sums)), dtype=np.int8)
    far = (np.abs(signs @ sums) >= abs(sums.sum()) - 1e-9).sum()
    return float(far / len(signs)) if exact else float((far + 1) / (draws + 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values of one family, adjusted so that any false star in all of it is as rare as one in a single test.

    `max over j <= i of (m - j) p_(j)`, at most 1, in ascending order. Source: Holm 1979, Scand. J. Statistics 6, 65-70.
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, least = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(order):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = least
    return adjusted


def summarise(records: Iterable[Mapping[str, Any]], seed: int = 0) -> list[Row]:
    """Rows of `metrics.json` from lines of `answers.jsonl` with their verdicts, in order of first appearance.

    A record needs condition, split, person, answer, correct, leaked, refused and fluent; one whose answer or
    verdict is None is unscored. Several runs may be pooled: a person stays one cluster across them.

    Raises:
        DataError: a record lacks a field; names the record and the field.
    """
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for number, record in enumerate(records):
        missing = {"condition", "split", "person", "answer", *RATES.values()} - record.keys()
        if missing:
            raise DataError(
                f"answer record {number} lacks {sorted(missing)}; it has {sorted(record)}. "
                "Score answers with unsee.evals.score before summarising."
            )
        groups.setdefault((record["condition"], record["split"]), []).append(record)
    return [_row(condition, split, group, seed) for (condition, split), group in groups.items()]


def _row(condition: str, split: str, group: list[Mapping[str, Any]], seed: int) -> Row:
    scored = [record for record in group if record["answer"] is not None and record["refused"] is not None]
    people = [str(record["person"]) for record in scored]
    # Without a gold answer nobody can say whether an answer is right, or leaks; that it refuses can be seen.
    known = all(record["correct"] is not None for record in scored)
    values = {
        rate: [float(record[field]) for record in scored] if known or rate in ("refusal", "fluent") else []
        for rate, field in RATES.items()
    }
    rates = {rate: float(np.mean(column)) if column else None for rate, column in values.items()}
    row: Row = {
        "condition": condition,
        "split": split,
        "role": group[0].get("role", "unlabelled"),
        "in_sample": any(record.get("in_sample") for record in group),
        "n": len(scored),
        "n_subjects": len(set(people)),
        "unscored": len(group) - len(scored),
        "accuracy": rates["accuracy"],
        "leak": rates["leak"],
        "refusal": rates["refusal"],
        "fluent": rates["fluent"],
        "ci95": {rate: bootstrap_ci(column, people, seed=seed) if column else None for rate, column in values.items()},
    }
    # With one question a subject, the worst is 0 or 1 by construction and says nothing.
    if known and 1 < row["n_subjects"] < row["n"]:
        row["worst"] = _worst(row["role"], values, people)
    return row


def _worst(role: str, values: dict[str, list[float]], people: list[str]) -> dict[str, float]:
    """The subject that fares worst: leaks most or is refused least where refusal is due, else is known least."""
    _, member = np.unique(np.asarray(people), return_inverse=True)
    counts = np.bincount(member)
    of = {rate: _sums(member, np.asarray(column)) / counts for rate, column in values.items()}
    if role == "forget":
        return {"leak": float(of["leak"].max()), "refusal": float(of["refusal"].min())}
    if role in REFUSED:
        return {"refusal": float(of["refusal"].min())}
    return {"accuracy": float(of["accuracy"].min()), "refusal": float(of["refusal"].max())}


def _sums(member: npt.NDArray[np.intp], values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Sum of the values of each cluster."""
    return np.bincount(member, weights=values).astype(np.float64)


def _resampled_means(
    sums: npt.NDArray[np.float64], counts: npt.NDArray[np.float64], resamples: int, seed: int
) -> npt.NDArray[np.float64]:
    clusters = len(sums)
    # How often each cluster is drawn is multinomial, which spares an index array and a gather.
    drawn = np.random.default_rng(seed).multinomial(clusters, np.full(clusters, 1 / clusters), size=resamples)
    return (drawn @ sums) / (drawn @ counts)


def wilson(mean: float, n: int) -> tuple[float, float]:
    """Wilson (1927) score interval of a proportion."""
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    centre = (mean + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * (mean * (1 - mean) / n + z * z / (4 * n * n)) ** 0.5
    return max(0.0, centre - half), min(1.0, centre + half)
