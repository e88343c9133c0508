"""`unsee sweep`: the honest table, and the papers' ablations, on the built-in world."""

from pathlib import Path
from typing import Annotated, Any

import typer

from unsee.cli.console import finish, say, show_table, stages_shown
from unsee.cli.options import Json, Out, Seed
from unsee.errors import OptionError


def sweep(
    name: Annotated[str, typer.Argument(help="honest, an ablation, or all ablations; 'list' names them.")],
    out: Out = Path("sweep-out"),
    model: Annotated[str, typer.Option(help="Checkpoint that knows the world.")] = "world:llava",
    never_knew: Annotated[
        str | None, typer.Option(help="Checkpoint that was never taught split 0 at 10 %; the shipped one for world 0.")
    ] = None,
    world_seed: Annotated[int, typer.Option(help="Of the world that the checkpoints know.")] = 0,
    ratio: Annotated[list[float] | None, typer.Option(help="Share forgotten; repeat. honest: 0.05 0.1 0.15.")] = None,
    split_seed: Annotated[list[int] | None, typer.Option(help="Who is forgotten; repeat. honest: 0 1 2.")] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Run one sweep: a table on the terminal, an image and every record in the folder.

    honest resumes by run, and its table counts every run of the folder, those of other worlds too.

    Example: unsee sweep honest --out sweep-out (about an hour of two cores)
    """
    from unsee.experiments.sweeps.ablations import ABLATIONS, described

    presets = ("honest", "all")
    if name == "list":
        say("honest: the default eraser against its acceptance criteria")
        say("all: every one below, on one profile")
        for known in ABLATIONS:
            say(f"{known}: {described(known)}")
        return
    if name not in (*presets, *ABLATIONS):
        raise OptionError(f"sweep is {name!r}, expected one of {[*presets, *ABLATIONS]}")
    if name == "honest":
        rows = _honest(out, model, never_knew, world_seed, ratio or [0.05, 0.1, 0.15], split_seed or [0, 1, 2], seed)
        _save(name, out, rows)
    else:
        names = list(ABLATIONS) if name == "all" else [name]
        rows = _ablations(names, out, model, world_seed, (ratio or [0.1])[0], (split_seed or [0])[0], seed)
    finish(as_json, {"out": str(out), "rows": rows})


def _save(name: str, out: Path, rows: list[dict[str, Any]]) -> None:
    from unsee.evals.store import SCHEMA
    from unsee.evals.tables import save

    save(out / f"{name}.json", {"schema": SCHEMA, "sweep": name, "rows": rows})
    say(f"Wrote {out / name}.json")


def _honest(
    out: Path, model: str, never_knew: str | None, world_seed: int, ratios: list[float], splits: list[int], seed: int
) -> list[dict[str, Any]]:
    from unsee.evals.tables import console
    from unsee.experiments.acceptance import JUDGED, records_of, sheet, table
    from unsee.experiments.acceptance_run import Run
    from unsee.experiments.sweeps.picture import draw_bars
    from unsee.models.load import load
    from unsee.models.names import never_knew_of
    from unsee.world.generate import World
    from unsee.world.shipped import NEVER_KNEW_RATIO, NEVER_KNEW_SEED
    from unsee.world.splits import Exam

    if never_knew is None and world_seed == 0:
        never_knew = never_knew_of(model)
    world, loaded = World(world_seed), load(model)
    runs = [(ratio, split) for ratio in ratios for split in splits]
    for number, (ratio, split) in enumerate(runs, 1):
        say(f"run {number} of {len(runs)}: {ratio:.0%} forgotten, split {split}")
        fits = (ratio, split) == (NEVER_KNEW_RATIO, NEVER_KNEW_SEED)
        reference = load(never_knew) if fits and never_knew is not None else None
        folder = out / "runs" / f"world{world_seed}-ratio{ratio:g}-split{split}-seed{seed}"
        with stages_shown() as stages:
            Run(loaded, Exam(world, split, ratio), folder, reference, seed, stages=stages).ask()
    done = sorted((out / "runs").glob("world*-ratio*-split*-seed*"))
    rows = table([row for path in done for row in records_of(path)], seed)
    draw_bars([row for row in rows if row["condition"] == JUDGED[0]], len(done), out / "honest.png")
    for name in JUDGED:
        if mine := [row for row in rows if row["condition"] == name]:
            show_table(console(sheet(mine)))
    say(f"{len(done)} runs in {out}: {', '.join(path.stem for path in done)}")
    return rows


def _ablations(
    names: list[str], out: Path, model: str, world_seed: int, ratio: float, split: int, seed: int
) -> list[dict[str, Any]]:
    from unsee.evals.tables import Sheet, console, percent
    from unsee.experiments.sweeps.ablations import as_rows, begin, described, run
    from unsee.experiments.sweeps.picture import draw_variants
    from unsee.models.load import load
    from unsee.world.generate import World
    from unsee.world.splits import Exam

    columns = ("forget_refused", "forget_leaked", "retain_unseen_right", "retain_unseen_refused", "visible_right")
    found: list[dict[str, Any]] = []
    with stages_shown() as stages:
        trial = begin(load(model), Exam(World(world_seed), split, ratio), stages)
        for name in names:
            rows = as_rows(run(trial, name, out / "runs" / name, seed))
            draw_variants(rows, described(name), out / f"{name}.png")
            shown = [[row["variant"], *(percent(row[column]) for column in columns)] for row in rows]
            heads = [column.replace("retain_", "").replace("_", " ") for column in columns]
            show_table(console(Sheet(name, ["variant", *heads], shown, f"{described(name)} Percent.")))
            _save(name, out, rows)
            found += [{"sweep": name, **row} for row in rows]
    return found
