"""`unsee demo`: the built-in world, before and after, in a few minutes."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from unsee.cli.console import LIMITS, finish, say, show_table, stages_shown
from unsee.cli.demo_natural import natural_demo
from unsee.cli.options import Json, Out, Seed, require_writable


def demo(
    out: Out = Path("demo-out"),
    seed: Seed = 0,
    family: Annotated[
        Literal["llava", "qwen2_5_vl", "qwen3_vl", "smollm", "smollm2"],
        typer.Option(
            help="A tiny checkpoint; smollm: people in a real language model that sees; smollm2: public facts in it."
        ),
    ] = "llava",
    as_json: Json = False,
) -> None:
    """Forget people, a dangerous topic and outdated facts of the built-in world; table and report in a few minutes.

    Example: unsee demo --out demo-out (two minutes of two cores; smollm ten, smollm2 twenty)
    """
    require_writable(out)
    if family in ("smollm", "smollm2"):
        natural_demo(family, out, seed, as_json)
        return
    from unsee.evals.headline import sheet
    from unsee.evals.tables import console
    from unsee.experiments.demo import held_rows, run_demo

    with stages_shown() as stages:
        metrics = run_demo(out, seed, stages, family)
    show_table(console(sheet(metrics["rows"])))
    promised = {name: None if v is None else round(v, 4) for name, v in held_rows(metrics["rows"]).items()}
    say(f"Report: {out / 'report.html'}   ({metrics['cost']['total_seconds']:.0f} s)")
    say(LIMITS)
    finish(as_json, {"out": str(out), **promised, "seconds": metrics["cost"]["total_seconds"]})
