"""`unsee erase`: fit one erasure request from questions."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from unsee.cli import options as given
from unsee.cli.console import LIMITS, diagnosis_table, finish, say, show_table, stages_shown
from unsee.errors import OptionError

Keep = Annotated[str | None, typer.Option(help="Allowed questions about the same people: they must still be answered.")]
Retain = Annotated[str | None, typer.Option(help="The retain set, only to refuse people that are in both sets.")]
BatchSize = Annotated[
    int | None, typer.Option(min=1, metavar="<int>", help="Prompts per forward pass; default: the profile's.")
]
Method = Annotated[
    Literal["held-ridge", "released-llava", "released-qwen"],
    typer.Option(metavar="<str>", help="held-ridge (our gate), or MLLMEraser's: released-llava, released-qwen."),
]


@given.takes_parts
def erase(
    model: given.Model,
    *,
    parts: given.Parts,
    profile: Annotated[Path, typer.Option(help="Profile folder made by 'unsee profile'.")],
    forget: Annotated[str, typer.Option(help="Questions about what is forgotten: folder, DIR:CONFIG or .jsonl.")],
    out: given.Out,
    keep: Keep = None,
    retain: Retain = None,
    others: given.Others = None,
    method: Method = "held-ridge",
    reply: given.Reply = "steer,prefix,canned",
    words: given.ReplyWords = None,
    batch_size: BatchSize = None,
    seed: given.Seed = 0,
    as_json: given.Json = False,
) -> None:
    """Fit one erasure request from questions; 'unsee forget' takes a name and images.

    Example: unsee erase world:llava --profile profile --forget my-questions --out r-0001
    """
    from unsee.data import read, require_disjoint
    from unsee.data.conversation import in_contexts
    from unsee.erase.config import Settings
    from unsee.erase.fit.reply import Acceptance
    from unsee.erase.fit_eraser import fit_eraser, fit_published
    from unsee.erase.fit_reply import fit_reply, reply_order
    from unsee.erase.gates.null_space import RELEASED_LLAVA, RELEASED_QWEN
    from unsee.erase.profile import Profile

    presets = {"released-llava": RELEASED_LLAVA, "released-qwen": RELEASED_QWEN}
    if method in presets and (keep or others):
        raise OptionError(f"--keep and --others mean nothing to --method {method}: leave them out, or the method.")
    if method in presets and words:
        raise OptionError(f"--words means nothing to --method {method}, which only steers: leave one of them out.")
    order = reply_order(reply)
    given.require_writable(out)
    made_for = Profile.from_pretrained(profile)
    settings = Settings.from_json(made_for.settings)
    settings = settings if batch_size is None else settings.changed(batch_size=batch_size)
    asked = read(forget)
    if retain:
        require_disjoint(asked, read(retain), ("forget", "retain"))
    loaded = given.open_model(model, parts)
    with stages_shown() as stages:
        if method in presets:
            eraser = fit_published(loaded, made_for, asked, preset=presets[method], settings=settings, stages=stages)
        else:
            told = given.all_of(others)
            talked = in_contexts(asked, told, 1.0, seed)
            kept = in_contexts(read(keep), told, seed=seed) if keep else ()
            eraser = fit_eraser(loaded, made_for, talked, keep=kept, settings=settings, stages=stages)
            tried, acceptance = out / "replies.json", Acceptance(batch_size=settings.batch_size)
            eraser = fit_reply(
                loaded, eraser, talked, order=order, words=words, acceptance=acceptance, report=tried, stages=stages
            )
    content = eraser.save_pretrained(out)
    show_table(diagnosis_table(eraser.report))
    say(f"Saved {out}  {content}")
    say(LIMITS)
    found = {"subjects": len(eraser.subjects), "reply": eraser.reply.kind, "report": eraser.report}
    finish(as_json, {"out": str(out), "content_id": content, **found})
