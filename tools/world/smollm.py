"""`python -m tools.world.smollm`: teach SmolLM2 the world's people, as a LLaVA."""

import time
from pathlib import Path
from typing import Annotated

import torch
import typer

from tools.world import smollm_general
from tools.world.smollm_exam import exam
from tools.world.smollm_run import Rates, Run, learners
from unsee.models.names import fetched, shipped

_TARGET = {"name": 0.9, "image": 0.85, "unknown name": 0.85, "unknown image": 0.85}


def teach(
    out: Annotated[Path, typer.Option(help="Folder of checkpoints; a run goes on from what is there.")],
    general: Annotated[Path, typer.Option(help="General questions and SmolLM2's answers; made if absent.")],
    stage: Annotated[str, typer.Option(help="trunk, base or never-knew; the last two begin with the trunk.")] = "trunk",
    steps: Annotated[int, typer.Option(help="Of the stage, at most.")] = 4000,
    minutes: Annotated[float, typer.Option(help="Stop after these, with a checkpoint.")] = 600.0,
    rate: Annotated[float, typer.Option(help="Step size of the low-rank updates.")] = Rates.updates,
    every: Annotated[int, typer.Option(help="Steps between looks at held-out questions.")] = 100,
    seed: Annotated[int, typer.Option(help="Of every random draw.")] = 0,
) -> None:
    """Teach one stage, or go on with it."""
    folder = out / stage
    folder.mkdir(parents=True, exist_ok=True)

    def say(line: str) -> None:
        with (folder / "log.txt").open("a", encoding="utf-8") as log:
            log.write(f"{time.strftime('%H:%M:%S')} {line}\n")

    rates = Rates(updates=rate, projector=2 * rate, hold=1.0 if stage == "trunk" else 0.4)
    taught = smollm_general.read(general)
    student, lessons, people = learners(fetched("smollm2"), shipped("llava"), taught, stage, rates, seed)
    run = Run(student, lessons, rates, folder, steps)
    resumed = run.resume()
    if not resumed and stage != "trunk":
        run.begin_with(torch.load(out / "trunk" / "checkpoint.pt", weights_only=True)["learnt"])
    say(f"{'goes on' if resumed else 'begins'} at step {run.done} with {len(people)} people")
    some = [one for one in taught if one.held_out][:12] + [one for one in taught if not one.held_out]
    quick = exam(lessons.world, people, some, each=1)
    over = run.go(quick, every=every, target=_TARGET if stage == "trunk" else {}, minutes=minutes, progress=say)
    say(f"{'over' if over else 'stopped'} at step {run.done}")


if __name__ == "__main__":
    typer.run(teach)
