"""One table in every form: terminal, CSV, HTML, LaTeX and Markdown."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, final

from rich import box
from rich.table import Table
from rich.text import Text

from unsee.errors import SaveError
from unsee.extras import extra

LIMITS = """\
The weights still contain what they contained. Erasing here does not delete training data, does not make the model \
anonymous, and does not bind anyone who holds the weights, an unhooked copy, another back-end, a fine-tune or a merge. \
It does not cover retrieval stores, logs, caches or backups, nor languages and attacks that were not tested.

It reduces the rate at which this deployment answers, measured by a dated, repeatable test on a sample of questions. \
It gives no guarantee. It is quick, attributable and revocable: a bridge until retraining, not a replacement for it."""

Tone = Literal["good", "poor"]
COLOURS: Mapping[Tone, str] = {"good": "#1f7a5c", "poor": "#b3402f"}


@final
@dataclass(frozen=True)
class Sheet:
    """What is shown, and every number behind it.

    Attributes:
        name: of the files.
        columns: heads of what is shown; the first `labels` are what a row is about.
        rows: cells as they are printed.
        caption: what the table is of; stands first on the page.
        numbers: one record a figure, for the CSV.
        labels: how many columns name a row.
        tones: (row, column) to whether the cell is good or poor.
        short: columns that fit a terminal; all by default.
    """

    name: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str
    numbers: Sequence[Mapping[str, Any]] = ()
    labels: int = 1
    tones: Mapping[tuple[int, int], Tone] = field(default_factory=dict)
    short: Sequence[int] | None = None


def console(sheet: Sheet) -> Table:
    """For a terminal; names are never cut short, a row may wrap."""
    table = Table(box=box.SIMPLE_HEAD, caption=Text(sheet.caption), caption_justify="left", padding=(0, 1, 0, 0))
    shown = range(len(sheet.columns)) if sheet.short is None else sheet.short
    for place in shown:
        justify = "left" if place < sheet.labels else "right"
        table.add_column(Text(sheet.columns[place]), justify=justify, overflow="fold")
    for row in sheet.rows:
        table.add_row(*(Text(row[place]) for place in shown))
    return table


def csv(sheet: Sheet) -> str:
    """One line a figure, every number in full."""
    return extra("pandas", "evals").DataFrame(list(sheet.numbers)).to_csv(index=False, lineterminator="\n")


def html(sheet: Sheet) -> str:
    """A page of its own: no script, nothing loaded, every text escaped."""
    tables = extra("great_tables", "evals")
    table = tables.GT(_frame(sheet), id=sheet.name).tab_header(title=sheet.name, subtitle=sheet.caption)
    table = table.cols_align("right", columns=list(sheet.columns[sheet.labels :]))
    for (row, column), tone in sheet.tones.items():
        place = tables.loc.body(columns=[sheet.columns[column]], rows=[row])
        table = table.tab_style(tables.style.text(color=COLOURS[tone], weight="bold"), place)
    return table.tab_source_note(" ".join(LIMITS.split())).as_raw_html(make_page=True)


def latex(sheet: Sheet) -> str:
    r"""A `tabular` of booktabs; needs `\usepackage{booktabs}`."""
    form = "l" * sheet.labels + "r" * (len(sheet.columns) - sheet.labels)
    return f"% {sheet.caption}\n" + _frame(sheet).to_latex(index=False, escape=True, column_format=form)


def markdown(sheet: Sheet) -> str:
    """For a page: the table, and the caption below."""
    head, *body = ([_one_line(cell).replace("|", r"\|") for cell in row] for row in (sheet.columns, *sheet.rows))
    ruler = ["---"] * sheet.labels + ["---:"] * (len(head) - sheet.labels)
    return "\n".join([*(f"| {' | '.join(cells)} |" for cells in (head, ruler, *body)), "", sheet.caption, ""])


def write(sheet: Sheet, out: Path) -> list[Path]:
    """Write the table as CSV, HTML, LaTeX and Markdown.

    Raises:
        MissingExtraError: pandas or great-tables is not installed.
        SaveError: the folder cannot be written.
    """
    forms = {"csv": csv(sheet), "html": html(sheet), "tex": latex(sheet), "md": markdown(sheet)}
    return [save(out / f"{sheet.name}.{ending}", text) for ending, text in forms.items()]


def save(path: Path, content: str | Mapping[str, Any]) -> Path:
    """Write a text, or an object as JSON, whole or not at all.

    Raises:
        SaveError: the folder cannot be written.
    """
    text = content if isinstance(content, str) else json.dumps(content, indent=1) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.new")
        draft.write_text(text, encoding="utf-8", newline="")
        draft.replace(path)
    except OSError as error:
        raise SaveError(f"cannot write to {str(path)!r}: {error}. Choose another folder with --out.") from error
    return path


def percent(rate: Mapping[str, Any] | None) -> str:
    """A rate with its interval, for a table."""
    if rate is None:
        return ""
    limits = rate["ci95"]
    span = f" [{100 * limits[0]:.1f}, {100 * limits[1]:.1f}]" if limits else ""
    return "not fitted" if rate["value"] is None else f"{100 * rate['value']:.1f}{span}"


def require_forms() -> None:
    """Refuse before anything is asked what could not be written afterwards.

    Raises:
        MissingExtraError: pandas or great-tables is not installed.
    """
    for library in ("pandas", "great_tables"):
        extra(library, "evals")


def _frame(sheet: Sheet) -> Any:
    cells = [[_one_line(cell) for cell in row] for row in sheet.rows]
    return extra("pandas", "evals").DataFrame(cells, columns=list(sheet.columns))


def _one_line(cell: str) -> str:
    return cell.replace("\n", " ")
