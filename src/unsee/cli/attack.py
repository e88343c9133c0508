"""`unsee attack`: try to get back what was erased, by every means that there is access for."""

import os
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from unsee.cli.console import LIMITS, finish, say, show_table, stages_shown
from unsee.cli.evaluate.what import What
from unsee.cli.evaluate.who import Who
from unsee.cli.options import BatchSize, Dtype, Json, Limit, Out, Parts, Seed, require_writable, takes_parts
from unsee.cli.workers import askers, takes_cluster
from unsee.errors import OptionError
from unsee.workers.cluster import Cluster

if TYPE_CHECKING:
    from unsee.evals.plan import Plan


KEY = "UNSEE_ENDPOINT_KEY"
Texts = list[str] | None


@takes_cluster
@takes_parts
def attack(
    model: Annotated[str, typer.Argument(help="Checkpoint folder, hub id, 'world:llava', or http://HOST/v1.")],
    *,
    parts: Parts,
    cluster: Cluster,
    forget: Annotated[str, typer.Option(help="What to get back: 'world', another benchmark, a folder or .jsonl.")],
    out: Out,
    eraser: Annotated[list[Path] | None, typer.Option("--eraser", help="Eraser; repeat to combine.")] = None,
    name: Annotated[str, typer.Option(help="What tables call the erased model.")] = "erased",
    method: Annotated[Texts, typer.Option("--method", help="Another way to forget, fitted on the set; repeat.")] = None,
    beside: Annotated[
        Texts, typer.Option("--beside", help="NAME=MODEL or NAME=http://HOST/v1: attacked as well, as it is; repeat.")
    ] = None,
    attacks: Annotated[
        Texts, typer.Option("--attacks", help="all, a class ('unsee list attacks'), or names with commas; repeat.")
    ] = None,
    budget: Annotated[int, typer.Option(help="Queries that an attacker has for a question.")] = 4,
    sets: Annotated[Texts, typer.Option("--set", help="Only this set of the benchmark; repeat.")] = None,
    data: Annotated[str | None, typer.Option(help="Where the benchmark lies, where it needs data.")] = None,
    retain: Annotated[str | None, typer.Option(help="Questions about others, which an attacker may use.")] = None,
    profile: Annotated[Path | None, typer.Option(help="Of 'unsee profile', for methods that steer.")] = None,
    served: Annotated[str, typer.Option(help="What the server calls the model; default: its first.")] = "",
    limit: Limit = None,
    batch_size: BatchSize = 64,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 24,
    engine: Annotated[
        Literal["transformers", "ray"], typer.Option(help="Where it runs: this process, or workers of Ray.")
    ] = "transformers",
    dtype: Dtype = "auto",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Attack a model as it is, erased, and one that never knew, side by side; goes on where a killed run stopped.

    Example: unsee attack world:llava --eraser r-0001 --forget world --attacks all --limit 20 --out results/attacked
    """
    from unsee.registry import METHODS

    require_writable(out)
    if budget < 1 or (limit is not None and limit < 1):
        raise OptionError(f"--budget is {budget} and --limit {limit}, expected at least 1 each.")
    if _served(model) and (eraser or method):
        raise OptionError("a server is attacked as it runs, so it takes no --eraser and no --method. Leave them out.")
    for one in method or ():
        METHODS.named(one)
    others = dict(_pair(text) for text in beside or ())
    options = {"batch_size": batch_size, "max_new_tokens": max_new_tokens, "seed": seed, "tries": budget}
    asked = [one.strip() for text in attacks or ["all"] for one in text.split(",")]
    plan = _plan(model, parts, (forget, data, retain), sets or [], limit, asked, options)
    whos = _whos(
        Who(model, parts, out, seed=seed, profile=profile, name=name, engine=engine, dtype=dtype),
        eraser or [],
        method or [],
        others,
        served,
    )
    for who in whos:
        who.check()
    _run(whos, plan, out, as_json, cluster if engine == "ray" else None)


def _plan(
    model: str,
    parts: Parts,
    given: tuple[str, str | None, str | None],
    sets: list[str],
    limit: int | None,
    asked: list[str],
    options: dict[str, Any],
) -> "Plan":
    """What is asked, and which attacks are carried out, before a model is loaded."""
    from unsee.data import read
    from unsee.experiments.attack.chosen import ALL, SERVED, chosen
    from unsee.experiments.attack.target import attacked_task, knowing, takes_images
    from unsee.registry import BENCHMARKS

    forget, data, retain = given
    named, address = forget in BENCHMARKS, _served(model)
    role = None if named else "forget"
    whole = What(data if named else forget, forget if named else None, role=role, options=options).plan()
    images = address or takes_images(model, parts.vision)
    offered = [access for access in ALL if (access in SERVED or not address) and (images or access != "image")]
    task = attacked_task(whole.task, sets, limit, images=images)
    samples = [sample for one in task.sets.values() for sample in one.samples]
    context = knowing(whole.task, read(retain) if retain else [])
    return replace(whole, task=task, context=context, attacks=chosen(asked, offered, samples), measures=(), limit=limit)


def _whos(first: Who, erasers: list[Path], methods: list[str], others: dict[str, str], served: str) -> list[Who]:
    """The model as it is, with erasers, with other methods, and what stands beside it."""
    from unsee.experiments.attack.target import NEVER_KNEW
    from unsee.models.names import never_knew_of

    if _served(first.model):
        found = [_server(first, first.model, served, "server")]
    else:
        found = [replace(first, name="base")]
        found += [replace(first, erasers=erasers)] if erasers else []
        found += [replace(first, method=name, name=name, out=first.out / "fits" / name) for name in methods]
        if (twin := never_knew_of(first.model)) is not None:
            others = {NEVER_KNEW: twin, **others}
    for name, where in others.items():
        found.append(_server(first, where, served, name) if _served(where) else replace(first, model=where, name=name))
    return found


def _server(first: Who, address: str, served: str, name: str) -> Who:
    from unsee.evals.chat import first_model

    key = os.environ.get(KEY, "")
    return replace(first, model=served or first_model(address, key), endpoint=address, key=key, name=name)


def _run(whos: list[Who], plan: "Plan", out: Path, as_json: bool, cluster: Cluster | None) -> None:
    from unsee.evals.evaluate import evaluate
    from unsee.evals.results import about
    from unsee.evals.scoring import Judges
    from unsee.evals.store import rows_of
    from unsee.evals.tables import console, save, write
    from unsee.experiments.attack.picture import draw
    from unsee.experiments.attack.report import lines, sheet
    from unsee.experiments.attack.worst import page, worst

    with stages_shown() as stages, askers(whos, plan, Judges(), cluster, stages) as (conditions, workers):
        told = partial(print, "WARNING:", file=sys.stderr)
        metrics = evaluate(conditions, plan, out, workers=workers, stages=stages, note=told)
    assert metrics is not None, "one process"
    rows = rows_of(out)
    found, what = lines(rows, seed=plan.seed), f"{about(metrics['settings'])}; budget {plan.tries}, seed {plan.seed}"
    table = sheet(found, what)
    show_table(console(table))
    files = [*write(table, out), draw(found, out / "attacks.png", what)]
    names = list(dict.fromkeys(row["condition"] for row in rows))
    victim = next((who.name for who in whos if who.erasers or who.endpoint), names[0])
    files.append(save(out / "worst.md", page(worst(rows, str(victim)), f"Of {victim}. {what}")))
    say(f"Wrote {', '.join(str(path) for path in files)}")
    say(LIMITS)
    finish(as_json, {"out": str(out), "attacks": list(plan.attacks), "conditions": names, "lines": table.numbers})


def _served(model: str) -> bool:
    return model.startswith(("http://", "https://"))


def _pair(text: str) -> tuple[str, str]:
    name, named, where = text.partition("=")
    if not named or not name or not where:
        raise OptionError(f"--beside is {text!r}, expected NAME=MODEL or NAME=http://HOST/v1.")
    return name, where
