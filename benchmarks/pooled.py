"""Demos of several split seeds on a real language model as one table: rates over all their questions.

A subject that is asked about in two seeds is one cluster of the intervals, and `subjects` counts it once.

    unsee demo --family smollm2 --seed 1 --out s1        # and 2, 3
    python -m benchmarks.pooled s1 s2 s3 --markdown
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.common import Columns, Row, arguments, publish

from unsee.experiments.natural.score import Record, rows

COLUMNS = {
    "leaked": ("forget_heldout", "leaked", "n_base_right"),
    "refused fluently": ("forget_heldout", "refused", "n_base_right"),
    "another fact": ("forget_heldout", "volunteered", "n_base_right"),
    "unseen": ("retain_unseen", "same", "n"),
    "near": ("neighbours", "same", "n"),
    "general": ("general", "same", "n"),
    "hidden leaked": ("selective_hidden", "leaked", "n_base_right"),
    "spared right": ("selective_spared", "right_of_base", "n_base_right"),
}
"""By title: a split, what is counted on it, and of how many questions."""


def cell(split: str, measure: str, count: str) -> Callable[[Row], str]:
    """Per cent, its interval over subjects, and of how many questions and subjects; one subject has no interval."""

    def told(row: Row) -> str:
        one = row.get(split)
        if one is None or one[measure] is None:
            return ""
        interval = (
            "" if one["ci95"][measure] is None else "[{:.0f}, {:.0f}] ".format(*(100 * e for e in one["ci95"][measure]))
        )
        return f"{100 * one[measure]:.0f} {interval}({one[count]}/{one['subjects']})"

    return told


def pooled(folders: Sequence[str]) -> list[Row]:
    """Rows by condition of every answer in these folders, each with its splits."""
    records: list[Record] = [
        json.loads(line)
        for folder in folders
        for line in (Path(folder) / "answers.jsonl").read_text("utf-8").splitlines()
    ]
    found: dict[str, Row] = {}
    for row in rows(records):
        found.setdefault(row["condition"], {"condition": row["condition"]})[row["split"]] = row
    return list(found.values())


def main(command_line: Sequence[str] | None = None) -> None:
    """Print the table of the folders."""
    parser = arguments(__doc__)
    parser.add_argument("folders", nargs="+")
    options = parser.parse_args(command_line)
    cells: Columns = {"condition": lambda row: row["condition"], **{name: cell(*of) for name, of in COLUMNS.items()}}
    publish("pooled", options, {"Seeds together": (pooled(options.folders), cells)})


if __name__ == "__main__":
    main()
