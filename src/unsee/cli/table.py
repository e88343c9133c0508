"""`unsee table`: every way to unlearn on the built-in world, in one table."""

from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from unsee.cli.console import LIMITS, finish, say, show_table, stages_shown
from unsee.cli.options import Json, Limit, Out, Seed, parsed
from unsee.cli.workers import model_facts, takes_cluster
from unsee.errors import OptionError
from unsee.workers.cluster import Cluster
from unsee.workers.ray import on_ray

if TYPE_CHECKING:
    from unsee.experiments.table.run import Table


BudgetNumbers = Annotated[
    list[str] | None, typer.Option(help="One number of the budget, NAME=NUMBER, as in grpo_steps=300; repeat.")
]
NeverKnew = Annotated[str | None, typer.Option(help="Checkpoint that was never taught split 0 at 10 %.")]
Benchmark = Annotated[
    str | None, typer.Option(help="A published benchmark in place of the built-in world; --methods are rows.")
]
OnlyPlan = Annotated[
    bool, typer.Option("--plan", help="Print memory, hours and commands on --benchmark; load nothing.")
]
Engine = Annotated[
    Literal["local", "ray"], typer.Option(help="Where rows are fitted and asked: here, or in workers of Ray.")
]


@takes_cluster
def table(
    out: Out = Path("table-out"),
    methods: Annotated[str, typer.Option(help="Rows, with commas between; an unknown one lists them all.")] = "",
    forget: Annotated[str, typer.Option(help="Shares to forget in percent, of 5,10,15, with commas.")] = "10",
    seeds: Annotated[str, typer.Option(help="Who is forgotten: seeds of splits, with commas.")] = "0",
    show: Annotated[bool, typer.Option("--show", help="Fit nothing: the table of what is finished.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Few questions and steps: to see that it runs.")] = False,
    budget: BudgetNumbers = None,
    model: Annotated[str, typer.Option(help="Checkpoint that knows the world.")] = "world:llava",
    never_knew: NeverKnew = "world:llava-never-knew",
    world_seed: Annotated[int, typer.Option(help="Of the world that the checkpoints know.")] = 0,
    benchmark: Benchmark = None,
    data: Annotated[str | None, typer.Option(help="Where it lies; default: its hub id.")] = None,
    ratio: Annotated[int | None, typer.Option(help="Its forget ratio in percent.")] = None,
    limit: Limit = None,
    plan: OnlyPlan = False,
    teraflops: Annotated[float, typer.Option(min=0.001, help="That the machine sustains, for --plan.")] = 100.0,
    engine: Engine = "local",
    seed: Seed = 0,
    as_json: Json = False,
    *,
    cluster: Cluster,
) -> None:
    """Fit, tune and ask every method alike; finished cells are kept, so that an interrupted table goes on.

    Example: unsee table --quick --methods erased,npo --out table-out (a full one takes hours)
    """
    from unsee.evals.tables import console, require_forms, write
    from unsee.experiments.table.budget import QUICK, Budget
    from unsee.experiments.table.entries import chosen
    from unsee.experiments.table.picture import draw
    from unsee.experiments.table.run import run
    from unsee.experiments.table.sheet import sheet
    from unsee.experiments.table.summary import caption, lines

    named = tuple(filter(None, methods.split(",")))
    if benchmark is not None:
        from unsee.cli.table_benchmark import Wanted, plan_on_benchmark, run_on_benchmark

        wanted = Wanted(out, model, benchmark, data, ratio, named, limit, teraflops, seed, as_json)
        return plan_on_benchmark(wanted) if plan else run_on_benchmark(wanted)
    if plan or data or ratio or limit:
        raise OptionError("--plan, --data, --ratio and --limit are of a benchmark. Name one with --benchmark.")
    require_forms()
    entries = chosen(named)
    percents, splits = _numbers("forget", forget), _numbers("seeds", seeds)
    numbers = (QUICK if quick else Budget()).changed(parsed("--budget", budget or ()))
    make = partial(_table, out, model, never_knew, world_seed, entries, percents, splits, numbers, seed)
    crew = on_ray(make, _facts, cluster) if engine == "ray" and not show else nullcontext()
    with stages_shown() as stages, crew as workers:
        wanted = make()
        if workers is not None:
            workers.require(_facts(wanted))
        if not show:
            run(wanted, say, stages, workers)
    shown = sheet(found := lines(wanted), caption(wanted))
    show_table(console(shown))
    written = write(shown, out)
    for percent in percents if found else ():
        written.append(draw(found, percent, out / ("table.png" if percent == percents[0] else f"table-{percent}.png")))
    say(f"Wrote {', '.join(str(path) for path in written)}")
    say(LIMITS)
    finish(as_json, {"out": str(out), "rows": len(found), "files": [str(path) for path in written]})


def _table(out: Path, model: str, never_knew: str | None, world: int, *others: Any) -> "Table":
    from unsee.experiments.table.run import Table
    from unsee.models.load import load
    from unsee.world.generate import World

    return Table(out.absolute(), load(model), None if never_knew is None else load(never_knew), World(world), *others)


def _facts(table: "Table") -> dict[str, Any]:
    twin = table.never_knew
    return dict(model_facts(table.loaded)) | {"never knew": None if twin is None else twin.digest}


def _numbers(name: str, text: str) -> list[int]:
    try:
        return list(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        raise OptionError(f"--{name} is {text!r}, expected whole numbers with commas between, such as 5,10.") from None
