"""What the command line shows: progress with an estimate, tables, and one JSON object for programs."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich import progress
from rich.console import Console
from rich.table import Table
from rich.text import Text

from unsee.progress import Progress, Stages

LIMITS = (
    "The weights still contain what they contained: this reduces the rate at which this deployment answers. It deletes "
    "nothing and binds nobody who runs the model without it."
)
"""Said wherever something has been erased."""

_COLOURS = {"pass": "green", "warn": "yellow", "fail": "red"}


@contextmanager
def stages_shown() -> Iterator[Stages]:
    """Progress bars on standard error while open; nothing where that is no terminal."""
    console = Console(stderr=True)
    columns = (
        progress.TextColumn("{task.description:<24}"),
        progress.BarColumn(bar_width=28),
        progress.MofNCompleteColumn(),
        progress.TimeElapsedColumn(),
        progress.TextColumn("left"),
        progress.TimeRemainingColumn(),
    )
    with progress.Progress(*columns, console=console, disable=not console.is_terminal) as bars:

        def stage(name: str, total: int) -> Progress:
            task = bars.add_task(name, total=total)
            return lambda done: bars.advance(task, done)

        yield stage


def diagnosis_table(report: Sequence[Mapping[str, str]]) -> Table:
    """Findings of a fit, one a row."""
    table = Table("check", "result", "verdict", "what to do")
    for line in report:
        verdict = line["verdict"]
        table.add_row(line["check"], line["result"], Text(verdict, _COLOURS.get(verdict, "red")), line.get("note", ""))
    return table


def show_table(table: Table) -> None:
    """Print a table to standard output, its cells as they are: what people and models write is no markup."""
    Console(markup=False).print(table)


def say(text: str) -> None:
    """Print a line as it is, whatever it contains."""
    Console(soft_wrap=True).print(text, markup=False, highlight=False)


def complain(error: Exception) -> None:
    """Print an error's name and text to standard error, without traceback."""
    console = Console(stderr=True, soft_wrap=True)
    console.print(f"[bold red]{type(error).__name__}[/]: ", end="")
    console.print(str(error), markup=False, highlight=False)


def finish(as_json: bool, result: Mapping[str, Any]) -> None:
    """End standard output with one JSON object, if that was asked for."""
    if as_json:
        print(json.dumps(result))
