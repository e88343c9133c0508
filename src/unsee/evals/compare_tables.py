"""A comparison as a table: each figure with its interval, and below it the difference from the reference."""

from collections.abc import Mapping
from typing import Any

from unsee.evals.compare import Cell, Comparison, Line
from unsee.evals.results import about
from unsee.evals.roles import limits
from unsee.evals.tables import Sheet, Tone
from unsee.evals.values import Difference, Figure, Interval

_WHICH = {"both": "", "image": ", over an image", "text": ", without image"}
_GOOD = {"higher": " (up)", "lower": " (down)", "same": " (as never knew)", "": ""}


def sheet(comparison: Comparison) -> Sheet:
    """Lines by conditions."""
    columns = ["set", "measure (good)", "n, people", *comparison.conditions]
    rows, tones = [], {}
    for number, line in enumerate(comparison.lines):
        cells = [line.cells.get(name) for name in comparison.conditions]
        tones |= {(number, 3 + n): tone for n, cell in enumerate(cells) if (tone := _tone(line, cell))}
        label = [f"{line.split}{_WHICH[line.asked]}", f"{line.measure}{_GOOD[line.better]}", _sample(line)]
        rows.append([*label, *(_printed(line, cell) for cell in cells)])
    numbers = [_numbers(comparison, line, name, cell) for line in comparison.lines for name, cell in line.cells.items()]
    return Sheet("compare", columns, rows, caption(comparison), numbers, 3, tones)


def caption(comparison: Comparison) -> str:
    """What the table is of, and how to read it."""
    settings = comparison.settings
    beside = (
        f" Below: difference from {comparison.reference} over the same questions; * where it is told from 0 at "
        "5 % by swapping the conditions of whole people, Holm over all lines of the column."
        if len(comparison.conditions) > 1
        else ""
    )
    seen = {line.split for line in comparison.lines if line.in_sample}
    fitted = f" In sample (a fit had these prompts): {', '.join(sorted(seen))}." if seen else ""
    return (
        f"{about(settings)}; prompts: {settings['prompts']}, style {settings['style']}; replies "
        f"{settings['replies']}. Rates in percent, in brackets the 95 % bootstrap interval over people.{beside}{fitted}"
    )


def _numbers(comparison: Comparison, line: Line, condition: str, cell: Cell) -> Mapping[str, Any]:
    found, gain = cell.figure, cell.difference
    low, high = found.interval or (None, None)
    gain_low, gain_high = (gain and gain.interval) or (None, None)
    return {
        "set": line.split, "asked": line.asked, "in_sample": line.in_sample, "measure": line.measure,
        "better": line.better, "condition": condition, "value": found.value, "low": low, "high": high, "n": found.n,
        "people": found.people, "unscored": found.unscored, "reference": comparison.reference,
        "difference": gain and gain.value, "difference_low": gain_low, "difference_high": gain_high,
        "p_holm": gain and gain.p, "pairs": gain and gain.n,
    }  # fmt: skip


def _tone(line: Line, cell: Cell | None) -> Tone | None:
    """Good or poor where the difference is clear of 0 and the set says which way is good."""
    if cell is None or cell.difference is None or not cell.difference.clear or line.better not in ("higher", "lower"):
        return None
    return "good" if (cell.difference.value > 0) == (line.better == "higher") else "poor"


def _printed(line: Line, cell: Cell | None) -> str:
    if cell is None:
        return ""
    found = cell.figure
    shown = f"{_value(line.measure, found.value)} {_span(line.measure, found.interval)}".strip()
    return shown if cell.difference is None else f"{shown}\n{_gain(line.measure, cell.difference)}"


def _gain(measure: str, gain: Difference) -> str:
    span = _span(measure, gain.interval, signed=True)
    return f"{_value(measure, gain.value, signed=True)}{f' {span}' if span else ''}{'*' if gain.clear else ''}"


def _value(measure: str, number: float | None, *, signed: bool = False) -> str:
    """Percent for what lies in [0, 1] or [-1, 1], else two decimals."""
    if number is None:
        return "unscored"
    if limits(measure)[1] == 1.0:
        return f"{100 * number:{'+' if signed else ''}.1f}"
    return f"{number:{'+' if signed else ''}.2f}"


def _span(measure: str, interval: Interval, *, signed: bool = False) -> str:
    return "" if interval is None else f"[{', '.join(_value(measure, one, signed=signed) for one in interval)}]"


def _sample(line: Line) -> str:
    """Scored answers and people, from the fewest to the most of the conditions."""
    figures: list[Figure] = [cell.figure for cell in line.cells.values()]
    counts, people = ({getattr(one, name) for one in figures} for name in ("n", "people"))
    missing = max(one.unscored for one in figures)
    return f"{_range(counts)}, {_range(people)}" + (f" ({missing} unscored)" if missing else "")


def _range(numbers: set[int]) -> str:
    return str(min(numbers)) if len(numbers) == 1 else f"{min(numbers)}-{max(numbers)}"
