"""`unsee forget`: a request from a name and images, what the model says before, the eraser, and what it says after."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from unsee.cli.console import LIMITS, finish, say, show_table, stages_shown
from unsee.cli.options import Json, Model, Parts, Reply, ReplyWords, Seed, open_model, takes_parts

if TYPE_CHECKING:
    from unsee.erase.request.knowledge import Knowledge
    from unsee.forgetting.before import Before
    from unsee.forgetting.report import Report

MOST_LEAKED = 0.02
"""Share of held-out prompts beyond which the report warns."""


@takes_parts
def forget(
    model: Model,
    name: Annotated[str, typer.Option(help="Of whom or what is to be forgotten.")],
    out: Annotated[Path, typer.Option(help="New folder for eraser and evidence; it holds plain names.")],
    alias: Annotated[list[str] | None, typer.Option(help="Another name of the subject; repeat.")] = None,
    image: Annotated[list[Path] | None, typer.Option(help="Image of the subject; repeat.")] = None,
    kind: Annotated[str, typer.Option(help="person, topic, fact, work or organisation.")] = "person",
    erase: Annotated[str, typer.Option(help="Hide only these facts, as in 'home address, employer'.")] = "",
    spare: Annotated[str, typer.Option(help="Still tell these facts, as in 'job'.")] = "",
    text: Annotated[str, typer.Option(help="With --kind fact: the fact in a sentence.")] = "",
    profile: Annotated[Path | None, typer.Option(help="Profile folder; default: from the starter kit, cached.")] = None,
    reply: Reply = "steer,prefix,canned",
    words: ReplyWords = None,
    force: Annotated[bool, typer.Option("--force", help="Go on though the model knows nothing.")] = False,
    seed: Seed = 0,
    as_json: Json = False,
    *,
    parts: Parts,
) -> None:
    """Forget somebody or something by a name and images: needs no other data.

    Asks the model what it says today, fits the request, asks again in forms that the fit has not seen.

    Takes a minute for the small built-in models on a CPU.

    Example: unsee forget world:llava --name "jonas lorne" --image view.png --out requests/0001
    """
    from unsee.erase.request.request import request
    from unsee.forgetting.folder import Folder

    Folder.require_free(out)
    asked = request(name, aliases=alias or (), images=image or (), kind=kind, erase=erase, spare=spare, text=text)
    for warning in asked.warnings:
        say(f"Warning: {warning}")
    from unsee.erase.fit_reply import reply_order
    from unsee.erase.profile import Profile
    from unsee.forgetting.run import forget as run

    order = reply_order(reply)
    made_for = None if profile is None else Profile.from_pretrained(profile)
    loaded = open_model(model, parts)
    with stages_shown() as stages:
        done = run(
            loaded, asked, out, profile=made_for, replies=order, words=words, force=force, told=show_before,
            seed=seed, stages=stages,
        )  # fmt: skip
    if added := [one for one in done.request.names if one not in asked.names]:
        say(f"Also forgotten: {', '.join(added)}, which the model takes for the same.")
    for one in done.eraser.report:
        if one["check"].startswith("reply "):
            say(f"{one['check']}: {one['result']}. {'Taken.' if one['verdict'] == 'pass' else 'Not taken.'}")
    show_report(done.report)
    say(f"Eraser: {out / 'eraser'}  {done.content_id[:19]}...   Evidence: {out}")
    say(f"Try it: unsee ask {model} --eraser {out / 'eraser'} --question '...'")
    say(LIMITS)
    finish(as_json, {"out": str(out), "content_id": done.content_id, **done.as_json()})


def show_before(before: "Before") -> None:
    """What the model says of the subject today, fact by fact."""
    table = Table("fact", "by name", *(["by image"] if before.by_image else []), title="What the model says today")
    ways = [before.by_name, *([before.by_image] if before.by_image else [])]
    for noun in dict.fromkeys(noun for one in ways for noun in one.facts):
        said = [_said(one, noun) for one in ways]
        if any(said):
            table.add_row(noun or "anything", *(words or "-" for words in said))
    if table.rows:
        show_table(table)
    for way, one in zip(("by name", "by image"), ways, strict=False):
        verdict = "Known." if one.known else "Not known."
        say(
            f"{way}: {one.count} facts recur (of invented names: {_most(one.invented)}), {one.refused:.0%} of the "
            f"answers decline. {verdict if one.depends is None else ''}"
        )
        if one.depends is not None:
            say(
                f"As it makes up as many for anybody: its answers are {one.depends:.1f} nats likelier about this name "
                f"than about another (invented names: 95 % at most {one.at_most:.1f}). {verdict}"
            )


def show_report(report: "Report") -> None:
    """Before and after, over-refusal, and what the replies tell."""
    table = Table("about the subject", "n", "leaked", "leaks now", "declines", title="Before and after, greedy")
    for held, title in ((False, "seen by the fit"), (True, "held out: words, forms and views that no fit saw")):
        table.add_row(Text(title, "bold"), "", "", "", "")
        for row in (row for row in report.rows if row.held is held):
            before, after = _share(row.before), _share(row.after)
            table.add_row(f"  {row.group}", str(row.n), before, after, f"{row.refused:.0%}")
    show_table(table)
    table = Table("still to be answered", "n", "answered", "declines now", "changed", title="Over-refusal, held out")
    for one in report.allowances:
        table.add_row(one.group, str(one.n), str(one.answered), _share(one.refused), f"{one.changed:.0%}")
    show_table(table)
    if report.leak is not None:
        scored = sum(row.scored for row in report.rows if row.held)
        say(f"Leaks in held-out forms: {report.leak:.1%} of {scored} prompts that ask for what the model knows.")
        if report.leak > MOST_LEAKED:
            say(
                f"Warning: that is more than {MOST_LEAKED:.0%}. See above in which forms; more images, aliases or a "
                "profile of your own data may help. Do not call it done."
            )
    if report.telling is not None:
        told = report.telling
        say(
            f"Do replies tell who is on the list? AUC {told.auc:.2f} (0.5 is no, the target at most 0.60), "
            f"{told.forgotten} replies against {told.unknown} about invented names."
        )
    say(f"Not tested: {'; '.join(report.not_tested)}.")


def _said(knowledge: "Knowledge", noun: str) -> str:
    return ", ".join(knowledge.facts.get(noun, ()))


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def _most(counts: Sequence[int]) -> str:
    return f"at most {max(counts)}" if counts else "not asked"
