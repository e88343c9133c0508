"""`unsee show`: what a saved artifact is."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from unsee.cli.console import diagnosis_table, finish, show_table
from unsee.cli.options import Json
from unsee.errors import ArtifactError


def show(
    artifact: Annotated[Path, typer.Argument(help="Eraser or profile: folder, file or hub id.")], as_json: Json = False
) -> None:
    """Show what a saved profile or eraser is, and what its fit found.

    Example: unsee show requests/0001/eraser
    """
    from unsee.erase.eraser import Eraser
    from unsee.erase.profile import Profile

    try:
        made = Eraser.from_pretrained(artifact)
    except ArtifactError as error:
        try:
            made = Profile.from_pretrained(artifact)
        except ArtifactError:
            raise error from None
    table = Table(show_header=False)
    facts = {
        "kind": "profile" if isinstance(made, Profile) else f"eraser ({made.method})",
        "model": f"{made.model['id']}  {made.model['digest'][:19]}...",
        "layers": ", ".join(map(str, made.layers)),
        "coefficient": f"{made.strength:g}",
        "samples": ", ".join(f"{name} {count}" for name, count in made.counts.items()),
    }
    if isinstance(made, Eraser):
        facts["subjects"] = f"{len(made.subjects)}: {', '.join(made.subjects)}"
    for name, value in facts.items():
        table.add_row(name, value)
    show_table(table)
    show_table(diagnosis_table(made.report))
    finish(as_json, facts | {"report": made.report})
