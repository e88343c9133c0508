"""A comparison as terminal table, CSV, HTML and LaTeX: the same figures, each with its interval."""

import csv
import io
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from rich import box
from rich.table import Table
from rich.text import Text

from unsee.errors import SaveError
from unsee.evals.compare import Cell, Comparison, Difference, Line
from unsee.evals.report import LIMITS
from unsee.evals.results import about
from unsee.evals.roles import limits
from unsee.evals.values import Figure, Interval

NAMES = {"csv": "compare.csv", "html": "compare.html", "latex": "compare.tex"}
COLUMNS = (
    "set", "asked", "measure", "better", "condition", "value", "low", "high", "n", "people", "unscored", "reference",
    "difference", "difference_low", "difference_high", "pairs",
)  # fmt: skip
"""Of the CSV."""

_WHICH = {"both": "", "image": "over a picture", "text": "without picture"}
_GOOD = {"higher": "up", "lower": "down", "same": "as never knew", "": ""}
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip


def caption(comparison: Comparison) -> str:
    """What every form of the table says below itself."""
    settings = comparison.settings
    beside = (
        f" Below: difference from {comparison.reference} over the same questions; * where its interval leaves out 0."
        if len(comparison.conditions) > 1
        else ""
    )
    return (
        f"{about(settings)}; prompts: {settings['prompts']}, style {settings['style']}; replies "
        f"{settings['replies']}. Rates in percent, in brackets the 95 % bootstrap interval over people.{beside}"
    )


def console_table(comparison: Comparison) -> Table:
    """Lines by conditions, for a terminal."""
    table = Table(box=box.SIMPLE_HEAD, caption=Text(caption(comparison)), caption_justify="left")
    table.add_column("set")
    table.add_column("measure (good)")
    for condition in comparison.conditions:
        table.add_column(Text(condition), justify="right")
    for line in comparison.lines:
        cells = [_printed(line, line.cells.get(name)) for name in comparison.conditions]
        table.add_row(Text(_set(line)), Text(_measure(line)), *map(Text, cells))
    return table


def write_tables(comparison: Comparison, out: Path) -> list[Path]:
    """Write the table as CSV, HTML and LaTeX.

    Raises:
        SaveError: the folder cannot be written.
    """
    texts = {"csv": to_csv(comparison), "html": to_html(comparison), "latex": to_latex(comparison)}
    try:
        out.mkdir(parents=True, exist_ok=True)
        for kind, text in texts.items():
            (out / NAMES[kind]).write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise SaveError(f"cannot write to {str(out)!r}: {error}. Choose another folder with --out.") from error
    return [out / name for name in NAMES.values()]


def to_csv(comparison: Comparison) -> str:
    """One line a figure, every number in full."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for line in comparison.lines:
        for condition, cell in line.cells.items():
            found, gain = cell.figure, cell.difference
            row = [line.split, line.asked, line.measure, line.better, condition, found.value]
            row += [*(found.interval or ("", "")), found.n, found.people, found.unscored, comparison.reference]
            writer.writerow(row + ([] if gain is None else [gain.value, *(gain.interval or ("", "")), gain.n]))
    return text.getvalue()


def to_html(comparison: Comparison) -> str:
    """A page of its own: no script, nothing loaded, every text escaped."""
    source = files("unsee.evals").joinpath("compare.html.j2").read_text(encoding="utf-8")
    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return page.from_string(source).render(
        conditions=comparison.conditions,
        lines=[_html_line(comparison, line) for line in comparison.lines],
        caption=caption(comparison),
        limits=LIMITS.split("\n\n"),
    )


def to_latex(comparison: Comparison) -> str:
    """A `tabular` of booktabs, values and intervals alone; differences are in the other forms."""
    rows = []
    for line in comparison.lines:
        cells = (line.cells.get(name) for name in comparison.conditions)
        shown = ["" if cell is None else _figure(line.measure, cell.figure) for cell in cells]
        rows.append(" & ".join(map(_escaped, [_set(line), _measure(line), *shown])) + r" \\")
    head = " & ".join(map(_escaped, ["set", "measure (good)", *comparison.conditions])) + r" \\"
    return "\n".join(
        [
            "% needs \\usepackage{booktabs}",
            f"% {caption(comparison)}",
            rf"\begin{{tabular}}{{ll{'r' * len(comparison.conditions)}}}",
            r"\toprule",
            head,
            r"\midrule",
            *rows,
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def _html_line(comparison: Comparison, line: Line) -> Mapping[str, Any]:
    cells = [line.cells.get(name) for name in comparison.conditions]
    return {
        "set": _set(line),
        "measure": line.measure,
        "good": _GOOD[line.better],
        "cells": [
            {
                "value": "" if cell is None else _value(line.measure, cell.figure.value),
                "interval": "" if cell is None else _span(line.measure, cell.figure.interval),
                "n": "" if cell is None else _sample(cell.figure),
                "gain": "" if cell is None or cell.difference is None else _gain(line.measure, cell.difference),
                "tone": _tone(line, cell),
            }
            for cell in cells
        ],
    }


def _tone(line: Line, cell: Cell | None) -> str:
    """Good or poor where the difference is clear of 0 and the set says which way is good."""
    if cell is None or cell.difference is None or not cell.difference.clear or line.better not in ("higher", "lower"):
        return ""
    return "good" if (cell.difference.value > 0) == (line.better == "higher") else "poor"


def _printed(line: Line, cell: Cell | None) -> str:
    if cell is None:
        return ""
    shown = _figure(line.measure, cell.figure)
    return shown if cell.difference is None else f"{shown}\n{_gain(line.measure, cell.difference)}"


def _figure(measure: str, found: Figure) -> str:
    return " ".join(part for part in (_value(measure, found.value), _span(measure, found.interval)) if part)


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


def _sample(found: Figure) -> str:
    missing = f", {found.unscored} unscored" if found.unscored else ""
    return f"n = {found.n}, {found.people} {'person' if found.people == 1 else 'people'}{missing}"


def _set(line: Line) -> str:
    which = _WHICH[line.asked]
    return f"{line.split}, {which}" if which else line.split


def _measure(line: Line) -> str:
    good = _GOOD[line.better]
    return f"{line.measure} ({good})" if good else line.measure


def _escaped(text: str) -> str:
    return re.sub(r"[\\&%$#_{}~^]", lambda found: _LATEX[found[0]], text)
