"""The command line: thin verbs over the library. Heavy imports happen inside commands, so that `--help` is instant."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from unsee import __version__
from unsee.cli.console import LIMITS, complain, diagnosis_table, finish, say, show_table, stages_shown
from unsee.cli.evaluate import eval_app
from unsee.cli.ledger import ledger_app
from unsee.cli.models import models_app
from unsee.cli.options import Model, Parts, open_model, takes_parts
from unsee.cli.serve import PASS_ON, serve
from unsee.cli.sweep import sweep
from unsee.cli.table import table
from unsee.cli.train import train
from unsee.cli.world import Json, Out, Seed, world_app
from unsee.errors import DataError, OptionError, UnseeError

if TYPE_CHECKING:
    from unsee.data.sample import Sample
    from unsee.erase.eraser import Eraser
    from unsee.models.load import LoadedModel

app = typer.Typer(
    name="unsee",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    help="Make a vision-language model unsee: erase people, facts and content at test time, one request at a time.",
)
app.add_typer(eval_app)
app.add_typer(world_app, name="world")
app.add_typer(models_app, name="models")
app.add_typer(ledger_app, name="ledger")

Others = Annotated[
    list[str] | None,
    typer.Option(
        help="Prompts on which no gate may open, repeat; prompts are also fitted behind those that are small talk."
    ),
]
Erasers = Annotated[list[Path] | None, typer.Option("--eraser", help="Eraser folder; repeat to combine.")]


def main() -> None:
    """Run a command; an error that the user can mend is printed without traceback and exits with 2."""
    try:
        app()
    except UnseeError as error:
        complain(error)
        sys.exit(2)


@app.callback(invoke_without_command=True)
def version(show: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Print the version, or go on to the command."""
    if show:
        typer.echo(__version__)
        raise typer.Exit


@app.command()
def demo(
    out: Out = Path("demo-out"),
    seed: Seed = 0,
    family: Annotated[
        str, typer.Option(help="llava, qwen2_5_vl or qwen3_vl, where its checkpoints are shipped.")
    ] = "llava",
    as_json: Json = False,
) -> None:
    """Forget people, a dangerous topic and outdated facts of the built-in world; table and report in a few minutes."""
    from unsee.evals.report import console_table
    from unsee.experiments.demo import held_rows, run_demo

    with stages_shown() as stages:
        metrics = run_demo(out, seed, stages, family)
    show_table(console_table(metrics["rows"]))
    promised = {name: None if v is None else round(v, 4) for name, v in held_rows(metrics["rows"]).items()}
    say(f"Report: {out / 'report.html'}   ({metrics['cost']['total_seconds']:.0f} s)")
    say(LIMITS)
    finish(as_json, {"out": str(out), **promised, "seconds": metrics["cost"]["total_seconds"]})


@app.command()
@takes_parts
def profile(
    model: Model,
    *,
    parts: Parts,
    retain: Annotated[str, typer.Option(help="Questions about what is kept: folder, DIR:CONFIG or .jsonl.")],
    out: Out,
    calibration: Annotated[
        str | None, typer.Option(help="The same about other people; default: a third of the kept people.")
    ] = None,
    recall: Annotated[
        str | None, typer.Option(help="D-: prompts the model answers; default: the kept questions.")
    ] = None,
    refusal: Annotated[str | None, typer.Option(help="D+: prompts the model refuses; default: a shipped list.")] = None,
    others: Others = None,
    direction: Annotated[str, typer.Option(help="multimodal, text or image.")] = "multimodal",
    adversarial: Annotated[bool, typer.Option(help="Move recall pictures by PGD.")] = True,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Learn, once per model, what refusing is and what kept prompts look like."""
    from unsee.data import read
    from unsee.data.conversation import in_contexts
    from unsee.data.sample import spread
    from unsee.erase.config import Settings
    from unsee.erase.fit_profile import fit_profile
    from unsee.erase.request.defaults import default_refusal, split_people

    settings = Settings.from_json({"direction": direction, "adversarial": adversarial})
    kept = read(retain)
    fit, held = (kept, read(calibration)) if calibration else split_people(kept, seed)
    told = _all_of(others)
    loaded = open_model(model, parts)
    with stages_shown() as stages:
        made = fit_profile(
            loaded,
            retain=in_contexts(fit, told, seed=seed),
            calibration=in_contexts(held, told, seed=seed),
            recall=read(recall) if recall else spread(fit, 64),
            refusal=read(refusal) if refusal else default_refusal(fit),
            others=told,
            settings=settings,
            seed=seed,
            stages=stages,
        )
    content = made.save_pretrained(out)
    show_table(diagnosis_table(made.report))
    say(f"Saved {out}  {content}")
    finish(as_json, {"out": str(out), "content_id": content, "strength": made.strength, "report": made.report})


@app.command()
@takes_parts
def erase(
    model: Model,
    *,
    parts: Parts,
    profile: Annotated[Path, typer.Option(help="Profile folder made by 'unsee profile'.")],
    forget: Annotated[str, typer.Option(help="Questions about what is forgotten: folder, DIR:CONFIG or .jsonl.")],
    out: Out,
    keep: Annotated[
        str | None, typer.Option(help="Questions about the same people that must still be answered.")
    ] = None,
    retain: Annotated[
        str | None, typer.Option(help="Kept questions, only to refuse people that are in both sets.")
    ] = None,
    others: Others = None,
    method: Annotated[str, typer.Option(help="held-ridge (default), released-llava or released-qwen.")] = "held-ridge",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Fit one erasure request."""
    from unsee.data import read, require_disjoint
    from unsee.data.conversation import in_contexts
    from unsee.erase.fit_eraser import fit_eraser, fit_published
    from unsee.erase.gates.null_space import RELEASED_LLAVA, RELEASED_QWEN
    from unsee.erase.profile import Profile

    presets = {"released-llava": RELEASED_LLAVA, "released-qwen": RELEASED_QWEN}
    if method != "held-ridge" and method not in presets:
        raise OptionError(f"method is {method!r}, expected one of {['held-ridge', *presets]}")
    asked = read(forget)
    if retain:
        require_disjoint(asked, read(retain), ("forget", "retain"))
    made_for, loaded = Profile.from_pretrained(profile), open_model(model, parts)
    with stages_shown() as stages:
        if method in presets:
            eraser = fit_published(loaded, made_for, asked, preset=presets[method], stages=stages)
        else:
            told = _all_of(others)
            talked = in_contexts(asked, told, 1.0, seed)
            kept = in_contexts(read(keep), told, seed=seed) if keep else ()
            eraser = fit_eraser(loaded, made_for, talked, keep=kept, stages=stages)
    content = eraser.save_pretrained(out)
    show_table(diagnosis_table(eraser.report))
    say(f"Saved {out}  {content}")
    say(LIMITS)
    finish(as_json, {"out": str(out), "content_id": content, "subjects": len(eraser.subjects), "report": eraser.report})


def _all_of(paths: list[str] | None) -> "list[Sample]":
    from unsee.data import read

    return [sample for path in paths or () for sample in read(path)]


@app.command()
@takes_parts
def ask(
    model: Model,
    *,
    parts: Parts,
    question: Annotated[str, typer.Option(help="What to ask.")],
    image: Annotated[Path | None, typer.Option(help="Image to ask about.")] = None,
    video: Annotated[list[Path] | None, typer.Option(help="Frame of a video, in the order of time; repeat.")] = None,
    eraser: Erasers = None,
    max_new_tokens: Annotated[int, typer.Option(help="Longest answer, in tokens.")] = 48,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Ask one question, without and with erasers, and show what each gate read."""
    import torch

    from unsee.data import ImageFile, Sample
    from unsee.erase.steer.hooks import erased
    from unsee.models.generate import generate

    torch.manual_seed(seed)
    shown = [] if image is None else [image]
    for path in (*shown, *(video or ())):
        if not path.is_file():
            raise DataError(f"there is no image {str(path)!r}. Expected an image file; check the path.")
    asked_about = None if image is None else ImageFile(str(image), image)
    frames = tuple(ImageFile(str(path), path) for path in video or ())
    loaded = open_model(model, parts)
    sample = Sample("asked", "asked", question, "", "", image=asked_about, video=frames)
    erasers = _erasers(eraser, loaded)
    before = generate(loaded, [sample], max_new_tokens=max_new_tokens)[0]
    result: dict[str, Any] = {"question": question, "before": before}
    say(f"before  {before}")
    if erasers:
        with erased(loaded.model, *erasers, adapter=loaded.adapter) as steering:
            result["after"] = generate(loaded, [sample], max_new_tokens=max_new_tokens)[0]
            readings, result["positions_steered"] = steering.readings, steering.positions
        say(f"after   {result['after']}")
        table, result["gates"] = Table("eraser", "subject or layer", "reading", "fires"), []
        for path, one, reading in zip(eraser or (), erasers, readings, strict=True):
            if reading is None:
                continue
            names = (
                one.subjects if reading.margins.shape[1] == len(one.subjects) else [str(layer) for layer in one.layers]
            )
            for name, margin in sorted(zip(names, reading.margins[0].tolist(), strict=True), key=lambda pair: -pair[1])[
                :8
            ]:
                table.add_row(path.name, name, f"{margin:+.3f}", "yes" if margin >= 0 else "no")
                result["gates"].append({"eraser": str(path), "name": name, "margin": margin})
        show_table(table)
    finish(as_json, result)


app.command()(train)
app.command()(sweep)
app.command()(table)
app.command(context_settings=PASS_ON)(serve)


@app.command()
def show(
    artifact: Annotated[Path, typer.Argument(help="Eraser or profile folder.")], seed: Seed = 0, as_json: Json = False
) -> None:
    """Show what a saved profile or eraser is, and what its fit found."""
    from unsee.erase.eraser import Eraser
    from unsee.erase.profile import Profile

    del seed
    profile_there = (artifact / "profile.safetensors").exists()
    made = Profile.from_pretrained(artifact) if profile_there else Eraser.from_pretrained(artifact)
    table = Table(show_header=False)
    facts = {
        "kind": "profile" if isinstance(made, Profile) else f"eraser ({made.method})",
        "model": f"{made.model['id']}  {made.model['digest'][:19]}...",
        "layers": ", ".join(map(str, made.layers)),
        "strength": f"{made.strength:g}",
        "samples": ", ".join(f"{name} {count}" for name, count in made.counts.items()),
    }
    if isinstance(made, Eraser):
        facts["subjects"] = f"{len(made.subjects)}: {', '.join(made.subjects)}"
    for name, value in facts.items():
        table.add_row(name, value)
    show_table(table)
    show_table(diagnosis_table(made.report))
    finish(as_json, facts | {"report": made.report})


def _erasers(paths: list[Path] | None, loaded: "LoadedModel") -> "list[Eraser]":
    from unsee.erase.eraser import Eraser
    from unsee.erase.eraser_set import together
    from unsee.erase.profile import require_same_model

    erasers = [Eraser.from_pretrained(path) for path in paths or ()]
    for eraser in erasers:
        require_same_model(eraser.model, loaded, "eraser")
    return together(erasers)
