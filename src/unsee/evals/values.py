"""From rows to the numbers behind one figure of a table: one value a question, or one a group of questions."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, final

from unsee.evals.choices import GROUPED, MEMBERSHIP
from unsee.evals.roles import RATES, limits
from unsee.evals.stats import CONFIDENCE, FEW, bootstrap_ci, p_value, wilson
from unsee.metrics.fluency import distinct_2
from unsee.metrics.keywords import extraction
from unsee.metrics.membership import found_at, open_mm_score, standing
from unsee.metrics.modality import all_modal_accuracy, all_modal_error, modality_gap
from unsee.metrics.rouge import umu_aligned_rouge

Row = Mapping[str, Any]
Asked = Literal["both", "image", "text"]
"""Questions over an image, those without one, or both together."""

Interval = tuple[float, float] | None


@final
@dataclass(frozen=True)
class Value:
    """What one question, or one group of them, contributes.

    Attributes:
        person: whom it is about: people are resampled, not questions.
        key: what to pair it by, the same in every results folder.
        number: the value, or None where it is unscored.
    """

    person: str
    key: str
    number: float | None


@final
@dataclass(frozen=True)
class Figure:
    """One figure of a table.

    Attributes:
        value: mean of the scored values, None where there is none.
        interval: its 95 % limits over people, or None where they cannot be estimated.
        n: scored values.
        people: whom they are about.
        unscored: values that should be there and are not.
    """

    value: float | None
    interval: Interval
    n: int
    people: int
    unscored: int


@final
@dataclass(frozen=True)
class Difference:
    """One condition less the reference, over questions that both were scored on.

    Attributes:
        value: mean of the differences, question by question.
        interval: its 95 % limits over people, or None where they cannot be estimated.
        n: pairs.
        p: of no difference, by swapping the conditions of whole people; in a table as `holm` adjusts it.
    """

    value: float
    interval: Interval
    n: int
    p: float

    @property
    def clear(self) -> bool:
        """Whether it is told from none."""
        return self.p < 1 - CONFIDENCE


def asked(rows: Iterable[Row], how: Asked) -> list[Row]:
    """The rows that were asked so."""
    return [row for row in rows if how == "both" or (row["image"] is not None) == (how == "image")]


def values_of(rows: Sequence[Row], name: str, unknown: Sequence[Row] = ()) -> list[Value]:
    """Every value of one rate or measure; none where it applies to no row.

    A group stands for its questions by the id that they share: UMU-Bench's question over an image and as text, and the
    paraphrases of one of FIUBench's. For membership a question has the share of those about unknown people
    that it stands above (ties half), whose mean is the AUC; or whether it is found at the rate of false positives.

    Args:
        rows: of one set.
        name: of `unsee.evals.roles.RATES` or of `unsee.evals.choices.MEASURES`.
        unknown: rows of the same condition about people whom no model was taught, for membership.
    """
    if name in RATES:
        return [_value(row, row[RATES[name]]) for row in rows]
    if name in MEMBERSHIP:
        return _members(rows, name, unknown)
    if name not in GROUPED:
        return [_value(row, row["measures"][name]) for row in rows if name in row["measures"]]
    if name.startswith("ape-"):
        return _paraphrases(rows, GROUPED[name], worst=name == "ape-worst")
    return _pairs(rows, name) if name in _OF_PAIR else []


def figure(rows: Sequence[Row], name: str, seed: int = 0, unknown: Sequence[Row] = ()) -> Figure | None:
    """A rate or measure over rows; None where it applies to none of them.

    `distinct-2` counts over all answers together, and `mia-open-mm` is of an AUC, so they have no interval. The
    intervals of the other measures of membership take the unknown people as given.
    """
    if name == "mia-open-mm":
        area = figure(rows, "mia-auc-loss", seed, unknown)
        return None if area is None else replace(area, value=open_mm_score(area.value), interval=None)
    if name == "distinct-2":
        found = distinct_2(row["answer"] for row in rows)
        people = {row["person"] for row in rows}
        return Figure(found.value, None, found.n, len(people), found.unscored) if rows else None
    values = values_of(rows, name, unknown)
    return figure_of(values, limits(name), seed) if values else None


def figure_of(values: Sequence[Value], within: tuple[float | None, float | None], seed: int = 0) -> Figure:
    """Mean and interval of values that lie within these limits, None being no limit."""
    kept = [(value.person, value.number) for value in values if value.number is not None]
    people, numbers = [person for person, _ in kept], [number for _, number in kept]
    mean = math.fsum(numbers) / len(numbers) if numbers else None
    interval = interval_of(numbers, people, within, seed)
    return Figure(mean, interval, len(kept), len(set(people)), len(values) - len(kept))


def paired(
    values: Sequence[Value], others: Sequence[Value], within: tuple[float | None, float | None], seed: int = 0
) -> Difference | None:
    """Mean of `value - other` over what both have scored; None where they share nothing.

    Pairs are made by person and key, never by place; people are resampled, each with all their pairs. Differences of
    values within [low, high] lie within [low - high, high - low].
    """
    table = {(other.person, other.key): other.number for other in others}
    gains = [
        Value(value.person, value.key, value.number - other)
        for value in values
        if value.number is not None and (other := table.get((value.person, value.key))) is not None
    ]
    if not gains:
        return None
    low, high = within
    found = figure_of(gains, (None, None) if low is None or high is None else (low - high, high - low), seed)
    assert found.value is not None
    p = p_value([gain.number for gain in gains if gain.number is not None], [gain.person for gain in gains], seed=seed)
    return Difference(found.value, found.interval, found.n, p)


def interval_of(
    numbers: Sequence[float], people: Sequence[str], within: tuple[float | None, float | None], seed: int = 0
) -> Interval:
    """95 % limits of a mean by resampling people.

    Where fewer than `FEW` of P people differ from the others' mean c, resampling would claim too much, and where none
    does, certainty. A share `u` of all people may differ, Wilson's upper limit for so many of P, by as much as
    the limits allow: the interval then covers `[c - u (c - low), c + u (high - c)]`. Without limits there is none.
    """
    means = _means(numbers, people)
    if len(means) < 2:
        return None
    usual, most = Counter(round(mean, 9) for mean in means).most_common(1)[0]
    differ, (low, high) = len(means) - most, within
    if differ and (within == (0.0, 1.0) or differ >= FEW):
        return bootstrap_ci(numbers, people, seed=seed)
    if low is None or high is None:
        return bootstrap_ci(numbers, people, seed=seed) if differ else None
    share = wilson(differ / len(means), len(means))[1]
    below, above = usual - share * (usual - low), usual + share * (high - usual)
    found = bootstrap_ci(numbers, people, seed=seed) if differ else None
    return (below, above) if found is None else (min(below, found[0]), max(above, found[1]))


def _means(numbers: Sequence[float], people: Sequence[str]) -> list[float]:
    own: dict[str, list[float]] = {}
    for person, number in zip(people, numbers, strict=True):
        own.setdefault(person, []).append(number)
    return [math.fsum(mine) / len(mine) for mine in own.values()]


def _value(row: Row, number: float | bool | None) -> Value:
    return Value(str(row["person"]), str(row["id"]), None if number is None else float(number))


_OF_PAIR: Mapping[str, Callable[[float, float], float | None]] = {
    "all-modal-accuracy": lambda image, text: all_modal_accuracy(image == 1, text == 1),
    "all-modal-error": lambda image, text: all_modal_error(image == 1, text == 1),
    "modality-gap": lambda image, text: modality_gap(image == 1, text == 1),
    "rougeL-umu-forget": lambda image, text: umu_aligned_rouge(image, text, forget=True),
    "rougeL-umu-retain": lambda image, text: umu_aligned_rouge(image, text, forget=False),
}


def _pairs(rows: Sequence[Row], name: str) -> list[Value]:
    """One value a question that was asked in both modalities; a pair with one side unscored is unscored."""
    sides: dict[str, dict[str, Row]] = {}
    for row in rows:
        modality = "text" if row["image"] is None else "image"
        sides.setdefault(row["id"].replace(f"/{modality}/", "/"), {})[modality] = row
    found = []
    for key, pair in sides.items():
        if pair.keys() != {"image", "text"}:
            continue
        for made_of in GROUPED[name]:
            if all(made_of in row["measures"] for row in pair.values()):
                image, text = (pair[side]["measures"][made_of] for side in ("image", "text"))
                number = None if image is None or text is None else _OF_PAIR[name](image, text)
                found.append(Value(str(pair["image"]["person"]), key, number))
    return found


def _members(rows: Sequence[Row], name: str, unknown: Sequence[Row]) -> list[Value]:
    """One value a question that was scored for membership; a stranger's missing score is counted as unscored too."""
    members = [row for row in rows if "membership" in row and row["role"] != "unknown"]
    if not members or name == "mia-open-mm":
        return []
    score, measured = MEMBERSHIP[name], found_at if name == "mia-tpr-at-fpr" else standing
    others = [row["membership"][score] for row in unknown if "membership" in row]
    found = [_value(row, measured(row["membership"][score], others)) for row in members]
    lost = [row for row in unknown if "membership" in row and row["membership"][score] is None]
    return found + [_value(row, None) for row in lost]


def _paraphrases(rows: Sequence[Row], made_of: Sequence[str], *, worst: bool) -> list[Value]:
    """One value a question, over its paraphrases."""
    facts: dict[str, list[Row]] = {}
    for row in rows:
        question, mark, _ = row["id"].rpartition("/paraphrased/")
        if mark and made_of[0] in row["measures"]:
            facts.setdefault(question, []).append(row)
    return [
        Value(str(about[0]["person"]), key, extraction([row["measures"][made_of[0]] for row in about], worst=worst))
        for key, about in facts.items()
    ]
