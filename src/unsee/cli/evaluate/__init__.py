"""`unsee eval` and `unsee compare`: ask a model everything that a benchmark asks, and set the results side by side."""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_args

import typer

from unsee.cli.console import LIMITS, finish, say, show_table, stages_shown
from unsee.cli.evaluate.comparing import compare
from unsee.cli.options import Json, Out, Seed
from unsee.errors import OptionError

if TYPE_CHECKING:
    from unsee.data.benchmarks.items import Protocol
    from unsee.data.prompts import Style
    from unsee.evals.answerer import Engine
    from unsee.evals.judge import Judge
    from unsee.evals.judge_safety import SafetyJudge
    from unsee.evals.plan import Plan
    from unsee.models.load import LoadedModel

KEY = "UNSEE_JUDGE_KEY"
"""Environment variable with the key for a judge's endpoint: a command line is seen by every user of the machine."""

eval_app = typer.Typer()
eval_app.command()(compare)


@eval_app.command()
def eval(
    model: Annotated[str, typer.Argument(help="Checkpoint folder, hub id, or 'world:llava' for the shipped one.")],
    out: Out,
    data: Annotated[
        str | None,
        typer.Option(help="The benchmark's folder or hub id, none for 'world'; else a folder, DIR:CONFIG or .jsonl."),
    ] = None,
    benchmark: Annotated[
        str | None,
        typer.Option(help="Name of a benchmark: its sets, prompts and measures. 'world' is the built-in one."),
    ] = None,
    protocol: Annotated[
        str, typer.Option(help="honest (split by person) or official (the release's splits, prompts and parsers).")
    ] = "honest",
    ratio: Annotated[int | None, typer.Option(help="Forget ratio in percent, where the benchmark has any.")] = None,
    sets: Annotated[list[str] | None, typer.Option("--set", help="Only this set of the benchmark; repeat.")] = None,
    split: Annotated[
        str, typer.Option(help="Without a benchmark: name of the set; 'sensitive' and 'strangers' expect refusals.")
    ] = "forget_heldout",
    eraser: Annotated[list[Path] | None, typer.Option("--eraser", help="Eraser folder; repeat to combine.")] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the row in tables; default: base, or erased with an eraser.")
    ] = None,
    measure: Annotated[
        list[str] | None, typer.Option("--measure", help="Measure of docs/metrics.md; repeat. Default: the protocol's.")
    ] = None,
    judge: Annotated[
        str, typer.Option(help=f"offline, or the address of an OpenAI-compatible endpoint (key in {KEY}).")
    ] = "offline",
    judge_model: Annotated[str, typer.Option(help="What the endpoint calls the model.")] = "",
    never_knew: Annotated[
        Path | None, typer.Option(help="Results of the model that never knew: warn where this one knew no more.")
    ] = None,
    strangers: Annotated[
        str | None,
        typer.Option(help="Questions about people whom no model was taught, as --data; mia-* measures need them."),
    ] = None,
    tries: Annotated[
        int, typer.Option(help="k of leak-at-k, answer-in-top-k and token-in-top-k: guesses that an attacker has.")
    ] = 4,
    style: Annotated[
        str | None, typer.Option(help="Wording of prompts: plain (default), official (MLLMU-Bench's) or a benchmark's.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="At most so many questions a set, evenly spaced.")] = None,
    batch_size: Annotated[int, typer.Option(help="Prompts per forward pass.")] = 64,
    max_new_tokens: Annotated[int | None, typer.Option(help="Longest answer, in tokens; default 48.")] = None,
    engine: Annotated[str, typer.Option(help="What answers: transformers or vllm.")] = "transformers",
    engine_option: Annotated[
        list[str] | None, typer.Option("--engine-option", help="NAME=VALUE for vllm.LLM, value as JSON; repeat.")
    ] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Ask a model every question, write one row each and the figures they make; go on where a killed run stopped."""
    from unsee.data import read
    from unsee.data.benchmarks.items import Protocol
    from unsee.data.prompts import Style
    from unsee.evals.plan import planned_benchmark, planned_samples
    from unsee.registry import BENCHMARKS

    _legal("protocol", protocol, get_args(Protocol))
    settings = _engine_options(engine, engine_option or [])
    if style is not None:
        _legal("style", style, get_args(Style))
    options: dict[str, Any] = {
        "style": cast("Style | None", style),
        "max_new_tokens": max_new_tokens,
        "measures": measure or (),
        "limit": limit,
        "batch_size": batch_size,
        "seed": seed,
        "tries": tries,
        "strangers": () if strangers is None else read(strangers),
    }
    if benchmark is not None and not BENCHMARKS.named(benchmark).facts["needs_data"]:
        data = data or ""
    if data is None:
        raise OptionError("there is no --data, so there is nothing to ask. Name a folder, or take --benchmark world.")
    elif benchmark is None:
        if protocol != "honest" or ratio is not None or sets:
            raise OptionError("--protocol, --ratio and --set need --benchmark. Name it, or leave them out.")
        plan = planned_samples(data, split, read(data), **options)
    else:
        plan = planned_benchmark(benchmark, data, cast("Protocol", protocol), ratio, chosen=sets or (), **options)
    if never_knew is not None and eraser:
        raise OptionError(
            "--never-knew asks what the model knew before anything was erased, but there is an --eraser. Pass it when "
            "the base model is evaluated; 'unsee compare' checks again."
        )
    _run(model, plan, out, eraser or [], name, judge, judge_model, never_knew, settings, as_json)


def _run(
    model: str,
    plan: "Plan",
    out: Path,
    eraser: list[Path],
    name: str | None,
    judge: str,
    judge_model: str,
    never_knew: Path | None,
    engine: dict[str, Any] | None,
    as_json: bool,
) -> None:
    from unsee.erase.artifact import read_config
    from unsee.erase.eraser import Eraser
    from unsee.erase.eraser_set import together
    from unsee.erase.profile import require_same_model
    from unsee.evals.compare import compare as compared
    from unsee.evals.compare_tables import console_table
    from unsee.evals.evaluate import evaluate
    from unsee.evals.memorised import warning
    from unsee.evals.processes import launched
    from unsee.evals.results import knew, read_result, require_comparable
    from unsee.models.load import load

    reference = None if never_knew is None else read_result(str(never_knew))
    judging, judge_name, safety = _judge(judge, judge_model)
    processes = launched()
    loaded = load(model)
    erasers = [Eraser.from_pretrained(path) for path in eraser]
    for one in erasers:
        require_same_model(one.model, loaded, "eraser")
    ids = [read_config(path, "eraser").content_id for path in eraser]
    answering = None if engine is None else _vllm(model, loaded, dict(zip(ids, eraser, strict=True)), engine, plan)
    with stages_shown() as stages:
        metrics = evaluate(
            loaded,
            plan,
            out,
            name or ("erased" if erasers else "base"),
            erasers=together(erasers),
            eraser_ids=ids,
            judge=judging,
            judge_name=judge_name,
            safety=safety,
            engine=answering,
            processes=processes,
            **({"stages": stages} if processes.main else {}),
            note=lambda text: print(f"WARNING: {text}", file=sys.stderr),
        )
    if metrics is not None:
        mine, warned = read_result(str(out)), None
        if reference is not None:
            require_comparable(mine, reference)
            warned = warning(knew(mine, reference))
        if warned:
            say(warned)
        show_table(console_table(compared([mine], seed=plan.seed)))
        say(f"Saved {out}")
        if erasers:
            say(LIMITS)
        settings, rows = metrics["settings"], metrics["rows"]
        finish(as_json, {"out": str(out), "protocol": settings["protocol"], "rows": rows, "warning": warned})
    processes.close()


def _vllm(
    model: str, loaded: "LoadedModel", erasers: dict[str, Path], options: dict[str, Any], plan: "Plan"
) -> "Engine":
    from unsee.evals.choices import takes_probabilities
    from unsee.models.names import located
    from unsee.serve.engine.offline import Vllm

    return Vllm(loaded, located(model), erasers, options, keep_model=takes_probabilities(plan.measures))


def _engine_options(engine: str, given: list[str]) -> dict[str, Any] | None:
    """Options of vLLM, or None for transformers; refused before a model is loaded."""
    _legal("engine", engine, ("transformers", "vllm"))
    if engine == "transformers":
        if given:
            raise OptionError("--engine-option is for vLLM. Add --engine vllm, or leave it out.")
        return None
    from unsee.serve.engine.offline import require_vllm

    require_vllm()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise OptionError(
            "several processes were launched with --engine vllm, which shares work by itself. Start one process, as "
            "with --engine-option tensor_parallel_size=2."
        )
    options: dict[str, Any] = {}
    for text in given:
        name, named, value = text.partition("=")
        if not named or not name:
            raise OptionError(f"--engine-option is {text!r}, expected NAME=VALUE, as in max_model_len=2048")
        try:
            options[name] = json.loads(value)
        except ValueError:
            options[name] = value  # plain text needs no quotes
    return options


def _judge(address: str, model: str) -> "tuple[Judge, str, SafetyJudge | None]":
    """The judge, what results call it (never with its key), and the one of safety, which no rule stands in for."""
    from unsee.evals.judge import judge_offline
    from unsee.evals.judge_endpoint import EndpointJudge
    from unsee.evals.judge_safety import EndpointSafety

    if address == "offline":
        return judge_offline, "offline", None
    if not model:
        raise OptionError(f"the judge at {address!r} needs the name of its model. Pass it with --judge-model.")
    judge = EndpointJudge(address, model, os.environ.get(KEY, ""))
    return judge, f"{model} at {address}", EndpointSafety(judge)


def _legal(name: str, got: str, legal: tuple[str, ...]) -> None:
    if got not in legal:
        raise OptionError(f"{name} is {got!r}, expected one of {list(legal)}. Pass one of these.")
