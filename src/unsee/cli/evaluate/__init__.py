"""`unsee eval`, `unsee compare` and `unsee list`: a task put to what answers, and the results side by side."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from unsee.cli.console import LIMITS, finish, say, show_table, stages_shown
from unsee.cli.evaluate import options as given
from unsee.cli.evaluate.comparing import compare
from unsee.cli.evaluate.listing import list_kind
from unsee.cli.evaluate.options import ENDPOINT_KEY, KEY
from unsee.cli.evaluate.what import What
from unsee.cli.evaluate.who import Who
from unsee.cli.options import BatchSize, Dtype, Json, Limit, Model, Out, Parts, Seed, parsed, takes_parts
from unsee.cli.workers import askers, takes_cluster
from unsee.errors import OptionError
from unsee.workers.cluster import Cluster

if TYPE_CHECKING:
    from unsee.evals.plan import Plan
    from unsee.evals.scoring import Judges

eval_app = typer.Typer()
eval_app.command()(compare)
eval_app.command("list")(list_kind)


@eval_app.command()
@takes_cluster
@takes_parts
def eval(
    model: Model,
    out: Out,
    data: given.Data = None,
    benchmark: given.Benchmark = None,
    protocol: given.Protocol = "honest",
    ratio: given.Ratio = None,
    sets: given.Sets = None,
    role: given.Role = None,
    split: given.Split = None,
    eraser: given.Eraser = None,
    method: given.Method = None,
    method_option: given.MethodOption = None,
    value: given.Value = None,
    profile: given.Profile = None,
    fit_forget: given.FitForget = None,
    fit_retain: given.FitRetain = None,
    attack: given.Attack = None,
    name: given.Name = None,
    measure: given.Measure = None,
    judge: given.Judge = "offline",
    judge_model: given.JudgeModel = "",
    never_knew: given.NeverKnew = None,
    unknown: given.Unknown = None,
    tries: given.Tries = 4,
    style: given.Style = None,
    limit: Limit = None,
    batch_size: BatchSize = 64,
    max_new_tokens: given.MaxNewTokens = None,
    engine: given.Engine = "transformers",
    engine_option: given.EngineOption = None,
    endpoint: given.Endpoint = None,
    dtype: Dtype = "auto",
    seed: Seed = 0,
    as_json: Json = False,
    *,
    parts: Parts,
    cluster: Cluster,
) -> None:
    """Ask every question, write one row each and the figures they make; go on where a killed run stopped.

    Example: unsee eval world:llava --benchmark world --limit 20 --attack response-prefill --out results/base
    """
    options = {
        "style": style, "max_new_tokens": max_new_tokens, "measures": measure or (), "attacks": attack or (),
        "limit": limit, "batch_size": batch_size, "seed": seed, "tries": tries,
    }  # fmt: skip
    who = Who(
        model, parts, out, eraser or [], method, parsed("--method-option", method_option or []), value, profile,
        (fit_forget, fit_retain), engine, engine_option or [], endpoint, os.environ.get(ENDPOINT_KEY, ""), name, seed,
        dtype,
    )  # fmt: skip
    who.check()
    if never_knew is not None and (eraser or method):
        raise OptionError(
            "--never-knew asks what the model knew before anything was erased, but there is an --eraser or a --method. "
            "Pass it when the base model is evaluated; 'unsee compare' checks again."
        )
    plan = What(data, benchmark, protocol, ratio, sets or [], role, split, unknown, options).plan()
    there = cluster if engine.startswith("ray") else None
    _run(who, plan, _judges(judge, judge_model), never_knew, as_json, there)


def _run(
    who: Who, plan: "Plan", judges: "Judges", never_knew: Path | None, as_json: bool, cluster: Cluster | None
) -> None:
    from unsee.evals.compare import compare as compared
    from unsee.evals.compare_tables import sheet
    from unsee.evals.evaluate import evaluate
    from unsee.evals.memorised import warning
    from unsee.evals.processes import launched
    from unsee.evals.results import knew, read_folder, require_comparable
    from unsee.evals.tables import console
    from unsee.progress import silent

    reference = None if never_knew is None else read_folder(str(never_knew))[0]
    processes = launched()
    with stages_shown() as stages, askers([who], plan, judges, cluster, stages) as (conditions, workers):
        metrics = evaluate(
            conditions,
            plan,
            who.out,
            judges=judges,
            processes=processes,
            workers=workers,
            stages=stages if processes.main else silent,
            note=lambda text: print(f"WARNING: {text}", file=sys.stderr),
        )
    if metrics is not None:
        (mine,), warned = read_folder(str(who.out)), None
        if reference is not None:
            require_comparable(mine, reference)
            warned = warning(knew(mine, reference))
        if warned:
            say(warned)
        show_table(console(sheet(compared([mine], seed=plan.seed))))
        say(f"Saved {who.out}")
        if mine.erases:
            say(LIMITS)
        finish(
            as_json,
            {"out": str(who.out), "protocol": plan.task.protocol, "rows": metrics["rows"], "warning": warned},
        )
    processes.close()


def _judges(address: str, model: str) -> "Judges":
    """The judge, what results call it (never with its key), and the one of safety, which no rule stands in for."""
    from unsee.evals.chat import Chat
    from unsee.evals.judge_endpoint import EndpointJudge, EndpointSafety
    from unsee.evals.scoring import Judges

    if address == "offline":
        return Judges()
    if not model:
        raise OptionError(f"the judge at {address!r} needs the name of its model. Pass it with --judge-model.")
    chat = Chat(address, model, os.environ.get(KEY, ""))
    return Judges(EndpointJudge(chat), f"{model} at {address}", EndpointSafety(chat))
