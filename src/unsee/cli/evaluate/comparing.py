"""`unsee compare`: results folders side by side."""

from pathlib import Path
from typing import Annotated

import typer

from unsee.cli.console import LIMITS, finish, say, show_table
from unsee.cli.options import Json, Seed


def compare(
    results: Annotated[list[str], typer.Argument(help="Results folders, or NAME=FOLDER to rename a row.")],
    against: Annotated[str | None, typer.Option(help="Row that differences are taken from; default: base.")] = None,
    never_knew: Annotated[str, typer.Option(help="Name of the row of the model that never knew.")] = "never_knew",
    sets: Annotated[list[str] | None, typer.Option("--set", help="Only this set; repeat. Default: all.")] = None,
    modalities: Annotated[
        bool, typer.Option("--modalities", help="Also apart for questions with and without an image.")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for CSV, HTML, LaTeX, Markdown and the plot.")] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Set results side by side: intervals over people, paired differences, and the forget-retain image.

    Example: unsee compare results/base results/erased --out comparison
    """
    from unsee.evals.compare import compare as compared
    from unsee.evals.compare_tables import sheet
    from unsee.evals.frontier import draw, frontier
    from unsee.evals.memorised import warning
    from unsee.evals.results import knew, read_results
    from unsee.evals.tables import console, require_forms, write

    if out is not None:
        require_forms()
    found = read_results(results)
    table = compared(found, against, never_knew=never_knew, sets=sets or (), modalities=modalities, seed=seed)
    named = {result.name: result for result in found}
    warned = None
    if "base" in named and never_knew in named:
        warned = warning(knew(named["base"], named[never_knew]))
    else:
        warned = (
            f"Not checked: whether the base model knew what is to be forgotten. That takes rows 'base' and "
            f"{never_knew!r}; here are {list(named)}."
        )
    if warned:
        say(warned)
    shown = sheet(table)
    show_table(console(shown))
    written: list[Path] = []
    if out is not None:
        written = write(shown, out)
        if (points := frontier(found, seed)) is not None:
            written.append(draw(points, out / "forget-retain.png"))
        say(f"Wrote {', '.join(str(path) for path in written)}")
    if any(result.erases for result in found):
        say(LIMITS)
    finish(
        as_json,
        {
            "conditions": table.conditions,
            "reference": table.reference,
            "protocol": table.settings["protocol"],
            "lines": len(table.lines),
            "files": [str(path) for path in written],
            "warning": warned,
        },
    )
