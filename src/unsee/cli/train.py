"""`unsee train`: change a model's weights by one of the published methods, and save another checkpoint."""

import time
from pathlib import Path
from typing import Annotated

import typer

from unsee.cli.console import LIMITS, finish, say, stages_shown
from unsee.cli.options import Json, Out, Seed, parsed
from unsee.errors import OptionError


def train(
    method: Annotated[str, typer.Argument(help="Method that changes weights; an unknown one lists them all.")],
    model: Annotated[str, typer.Argument(help="Checkpoint folder, hub id, or 'world:llava' for the shipped one.")],
    forget: Annotated[str, typer.Option(help="Questions about what is forgotten: folder, DIR:CONFIG or .jsonl.")],
    retain: Annotated[str, typer.Option(help="Questions of the retain set.")],
    out: Out,
    recipe: Annotated[Path | None, typer.Option(help="TOML file with settings, as in recipes/.")] = None,
    preset: Annotated[str | None, typer.Option(help="sane (default) or released.")] = None,
    given: Annotated[list[str] | None, typer.Option("--set", help="One setting, NAME=VALUE; repeat.")] = None,
    unknown: Annotated[str | None, typer.Option(help="Questions about people nobody was told of (ASRU).")] = None,
    refusal: Annotated[list[str] | None, typer.Option(help="What to say instead (PO, DPO); repeat.")] = None,
    report_to: Annotated[str | None, typer.Option(help="none, trackio, tensorboard, wandb...")] = None,
    save_every: Annotated[int | None, typer.Option(help="Optimiser steps between checkpoints.")] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Train a model to forget; run again with the same options to go on after an interruption.

    Example: unsee train npo world:llava --forget world:forget_10 --retain world:retain_90 --out npo
    """
    from unsee.data import read
    from unsee.methods.job import Job
    from unsee.methods.produce import WEIGHT_METHODS, produce
    from unsee.methods.recipe import Recipe, read_recipe
    from unsee.methods.rows import REFUSALS
    from unsee.models.load import load

    if method not in WEIGHT_METHODS:
        raise OptionError(f"the method is {method!r}, expected one of {list(WEIGHT_METHODS)}. Pass one of these.")
    written = read_recipe(recipe) if recipe else Recipe(method=method)
    if written.method != method:
        raise OptionError(
            f"{recipe} is a recipe of {written.method!r}, and the method is {method!r}. Take one of them."
        )
    options = {**written.settings, **({"preset": preset} if preset else {}), **parsed("--set", given or ())}
    asked, kept, others = read(forget), read(retain), read(unknown) if unknown else []
    loaded, start = load(model), time.monotonic()
    with stages_shown() as stages:
        job = Job(
            *(loaded, asked, kept, out, others),
            refusals=tuple(refusal or REFUSALS),
            options=options,
            seed=seed,
            save_every=save_every or written.save_every,
            report_to=report_to or written.report_to,
            stages=stages,
        )
        result = produce(method, job)
    seconds = time.monotonic() - start
    say(f"Saved {out}  {result.digest[:19]}...   ({seconds:.0f} s)")
    say(LIMITS)
    finish(as_json, {"out": str(out), "method": method, "digest": result.digest, "seconds": round(seconds, 1)})
