"""`unsee ask`: one question, without and with erasers."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from unsee.cli.console import finish, say, show_table
from unsee.cli.options import Json, Model, Parts, Seed, erasers_of, open_model, takes_parts
from unsee.errors import DataError

Erasers = Annotated[list[Path] | None, typer.Option("--eraser", help="Eraser folder or hub id; repeat to combine.")]


@takes_parts
def ask(
    model: Model,
    *,
    parts: Parts,
    question: Annotated[str, typer.Option(help="What to ask.")],
    image: Annotated[Path | None, typer.Option(help="Image to ask about.")] = None,
    video: Annotated[list[Path] | None, typer.Option(help="Video file, or its frames in order; repeat.")] = None,
    eraser: Erasers = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 48,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Ask one question, without and with erasers, and show what each gate read.

    Example: unsee ask world:llava --image face.png --question "where does this person live?" --eraser r-0001
    """
    import torch

    from unsee.data import ImageFile, Sample
    from unsee.data.video import SUFFIXES, frames_of
    from unsee.erase.steer.hooks import erased
    from unsee.models.generate import generate

    torch.manual_seed(seed)
    shown = [] if image is None else [image]
    for path in (*shown, *(video or ())):
        if not path.is_file():
            raise DataError(f"there is no image or video {str(path)!r}. Expected a file; check the path.")
    asked_about = None if image is None else ImageFile(str(image), image)
    frames = tuple(ImageFile(str(path), path) for path in video or ())
    if video and len(video) == 1 and video[0].suffix.lower() in SUFFIXES:
        frames = frames_of(video[0], str(video[0]))
    loaded = open_model(model, parts)
    sample = Sample("asked", "asked", question, "", "", image=asked_about, video=frames)
    erasers = erasers_of(eraser or (), loaded)
    before = generate(loaded, [sample], max_new_tokens=max_new_tokens)[0]
    result: dict[str, Any] = {"question": question, "before": before}
    say(f"before  {before}")
    if erasers:
        with erased(loaded.model, *erasers, adapter=loaded.adapter) as steering:
            result["after"] = generate(loaded, [sample], max_new_tokens=max_new_tokens)[0]
            readings, result["positions_steered"] = steering.readings, steering.positions
        say(f"after   {result['after']}")
        table, result["gates"] = Table("eraser", "subject or layer", "reading", "fires"), []
        for path, one, reading in zip(eraser or (), erasers, readings, strict=True):
            if reading is None:
                continue
            names = (
                one.subjects if reading.margins.shape[1] == len(one.subjects) else [str(layer) for layer in one.layers]
            )
            for name, margin in sorted(zip(names, reading.margins[0].tolist(), strict=True), key=lambda pair: -pair[1])[
                :8
            ]:
                table.add_row(path.name, name, f"{margin:+.3f}", "yes" if margin >= 0 else "no")
                result["gates"].append({"eraser": str(path), "name": name, "margin": margin})
        show_table(table)
    finish(as_json, result)
