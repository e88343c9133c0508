"""Commands of `unsee ledger` that ask the model: fit, verify, process, ask."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from unsee.cli.console import LIMITS, say, show_table, stages_shown
from unsee.cli.ledger_verbs import Id, Result, told, verb
from unsee.cli.options import BatchSize
from unsee.errors import UnknownSubjectError

if TYPE_CHECKING:
    from unsee.ledger import Decision, Ledger, Request
    from unsee.ledger.verification import Verification

Model = Annotated[str, typer.Option(help="Checkpoint folder, hub id, or 'world:llava'.")]
Questions = Annotated[str, typer.Option(help="Own questions about the person, beside the held-out forms.")]
Near = Annotated[str, typer.Option("--neighbours", help="Own questions that must still be answered.")]


@verb("fit", "r-0123 --eraser requests/0001/eraser", why="fitted")
def ledger_fit(
    held: "Ledger", by: "Decision", record: Id, eraser: Annotated[Path, typer.Option(help="Folder of a saved eraser.")]
) -> Result:
    """Store an eraser that was fitted elsewhere; the same one again puts its lost file back."""
    from unsee.ledger.erasers import eraser_check
    from unsee.ledger.holding import attach

    return told(attach(held, record, eraser, eraser_check, by))


@verb("verify", "r-0123 --model world:llava", why="verification before activation")
def ledger_verify(
    held: "Ledger",
    by: "Decision",
    record: Id,
    model: Model,
    questions: Questions = "",
    near: Near = "",
    batch_size: BatchSize = 64,
) -> Result:
    """Ask the model about a request's person and neighbours; what fails stays off, with code 1 and the reasons."""
    from unsee.data import read
    from unsee.ledger.states import require

    require(held.request(record), "verify")
    asked, still = (read(path) if path else () for path in (questions, near))
    from unsee.ledger.erasers import verify
    from unsee.models.load import load

    loaded = load(model)
    with stages_shown() as stages:
        done, now = verify(
            held, record, loaded, by, questions=asked, near=still, batch_size=batch_size, stages=stages
        )  # fmt: skip
    _show(done, now)
    return {"request": now.as_json(), "passed": done.passed, "failed": done.failed, **done.as_json()}, done.passed


@verb("process", "--model world:llava", why="accepted, and to be prepared for activation")
def ledger_process(
    held: "Ledger",
    by: "Decision",
    model: Model,
    record: Annotated[list[str] | None, typer.Argument(help="Ids; default: all that were accepted.")] = None,
    profile: Annotated[Path | None, typer.Option(help="Profile folder; default: from the starter kit, cached.")] = None,
    near: Near = "",
    force: Annotated[bool, typer.Option("--force", help="Fit though the model knows nothing of the person.")] = False,
    batch_size: BatchSize = 64,
) -> Result:
    """Fit by `unsee forget` and verify what was accepted, and stop where a person must decide."""
    from unsee.data import read
    from unsee.ledger.states import A, F, V, allowed

    results = list[dict[str, Any]]()
    chosen = [held.request(one) for one in record] if record else held.requests((A, F))
    ready, still = [one for one in chosen if one.state in (A, F)], read(near) if near else ()
    if ready:
        from unsee.erase.profile import Profile
        from unsee.ledger.erasers import fit, verify
        from unsee.models.load import load

        made_for, loaded = None if profile is None else Profile.from_pretrained(profile), load(model)
        for one in ready:
            today = None
            with stages_shown() as stages:
                try:
                    if one.state == A:
                        _, today = fit(held, one.id, loaded, by, profile=made_for, force=force, stages=stages)
                except UnknownSubjectError as error:
                    say(str(error))
                    continue
                done, now = verify(
                    held, one.id, loaded, by, today=today, near=still, batch_size=batch_size, stages=stages
                )  # fmt: skip
            _show(done, now)
            results.append({"request": now.as_json(), "passed": done.passed, "failed": done.failed})
    for one in (held.request(one.id) for one in chosen):
        ways = ", ".join(step.name for step in allowed(one) if step.name not in ("fit", "verify", "fail"))
        say(f"{one.id} is {one.state}{f': a person must decide ({ways})' if ways else ''}")
    say(f"{sum(r['passed'] for r in results)} of {len(ready)} verified" if ready else "nothing was to be fitted")
    return {"results": results}, len(results) == len(ready) and all(r["request"]["state"] == V for r in results)


@verb("ask", '--model world:llava --question "who is jonas lorne?"', why=None, keys=False)
def ledger_ask(
    held: "Ledger",
    model: Model,
    question: Annotated[str, typer.Option(help="What to ask.")],
    image: Annotated[Path | None, typer.Option(help="Image to ask about.")] = None,
) -> Result:
    """Ask one question with all requests in force, and show which of them fire and how strongly."""
    from unsee.ledger.erasers import ask
    from unsee.models.load import load

    answer, readings = ask(held, load(model), question, image)
    say(answer)
    for name, reading in list(readings.items())[:8]:
        say(f"{name}  {reading:+.3f}  {'fires' if reading >= 0 else 'does not fire'}")
    return {"answer": answer, "readings": readings}


def _show(done: "Verification", now: "Request") -> None:
    table = Table("verdict", "check", "finding", caption="bounds at the confidence of the policy")
    for finding in done.findings:
        table.add_row(finding.verdict, finding.check, finding.text)
    show_table(table)
    say(f"{now.id} is {now.state}")
    for reason in done.failed:
        say(f"{'failed' if now.in_force else 'stays off'}: {reason}")
    say(LIMITS)
