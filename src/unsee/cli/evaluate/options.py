"""Options of `unsee eval`: what is asked, of whom, and how it is scored."""

from pathlib import Path
from typing import Annotated

import typer

KEY, ENDPOINT_KEY = "UNSEE_JUDGE_KEY", "UNSEE_ENDPOINT_KEY"
"""Environment variables with the keys of endpoints: a command line is seen by every user of the machine."""

Texts = list[str] | None
Data = Annotated[
    str | None,
    typer.Option(help="The benchmark's folder or hub id, none for 'world'; else a folder, DIR:CONFIG or .jsonl."),
]
Benchmark = Annotated[
    str | None, typer.Option(help="Name of a benchmark ('unsee list benchmarks'); 'world' needs no data.")
]
Protocol = Annotated[
    str, typer.Option(help="honest (split by person) or official (the release's splits, prompts and parsers).")
]
Ratio = Annotated[int | None, typer.Option(help="Forget ratio in percent, where the benchmark has any.")]
Sets = Annotated[Texts, typer.Option("--set", help="Only this set of the benchmark; repeat.")]
Role = Annotated[
    str | None, typer.Option(help="Of your own data: forget, retain, ...; default: its lines' role, or unlabelled.")
]
Split = Annotated[str | None, typer.Option(help="Of your own data: name of the set; default: its role.")]
Eraser = Annotated[list[Path] | None, typer.Option("--eraser", help="Eraser; repeat to combine.")]
Method = Annotated[
    str | None, typer.Option(help="Fit this way to forget on the task's sets for fits ('unsee list methods').")
]
MethodOption = Annotated[
    Texts, typer.Option("--method-option", help="NAME=VALUE for the method, value as JSON; repeat.")
]
Value = Annotated[float | None, typer.Option(help="Of the method's knob; default: its own.")]
Profile = Annotated[Path | None, typer.Option(help="Of 'unsee profile', for methods that steer.")]
FitForget = Annotated[str | None, typer.Option(help="What the method forgets, in place of the task's.")]
FitRetain = Annotated[str | None, typer.Option(help="Its retain set, in place of the task's.")]
Attack = Annotated[
    Texts, typer.Option("--attack", help="Attack the sets to be forgotten ('unsee list attacks'); repeat.")
]
Name = Annotated[str | None, typer.Option(help="Name of the row in tables; default: base, erased, or the method.")]
Measure = Annotated[Texts, typer.Option("--measure", help="'unsee list metrics'; repeat. Default: the protocol's.")]
Judge = Annotated[str, typer.Option(help=f"offline, or the address of an OpenAI-compatible endpoint (key in {KEY}).")]
JudgeModel = Annotated[str, typer.Option(help="What the endpoint calls the model.")]
NeverKnew = Annotated[
    Path | None, typer.Option(help="Results of the model that never knew: warn where this one knew no more.")
]
Unknown = Annotated[
    str | None, typer.Option(help="Questions about unknown subjects, as --data; mia-* measures need them.")
]
Tries = Annotated[int, typer.Option(min=1, metavar="<int>", help="Guesses that an attacker has.")]
Style = Annotated[
    str | None, typer.Option(help="Wording of prompts: plain (default), official (MLLMU-Bench's) or a benchmark's.")
]
MaxNewTokens = Annotated[
    int | None, typer.Option(min=1, metavar="<int>", help="Longest answer, in tokens; default 48.")
]
Engine = Annotated[
    str, typer.Option(help="What answers: transformers, vllm, or workers of Ray that hold them: ray, ray-vllm.")
]
EngineOption = Annotated[Texts, typer.Option("--engine-option", help="NAME=VALUE for vllm.LLM, value as JSON; repeat.")]
Endpoint = Annotated[
    str | None, typer.Option(help=f"Ask MODEL behind this OpenAI-compatible address (key in {ENDPOINT_KEY}).")
]
