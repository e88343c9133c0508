"""The table's lines as one sheet, for every form that it is written in."""

from collections.abc import Mapping, Sequence
from typing import Any

from unsee.evals.tables import Sheet
from unsee.experiments.table.summary import COLUMNS, Column, Line


def sheet(lines: Sequence[Line], caption: str) -> Sheet:
    """A row a line; figures with their interval, above them of how many answers and people; a few on the terminal."""
    columns = ["row", "%", *(f"{column.title}{_sample(lines, column)}" for column in COLUMNS), "reversible"]
    short = [0, 1, *(2 + place for place, column in enumerate(COLUMNS) if column.short)]
    rows = [
        [line.name, str(line.percent), *(printed(line, column) for column in COLUMNS), _reversible(line)]
        for line in lines
    ]
    numbers = [_numbers(line, column) for line in lines for column in COLUMNS]
    return Sheet("table", columns, rows, caption, numbers, short=short)


def _sample(lines: Sequence[Line], column: Column) -> str:
    """Scored answers and people behind a column, from the fewest to the most of the lines."""
    found = [line.figures[column.name] for line in lines]
    some = [(one.n, one.people) for one in found if column.split and one.n]
    counts = ["-".join(map(str, sorted({min(of), max(of)}))) for of in zip(*some, strict=True)]
    return f" (n {counts[0]}/{counts[1]})" if counts else ""


def _numbers(line: Line, column: Column) -> Mapping[str, Any]:
    """Every number in full; an unscored one has no value, and its reason."""
    found = line.figures[column.name]
    low, high = found.interval or (None, None)
    return {
        "row": line.name, "kind": line.kind, "forgotten_percent": line.percent, "splits": line.splits,
        "chosen": line.chosen, "column": column.name, "good": column.good, "unit": column.unit, "value": found.value,
        "low": low, "high": high, "n": found.n, "people": found.people, "unscored": found.unscored,
        "reason": reason(line, column),
    }  # fmt: skip


def printed(line: Line, column: Column) -> str:
    """A figure in its unit with its interval; "unscored" where there is a reason for having none, else ""."""
    found = line.figures[column.name]
    if found.value is None:
        return "not fitted" if "" in line.reasons else "unscored" if reason(line, column) else ""
    span = "" if found.interval is None else f" [{', '.join(_number(column, one) for one in found.interval)}]"
    return f"{_number(column, found.value)}{span}"


def reason(line: Line, column: Column) -> str:
    """Why a figure has no value; "" where it has one, or where the row has no such thing."""
    if line.figures[column.name].value is not None:
        return ""
    return line.reasons.get(column.name, line.reasons.get("", ""))


def _number(column: Column, value: float) -> str:
    if column.unit == "percent":
        return f"{100 * value:.0f}"
    if column.unit == "bytes":
        return f"{value / 1024:,.0f} KiB" if value >= 1024 else f"{value:.0f} B"
    return f"{value:.{ {'score': 1, 'times': 2}.get(column.unit, 0) }f}"


def _reversible(line: Line) -> str:
    return "" if line.reversible is None else "yes" if line.reversible else "no"
