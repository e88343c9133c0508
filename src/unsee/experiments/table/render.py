"""The table on a terminal, as CSV, HTML, LaTeX and Markdown: the same figures."""

import csv
import io
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from rich import box
from rich.table import Table as Console
from rich.text import Text

from unsee.errors import SaveError
from unsee.evals.report import LIMITS
from unsee.experiments.table.summary import COLUMNS, Column, Line

NAMES = {"csv": "table.csv", "html": "table.html", "latex": "table.tex", "markdown": "table.md"}
HEAD = (
    "row", "kind", "forgotten_percent", "splits", "column", "good", "unit", "value", "low", "high", "n", "people",
    "unscored", "reason",
)  # fmt: skip
_GOOD = {"higher": "more is better", "lower": "less is better", "": ""}
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip


def console_table(lines: Sequence[Line], caption: str) -> Console:
    """Values alone, of the columns that fit a terminal."""
    table = Console(box=box.SIMPLE_HEAD, caption=Text(caption), caption_justify="left", padding=(0, 1, 0, 0))
    table.add_column("row", no_wrap=True)
    table.add_column("%", justify="right")
    shown = [column for column in COLUMNS if column.short]
    for column in shown:
        table.add_column(Text(column.title), justify="right")
    for line in lines:
        if "" in line.reasons:
            table.add_row(Text(line.name), str(line.percent), Text("not fitted"))
            continue
        table.add_row(Text(line.name), str(line.percent), *(Text(printed(line, c)) for c in shown))
    return table


def write_tables(lines: Sequence[Line], caption: str, out: Path) -> list[Path]:
    """Write the table as CSV, HTML, LaTeX and Markdown.

    Raises:
        SaveError: the folder cannot be written.
    """
    texts = {
        "csv": to_csv(lines),
        "html": to_html(lines, caption),
        "latex": to_latex(lines, caption),
        "markdown": to_markdown(lines, caption),
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        for kind, text in texts.items():
            (out / NAMES[kind]).write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise SaveError(f"cannot write to {str(out)!r}: {error}. Choose another folder with --out.") from error
    return [out / name for name in NAMES.values()]


def to_csv(lines: Sequence[Line]) -> str:
    """One line a figure, every number in full; an unscored one has no value, and its reason."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEAD)
    for line in lines:
        for column in COLUMNS:
            found = line.figures[column.name]
            interval = found.interval or ("", "")
            about = [line.name, line.kind, line.percent, line.splits, column.name, column.good, column.unit]
            value = "" if found.value is None else found.value
            counts = [found.n, found.people, found.unscored]
            writer.writerow([*about, value, *interval, *counts, reason(line, column)])
    return text.getvalue()


def to_html(lines: Sequence[Line], caption: str) -> str:
    """A page of its own: no script, nothing loaded, every text escaped."""
    source = files("unsee.experiments.table").joinpath("table.html.j2").read_text(encoding="utf-8")
    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return page.from_string(source).render(
        columns=[{"title": column.title, "good": _GOOD[column.good]} for column in COLUMNS],
        lines=[_html_line(line) for line in lines],
        caption=caption,
        limits=LIMITS.split("\n\n"),
    )


def to_latex(lines: Sequence[Line], caption: str) -> str:
    """A `tabular` of booktabs with values alone; intervals are in the other forms."""
    rows = [" & ".join(map(_escaped, cells)) + r" \\" for cells in _cells(lines)]
    return "\n".join(
        [
            "% needs \\usepackage{booktabs}",
            f"% {caption}",
            rf"\begin{{tabular}}{{l{'r' * (len(COLUMNS) + 2)}}}",
            r"\toprule",
            rows[0],
            r"\midrule",
            *rows[1:],
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def to_markdown(lines: Sequence[Line], caption: str) -> str:
    """A table for a README, with values alone, and the caption below."""
    head, *body = [[cell.replace("|", r"\|") for cell in cells] for cells in _cells(lines)]
    ruler = ["---", *(["---:"] * (len(head) - 1))]
    return "\n".join([*(f"| {' | '.join(cells)} |" for cells in (head, ruler, *body)), "", caption, ""])


def _cells(lines: Sequence[Line]) -> list[list[str]]:
    """Head and rows as they are printed."""
    head = ["row", "forgotten", *(column.title for column in COLUMNS), "reversible"]
    return [head] + [
        [line.name, f"{line.percent} %", *(printed(line, c) for c in COLUMNS), _reversible(line)] for line in lines
    ]


def printed(line: Line, column: Column) -> str:
    """A figure's value in its unit; "unscored" where there is a reason for having none, else ""."""
    value = line.figures[column.name].value
    if value is None:
        return "unscored" if reason(line, column) else ""
    return _number(column, value)


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
    if column.unit == "score":
        return f"{value:.1f}"
    return f"{value:.2f}" if column.unit == "times" else f"{value:.0f}"


def _html_line(line: Line) -> dict[str, object]:
    cells = []
    for column in COLUMNS:
        found = line.figures[column.name]
        interval = "" if found.interval is None else " to ".join(_number(column, one) for one in found.interval)
        n = f"n = {found.n}, {found.people} people" if column.split and found.n else ""
        cells.append({"value": printed(line, column), "interval": interval, "n": n, "reason": reason(line, column)})
    return {
        "name": line.name, "kind": line.kind, "percent": line.percent, "chosen": line.chosen, "cells": cells,
        "reversible": _reversible(line), "failed": line.reasons.get("", ""),
    }  # fmt: skip


def _reversible(line: Line) -> str:
    return "" if line.reversible is None else "yes" if line.reversible else "no"


def _escaped(text: str) -> str:
    return re.sub(r"[\\&%$#_{}~^]", lambda found: _LATEX[found[0]], text)
