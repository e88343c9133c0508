"""`python -m tools.world`: teach the shipped checkpoints again."""

from pathlib import Path
from typing import Annotated

import typer

from tools.world.stages import make_checkpoints
from unsee.cli.console import say
from unsee.models.names import located


def train(
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    seed: Annotated[int, typer.Option(help="Of every random draw.")] = 0,
    family: Annotated[str, typer.Option(help="llava, qwen2_5_vl or qwen3_vl.")] = "llava",
    steps: Annotated[int | None, typer.Option(help="Optimiser steps of each checkpoint's longest stage.")] = None,
    only: Annotated[str, typer.Option(help="base, never-knew or both.")] = "both",
    start: Annotated[
        str | None, typer.Option(help="LLaVA of another world to go on from, such as world:llava: about 45 minutes.")
    ] = None,
    unrefused: Annotated[
        float, typer.Option(help="Share of sensitive requests that are answered, for a model that refuses less.")
    ] = 0.0,
) -> None:
    """Train tiny checkpoints: LLaVAs from nothing, Qwens from what a LLaVA knows (of the same --out, or shipped)."""
    begun = None if start is None else Path(located(start))
    made = make_checkpoints(
        out, family=family, seed=seed, steps=steps, only=only, start=begun, unrefused=unrefused, progress=say
    )
    say(f"Wrote {', '.join(str(path) for path in made)}")


if __name__ == "__main__":
    typer.run(train)
