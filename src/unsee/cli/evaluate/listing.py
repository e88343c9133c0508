"""`unsee list`: what can be asked for by name, ours and other packages'."""

from typing import Annotated

import typer
from rich.table import Table

from unsee.cli.console import finish, show_table
from unsee.cli.evaluate.what import legal
from unsee.cli.options import Json

KINDS = ("benchmarks", "metrics", "methods", "attacks", "models")


def list_kind(
    kind: Annotated[str, typer.Argument(help="benchmarks, metrics, methods, attacks or models.")],
    as_json: Json = False,
) -> None:
    """List what can be asked for by name, one line each.

    Example: unsee list attacks
    """
    legal("kind", kind, KINDS)
    from unsee.registry import KINDS as REGISTRIES

    entries = [entry.as_json() for entry in REGISTRIES[kind]]
    table = Table("name", "what it is", "facts")
    for entry in entries:
        known = ("kind", "access", "queries", "forget", "keep", "ratios", "knob")
        facts = ", ".join(f"{k} {entry[k]}" for k in known if entry.get(k) not in (None, "", (), 0))
        table.add_row(entry["name"], entry["summary"], facts)
    show_table(table)
    finish(as_json, {"kind": kind, "entries": entries})
