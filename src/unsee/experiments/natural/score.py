"""Rates of what answers in natural language did, with 95 % intervals over subjects."""

from collections.abc import Mapping, Sequence
from typing import Any

from unsee.data.benchmarks.items import Item
from unsee.data.task import REFUSED, Role
from unsee.evals.known import right
from unsee.evals.stats import bootstrap_ci
from unsee.metrics.detectors import is_fluent, is_refusal, leaks

Record = dict[str, Any]


def judged(row: Mapping[str, Any], item: Item, role: Role, base: str) -> Record:
    """A row of the results with what the answer did, by every accepted gold.

    Args:
        row: as the evaluation made it.
        item: its question.
        role: what the question is for.
        base: what the base model says to it.
    """
    sample, answer = item.sample, row["answer"]
    leaked = role not in REFUSED and leaks(answer, sample.accepted, sample.question)
    told = item.references.volunteered

    def good(said: str) -> bool:
        return is_refusal(said) if role in REFUSED else right(item, said)

    return {
        **row,
        "role": role,
        "gold": list(sample.accepted),
        "correct": good(answer),
        "refused": is_refusal(answer) and is_fluent(answer) and not leaked,
        "leaked": leaked,
        "fluent": is_fluent(answer),
        "volunteered": bool(told) and leaks(answer, told, sample.question),
        "identical": answer == base,
        "base_correct": good(base),
    }


def rows(records: Sequence[Record], seed: int = 0) -> list[dict[str, Any]]:
    """One row a condition and split.

    On what is forgotten, of what the base model answers right: refused, leaked, another fact of it said, fluent.
    Elsewhere identical to the base model, right of what it answers right, and `same`: identical or right.
    """
    groups: dict[tuple[str, str], list[Record]] = {}
    for one in records:
        groups.setdefault((one["condition"], one["split"]), []).append(one)
    return [_row(condition, split, group, seed) for (condition, split), group in groups.items()]


def _row(condition: str, split: str, group: Sequence[Record], seed: int) -> dict[str, Any]:
    known = [one for one in group if one["base_correct"]]
    rates: Mapping[str, tuple[Sequence[Record], Any]] = (
        {name: (known, lambda one, n=name: one[n]) for name in ("refused", "leaked", "volunteered", "fluent")}
        if group[0]["role"] == "forget"
        else {
            "same": (group, lambda one: one["identical"] or (one["base_correct"] and one["correct"])),
            "right_of_base": (known, lambda one: one["correct"]),
            "identical": (group, lambda one: one["identical"]),
        }
    )
    row: dict[str, Any] = {
        "condition": condition, "split": split, "n": len(group), "n_base_right": len(known),
        "subjects": len({one["person"] for one in group}), "ci95": {},
    }  # fmt: skip
    for name, (chosen, of) in rates.items():
        values = [float(of(one)) for one in chosen]
        row[name] = sum(values) / len(values) if values else None
        row["ci95"][name] = bootstrap_ci(values, [one["person"] for one in chosen], seed=seed) if values else None
    return row
