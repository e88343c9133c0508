"""`unsee table --benchmark NAME`: methods side by side on a published benchmark, or what that would take."""

import re
import shlex
import sys
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from rich.table import Table

from unsee.cli.console import LIMITS, finish, say, show_table, stages_shown
from unsee.cli.evaluate.what import What
from unsee.cli.options import Parts, open_model
from unsee.errors import ModelError, OptionError

if TYPE_CHECKING:
    from unsee.evals.plan import Plan
    from unsee.experiments.table.sizing import Job

QUESTIONS_A_ROW = 15
"""About as many questions has a row of MLLMU-Bench; where there is no --data, they are counted so."""


@final
@dataclass(frozen=True)
class Wanted:
    """What the command line asks.

    Attributes:
        out: results folder.
        model: hub id, folder or name.
        benchmark: registered name.
        data: where it lies; None for its hub id.
        ratio: forget ratio in percent.
        methods: names; each is a row beside the base model.
        limit: at most so many questions a set.
        teraflops: that the machine sustains, for an estimate.
        seed: of every draw.
        as_json: end standard output with one JSON object.
    """

    out: Path
    model: str
    benchmark: str
    data: str | None
    ratio: int | None
    methods: tuple[str, ...]
    limit: int | None
    teraflops: float
    seed: int
    as_json: bool

    @property
    def source(self) -> str | None:
        """The data, or the benchmark's own hub id."""
        from unsee.registry import BENCHMARKS

        card: Any = BENCHMARKS.named(self.benchmark).facts["card"]
        return self.data or (None if card is None else card.hub)

    def plan(self) -> "Plan":
        """What is asked."""
        options = {"limit": self.limit, "seed": self.seed}
        return What(self.source, self.benchmark, ratio=self.ratio, options=options).plan()

    def command(self, methods: tuple[str, ...]) -> str:
        """Typed again, for some of the methods."""
        given: dict[str, object] = {
            "--benchmark": self.benchmark, "--data": self.source, "--model": self.model, "--ratio": self.ratio,
            "--methods": ",".join(methods) or None, "--limit": self.limit, "--out": self.out,
        }  # fmt: skip
        parts = [text for name, value in given.items() if value is not None for text in (name, str(value))]
        return shlex.join(["unsee", "table", *parts])


def run_on_benchmark(wanted: Wanted) -> None:
    """Fit and ask every method; rows that are finished stay."""
    from unsee.data.benchmarks import benchmark_task
    from unsee.evals.answerers import Local
    from unsee.evals.compare import compare
    from unsee.evals.compare_tables import sheet
    from unsee.evals.evaluate import Condition, evaluate
    from unsee.evals.results import read_results
    from unsee.evals.tables import console, require_forms, write
    from unsee.methods.task import FitData, Request, condition
    from unsee.registry import METHODS

    require_forms()
    for name in wanted.methods:
        METHODS.named(name)
    plan = wanted.plan()
    task = benchmark_task(wanted.benchmark, plan.source, plan.task.protocol, plan.ratio, wanted.seed)
    data, loaded = FitData.of(task), open_model(wanted.model, Parts())
    with stages_shown() as stages:
        conditions = [Condition.of("base", Local(loaded))]
        fits = [Request(loaded, data, wanted.out / "fits" / m, seed=wanted.seed, stages=stages) for m in wanted.methods]
        shared = cache(Request(loaded, data, wanted.out, seed=wanted.seed, stages=stages).profile)
        conditions += [condition(m, one, profile=shared) for m, one in zip(wanted.methods, fits, strict=True)]
        evaluate(conditions, plan, wanted.out, stages=stages, note=partial(print, "WARNING:", file=sys.stderr))
    shown = sheet(compare(read_results([str(wanted.out)]), seed=wanted.seed))
    show_table(console(shown))
    written = write(shown, wanted.out)
    say(f"Wrote {', '.join(map(str, written))}")
    say(LIMITS)
    finish(wanted.as_json, {"out": str(wanted.out), "rows": len(conditions), "files": [str(path) for path in written]})


def plan_on_benchmark(wanted: Wanted) -> None:
    """Print memory, hours and the command of every row; nothing is loaded."""
    from unsee.experiments.table.sizing import size
    from unsee.registry import METHODS

    job, counted = _job(wanted)
    table = Table("row", "memory, GiB", "hours", "command", title=counted, caption="Counted, not measured.")
    rows: list[dict[str, Any]] = []
    for name in ("", *wanted.methods):
        kind = METHODS.named(name).facts["kind"] if name else "prompted"
        found, command = size(name, kind, job), wanted.command((name,) if name else ())
        table.add_row(name or "base", f"{found.memory_gib:.0f}", f"{found.hours:.1f}", command)
        rows.append({"row": name or "base", "memory_gib": found.memory_gib, "hours": found.hours, "command": command})
    show_table(table)
    total = sum(row["hours"] for row in rows)
    say(f"All of it, one after another: about {total:.1f} hours.\n{wanted.command(wanted.methods)}")
    finish(
        wanted.as_json, {"rows": rows, "hours": total, "counted": counted, "command": wanted.command(wanted.methods)}
    )


def _job(wanted: Wanted) -> "tuple[Job, str]":
    from unsee.experiments.table.sizing import Job
    from unsee.registry import BENCHMARKS

    card: Any = BENCHMARKS.named(wanted.benchmark).facts["card"]
    if wanted.data is None and card is not None:
        asked = fitted = QUESTIONS_A_ROW * max(card.splits.values())
        what = f"about {asked} questions, from published counts (give --data to count them)"
    else:
        sets = wanted.plan().task.sets.values()
        asked = sum(len(one) for one in sets)
        fitted = sum(len(one) for one in sets if one.use == "fit")
        what = f"{asked} questions, {fitted} for fits"
    parameters, each, read = _shape(wanted.model)
    speed = f"{wanted.teraflops:g} teraflops sustained"
    job = Job(parameters, each, asked, fitted, wanted.teraflops * 1e12)
    return job, f"{wanted.model} ({parameters / 1e9:.2f} billion weights, {read}), {wanted.benchmark}: {what}; {speed}"


def _shape(model: str) -> tuple[int, int, str]:
    """Weights, bytes of one, and where that was read: the configuration, or where none can be read, the name."""
    from unsee.models.plan import plan

    try:
        found = plan(model, 1)
    except ModelError as error:
        named = re.search(r"(\d+(?:\.\d+)?)b\b", model, re.IGNORECASE)
        if named is None:
            raise OptionError(f"{error} Nor does its name say how many weights it has, as in llava-1.5-7b.") from error
        return round(float(named[1]) * 1e9), 2, "read off its name"
    return found.parameters, max(1, round(found.weights_mib * 2**20 / found.parameters)), "by its configuration"
