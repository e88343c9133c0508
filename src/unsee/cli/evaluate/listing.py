"""`unsee list`: what can be asked for by name, ours and other packages'."""

from typing import Annotated, Literal

import typer
from rich.table import Column, Table

from unsee.cli.console import finish, show_table
from unsee.cli.options import Json

FACTS = {
    "kind": "kind", "access": "access", "queries": "queries", "forget": "forget", "keep": "retain",
    "ratios": "ratios", "knob": "knob",
}  # fmt: skip
"""Of an entry, what is shown, and under which word."""


def list_kind(
    kind: Annotated[Literal["benchmarks", "metrics", "methods", "attacks", "models"], typer.Argument(help="Of what.")],
    as_json: Json = False,
) -> None:
    """List what can be asked for by name, one line each.

    Example: unsee list attacks
    """
    from unsee.registry import KINDS

    entries = [entry.as_json() for entry in KINDS[kind]]
    # A name is there to be typed, so it is never cut; a console folds the other columns.
    table = Table(Column("name", no_wrap=True), "what it is", "facts")
    for entry in entries:
        facts = ", ".join(f"{word} {entry[k]}" for k, word in FACTS.items() if entry.get(k) not in (None, "", (), 0))
        table.add_row(entry["name"], entry["summary"], facts)
    show_table(table)
    finish(as_json, {"kind": kind, "entries": entries})
