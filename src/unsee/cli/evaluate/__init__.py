"""`unsee eval`, `unsee compare` and `unsee list`: a task put to what answers, and the results side by side."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unsee.cli.console import LIMITS, finish, say, show_table, stages_shown
from unsee.cli.evaluate.comparing import compare
from unsee.cli.evaluate.listing import list_kind
from unsee.cli.evaluate.what import What
from unsee.cli.evaluate.who import Who
from unsee.cli.options import Json, Model, Out, Parts, Seed, parsed, takes_parts
from unsee.cli.workers import askers, takes_cluster
from unsee.errors import OptionError
from unsee.workers.cluster import Cluster

if TYPE_CHECKING:
    from unsee.evals.plan import Plan
    from unsee.evals.scoring import Judges

KEY, ENDPOINT_KEY = "UNSEE_JUDGE_KEY", "UNSEE_ENDPOINT_KEY"
"""Environment variables with the keys of endpoints: a command line is seen by every user of the machine."""

eval_app = typer.Typer()
eval_app.command()(compare)
eval_app.command("list")(list_kind)
Texts = list[str] | None


@eval_app.command()
@takes_cluster
@takes_parts
def eval(
    model: Model,
    out: Out,
    data: Annotated[
        str | None,
        typer.Option(help="The benchmark's folder or hub id, none for 'world'; else a folder, DIR:CONFIG or .jsonl."),
    ] = None,
    benchmark: Annotated[
        str | None, typer.Option(help="Name of a benchmark ('unsee list benchmarks'); 'world' needs no data.")
    ] = None,
    protocol: Annotated[
        str, typer.Option(help="honest (split by person) or official (the release's splits, prompts and parsers).")
    ] = "honest",
    ratio: Annotated[int | None, typer.Option(help="Forget ratio in percent, where the benchmark has any.")] = None,
    sets: Annotated[Texts, typer.Option("--set", help="Only this set of the benchmark; repeat.")] = None,
    role: Annotated[
        str | None, typer.Option(help="Of your own data: forget, retain, ...; default: its lines' role, or unlabelled.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Of your own data: name of the set; default: its role.")] = None,
    eraser: Annotated[list[Path] | None, typer.Option("--eraser", help="Eraser; repeat to combine.")] = None,
    method: Annotated[
        str | None, typer.Option(help="Fit this way to forget on the task's sets for fits ('unsee list methods').")
    ] = None,
    method_option: Annotated[
        Texts, typer.Option("--method-option", help="NAME=VALUE for the method, value as JSON; repeat.")
    ] = None,
    value: Annotated[float | None, typer.Option(help="Of the method's knob; default: its own.")] = None,
    profile: Annotated[Path | None, typer.Option(help="Of 'unsee profile', for methods that steer.")] = None,
    fit_forget: Annotated[str | None, typer.Option(help="What the method forgets, in place of the task's.")] = None,
    fit_retain: Annotated[str | None, typer.Option(help="What it keeps, in place of the task's.")] = None,
    attack: Annotated[
        Texts, typer.Option("--attack", help="Attack the sets to be forgotten ('unsee list attacks'); repeat.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the row in tables; default: base, erased, or the method.")
    ] = None,
    measure: Annotated[
        Texts, typer.Option("--measure", help="'unsee list metrics'; repeat. Default: the protocol's.")
    ] = None,
    judge: Annotated[
        str, typer.Option(help=f"offline, or the address of an OpenAI-compatible endpoint (key in {KEY}).")
    ] = "offline",
    judge_model: Annotated[str, typer.Option(help="What the endpoint calls the model.")] = "",
    never_knew: Annotated[
        Path | None, typer.Option(help="Results of the model that never knew: warn where this one knew no more.")
    ] = None,
    unknown: Annotated[
        str | None, typer.Option(help="Questions about unknown subjects, as --data; mia-* measures need them.")
    ] = None,
    tries: Annotated[int, typer.Option(help="Guesses that an attacker has.")] = 4,
    style: Annotated[
        str | None, typer.Option(help="Wording of prompts: plain (default), official (MLLMU-Bench's) or a benchmark's.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="At most so many questions a set, evenly spaced.")] = None,
    batch_size: Annotated[int, typer.Option(help="Prompts per forward pass.")] = 64,
    max_new_tokens: Annotated[int | None, typer.Option(help="Longest answer, in tokens; default 48.")] = None,
    engine: Annotated[
        str, typer.Option(help="What answers: transformers, vllm, or workers of Ray that hold them: ray, ray-vllm.")
    ] = "transformers",
    engine_option: Annotated[
        Texts, typer.Option("--engine-option", help="NAME=VALUE for vllm.LLM, value as JSON; repeat.")
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(help=f"Ask MODEL behind this OpenAI-compatible address (key in {ENDPOINT_KEY}).")
    ] = None,
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
