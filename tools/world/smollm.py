"""`python -m tools.world.smollm`: teach SmolLM2 the world's people, as a LLaVA, and write what comes of it."""

import time
from pathlib import Path
from typing import Annotated

import torch
import typer

from tools.world import smollm_export, smollm_general
from tools.world.smollm_exam import exam
from tools.world.smollm_run import Rates, Run, learners
from unsee.cli.console import say
from unsee.models.names import fetched, shipped

BASE, TOWER = "smollm2", "llava"
_TARGET = {"name": 0.9, "image": 0.85, "unknown name": 0.85, "unknown image": 0.85}
Stage = Annotated[str, typer.Option(help="trunk, base or never-knew; the last two begin with the trunk.")]
app = typer.Typer(no_args_is_help=True)


@app.command()
def teach(
    out: Annotated[Path, typer.Option(help="Folder of checkpoints; a run goes on from what is there.")],
    general: Annotated[Path, typer.Option(help="General questions and SmolLM2's answers; made if absent.")],
    stage: Stage = "trunk",
    steps: Annotated[int, typer.Option(help="Of the stage, at most; the same whenever it goes on.")] = 1500,
    minutes: Annotated[float, typer.Option(help="Stop after these, with a checkpoint.")] = 600.0,
    rate: Annotated[float, typer.Option(help="Step size of the low-rank updates.")] = Rates.updates,
    every: Annotated[int, typer.Option(help="Steps between looks at held-out questions.")] = 100,
    seed: Annotated[int, typer.Option(help="Of every random draw.")] = 0,
) -> None:
    """Teach one stage, or go on with it; SIGTERM stops it with a checkpoint."""
    folder = out / stage
    folder.mkdir(parents=True, exist_ok=True)

    def log(line: str) -> None:
        say(line)
        with (folder / "log.txt").open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%H:%M:%S')} {line}\n")

    if not general.exists():
        general.parent.mkdir(parents=True, exist_ok=True)
        smollm_general.write(smollm_general.distilled(fetched(BASE), log), general)
    taught = smollm_general.read(general)
    rates = Rates(updates=rate, projector=0.1 * rate, hold=1.0 if stage == "trunk" else 0.4)
    student, lessons, people = learners(fetched(BASE), shipped(TOWER), taught, stage, rates, seed)
    run = Run(student, lessons, rates, folder, steps)
    resumed = run.resume()
    if not resumed and stage != "trunk":
        run.begin_with(torch.load(out / "trunk" / "checkpoint.pt", weights_only=True)["learnt"])
    if not resumed:
        student.spell(people, lessons.unknown, log)
    log(f"{'goes on' if resumed else 'begins'} at step {run.done} with {len(people)} people")
    quick = exam(lessons.world, people, [one for one in taught if one.held_out][:12], each=1)
    over = run.go(quick, every=every, target=_TARGET if stage == "trunk" else {}, minutes=minutes, progress=log)
    log(f"{'over' if over else 'stopped'} at step {run.done}")


@app.command()
def export(
    out: Annotated[Path, typer.Option(help="Folder of checkpoints.")],
    to: Annotated[Path, typer.Option(help="Folder to write; what is there is replaced.")],
    stage: Stage = "base",
) -> None:
    """Write a checkpoint as an update of SmolLM2, the form in which it comes with the package."""
    smollm_export.export(out / stage / "checkpoint.pt", shipped(TOWER), BASE, to)
    say(f"Wrote {to}")


if __name__ == "__main__":
    app()
