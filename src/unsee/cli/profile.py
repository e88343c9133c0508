"""`unsee profile`: learn, once per model, what refusing is."""

from typing import Annotated, Literal

import typer

from unsee.cli import options as given
from unsee.cli.console import diagnosis_table, finish, say, show_table, stages_shown
from unsee.cli.plan import print_plan
from unsee.cli.workers import readers, takes_cluster
from unsee.workers.cluster import Cluster

UNKNOWN = 64
"""Questions of the shipped list about names of nobody."""


Calibration = Annotated[
    str | None, typer.Option(help="The same about other people; default: a third of the retained people.")
]
Recall = Annotated[str | None, typer.Option(help="D-: prompts the model answers; default: the retained questions.")]
Refusal = Annotated[str | None, typer.Option(help="D+: prompts the model refuses; default: a shipped list.")]
Unknown = Annotated[
    str | None,
    typer.Option(help="Questions about names of nobody, for a model that declines too little; default: a list."),
]
Steps = Annotated[
    int, typer.Option(min=1, metavar="<int>", help="Steps of the refusal trajectory; 1: the first answer token alone.")
]
Direction = Annotated[
    Literal["multimodal", "text", "image"],
    typer.Option(metavar="<str>", help="Which prompts make the direction: multimodal, text or image."),
]
Engine = Annotated[
    Literal["local", "ray"], typer.Option(help="Where prompts are read: this process, or workers of Ray.")
]


@takes_cluster
@given.takes_parts
def profile(
    model: given.Model,
    *,
    parts: given.Parts,
    cluster: Cluster,
    retain: Annotated[str, typer.Option(help="Questions of the retain set: folder, DIR:CONFIG or .jsonl.")],
    out: given.Out,
    calibration: Calibration = None,
    recall: Recall = None,
    refusal: Refusal = None,
    others: given.Others = None,
    unknown: Unknown = None,
    steps: Steps = 14,
    direction: Direction = "multimodal",
    adversarial: Annotated[
        bool,
        typer.Option(" /--no-adversarial", help="Leave recall images as they are, without PGD.", show_default=False),
    ] = True,
    batch_size: given.BatchSize = 64,
    engine: Engine = "local",
    plan: Annotated[bool, typer.Option("--plan", help="Print memory and time before anything is loaded.")] = False,
    seed: given.Seed = 0,
    as_json: given.Json = False,
) -> None:
    """Learn, once per model, what refusing is and what retained prompts look like.

    Takes minutes on a CPU.

    Example: unsee profile world:llava --retain world/retain --out profile
    """
    from unsee.data import read
    from unsee.data.benchmarks.public_knowledge import public_knowledge
    from unsee.data.conversation import in_contexts
    from unsee.data.sample import spread
    from unsee.erase.config import Settings
    from unsee.erase.fit_profile import fit_profile
    from unsee.erase.request.defaults import default_refusal, split_people

    given.require_writable(out)
    settings = Settings(direction=direction, adversarial=adversarial, batch_size=batch_size, steps=steps)
    kept = read(retain)
    fit, held = (kept, read(calibration)) if calibration else split_people(kept, seed)
    told = given.all_of(others)
    if plan:
        print_plan(model, parts, len(fit) + len(held) + len(told), as_json)
        return
    with stages_shown() as stages, readers(model, parts, cluster if engine == "ray" else None) as (loaded, workers):
        made = fit_profile(
            loaded,
            retain=in_contexts(fit, told, seed=seed),
            calibration=in_contexts(held, told, seed=seed),
            recall=read(recall) if recall else spread(fit, 64),
            refusal=read(refusal) if refusal else default_refusal(fit),
            others=told,
            unknown=read(unknown) if unknown else spread(public_knowledge().unknown_samples(), UNKNOWN),
            settings=settings,
            seed=seed,
            stages=stages,
            workers=workers,
        )
    content = made.save_pretrained(out)
    show_table(diagnosis_table(made.report))
    say(f"Saved {out}  {content}")
    finish(as_json, {"out": str(out), "content_id": content, "coefficient": made.strength, "report": made.report})
