"""Commands of `unsee ledger` that ask the model: fit, verify, process, ask; and the read-only door."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from unsee.cli.console import LIMITS, finish, say, show_table, stages_shown
from unsee.cli.ledger_options import Home, Id, KeyFolder, Who, Why, opened, told
from unsee.cli.options import Json, WhichGate
from unsee.errors import OptionError, UnknownSubjectError

if TYPE_CHECKING:
    from unsee.ledger import Request
    from unsee.ledger.verification import Verification

Model = Annotated[str, typer.Option(help="Checkpoint folder, hub id, or 'world:llava'.")]
Questions = Annotated[str, typer.Option(help="Own questions about the person, beside the held-out forms.")]
Near = Annotated[str, typer.Option("--neighbours", help="Own questions that must still be answered.")]
Batch = Annotated[int, typer.Option(help="Prompts per forward pass.")]


def add_model_commands(app: typer.Typer) -> None:
    """Put these commands under `unsee ledger`."""
    app.command("fit")(ledger_fit)
    app.command("verify")(ledger_verify)
    app.command("process")(ledger_process)
    app.command("ask")(ledger_ask)
    app.command("serve")(ledger_serve)


def ledger_fit(
    ledger: Home,
    keys: KeyFolder,
    record: Id,
    who: Who,
    eraser: Annotated[Path, typer.Option(help="Folder of a saved eraser.")],
    why: Why = "fitted",
    as_json: Json = False,
) -> None:
    """Store an eraser that was fitted elsewhere; the same one again puts lost files back."""
    from unsee.ledger import Decision
    from unsee.ledger.erasers import eraser_check
    from unsee.ledger.holding import attach

    with opened(ledger, keys) as held:
        told(attach(held, record, eraser, eraser_check, Decision(who, why)), as_json)


def ledger_verify(
    ledger: Home,
    keys: KeyFolder,
    record: Id,
    who: Who,
    model: Model,
    questions: Questions = "",
    near: Near = "",
    why: Why = "verification before activation",
    batch_size: Batch = 64,
    as_json: Json = False,
) -> None:
    """Ask the model about a request's person and neighbours; what fails stays off, with code 1 and the reasons."""
    from unsee.data import read
    from unsee.ledger import Decision
    from unsee.ledger.states import require

    with opened(ledger, keys) as held, stages_shown() as stages:
        require(held.request(record), "verify")
        asked, still = (read(path) if path else () for path in (questions, near))
        from unsee.ledger.erasers import verify
        from unsee.models.load import load

        done, now = verify(
            held, record, load(model), Decision(who, why), questions=asked, near=still, batch_size=batch_size,
            stages=stages,
        )  # fmt: skip
    _show(done, now)
    finish(as_json, {"request": now.as_json(), "passed": done.passed, "failed": done.failed, **done.as_json()})
    if not done.passed:
        raise typer.Exit(1)


def ledger_process(
    ledger: Home,
    keys: KeyFolder,
    who: Who,
    model: Model,
    record: Annotated[list[str] | None, typer.Argument(help="Ids; default: all that were accepted.")] = None,
    profile: Annotated[Path | None, typer.Option(help="Profile folder; default: from the starter kit, cached.")] = None,
    gate: WhichGate = "subject",
    near: Near = "",
    force: Annotated[bool, typer.Option("--force", help="Fit though the model knows nothing of the person.")] = False,
    why: Why = "accepted, and to be prepared for activation",
    batch_size: Batch = 64,
    as_json: Json = False,
) -> None:
    """Fit by `unsee forget` and verify what was accepted, and stop where a person must decide."""
    from unsee.data import read
    from unsee.ledger import Decision
    from unsee.ledger.states import A, F, V, allowed

    by, results = Decision(who, why), list[dict[str, Any]]()
    with opened(ledger, keys) as held, stages_shown() as stages:
        chosen = [held.request(one) for one in record] if record else held.requests((A, F))
        ready, still = [one for one in chosen if one.state in (A, F)], read(near) if near else ()
        if ready:
            from unsee.erase.profile import Profile
            from unsee.ledger.erasers import fit, verify
            from unsee.models.load import load

            made_for, loaded = None if profile is None else Profile.from_pretrained(profile), load(model)
            for one in ready:
                today = None
                try:
                    if one.state == A:
                        _, today = fit(
                            held, one.id, loaded, by, profile=made_for, gate=gate, force=force, stages=stages
                        )
                except UnknownSubjectError as error:
                    say(str(error))
                    continue
                done, now = verify(
                    held, one.id, loaded, by, today=today, near=still, batch_size=batch_size, stages=stages
                )
                _show(done, now)
                results.append({"request": now.as_json(), "passed": done.passed, "failed": done.failed})
        for one in (held.request(one.id) for one in chosen):
            ways = ", ".join(step.name for step in allowed(one) if step.name not in ("fit", "verify", "fail"))
            say(f"{one.id} is {one.state}{f': a person must decide ({ways})' if ways else ''}")
    say(f"{sum(r['passed'] for r in results)} of {len(ready)} verified" if ready else "nothing was to be fitted")
    finish(as_json, {"results": results})
    if len(results) < len(ready) or any(one["request"]["state"] != V for one in results):
        raise typer.Exit(1)


def ledger_ask(
    ledger: Home,
    model: Model,
    question: Annotated[str, typer.Option(help="What to ask.")],
    image: Annotated[Path | None, typer.Option(help="Image to ask about.")] = None,
    as_json: Json = False,
) -> None:
    """Ask one question with all requests in force, and show which of them fire and how strongly."""
    from unsee.ledger.erasers import ask
    from unsee.models.load import load

    with opened(ledger, None) as held:
        answer, readings = ask(held, load(model), question, image)
    say(answer)
    for name, reading in list(readings.items())[:8]:
        say(f"{name}  {reading:+.3f}  {'fires' if reading >= 0 else 'does not fire'}")
    finish(as_json, {"answer": answer, "readings": readings})


def ledger_serve(
    ledger: Home,
    keys: KeyFolder,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8740,
    as_json: Json = False,
) -> None:
    """Serve signed snapshots of what is in force, and to requesters with a token how their request stands."""
    from unsee.ledger.http import server

    with opened(ledger, keys) as held:
        try:
            door = server(held, host, port)
        except OSError as error:
            raise OptionError(f"cannot listen on {host}:{port}: {error.strerror}. Choose another port.") from error
        with door:
            say(f"Serving {ledger} on http://{host}:{door.server_port}, read-only, in the clear: put TLS before it.")
            finish(as_json, {"host": host, "port": door.server_port})
            try:
                door.serve_forever()
            except KeyboardInterrupt:
                say("Stopped.")


def _show(done: "Verification", now: "Request") -> None:
    table = Table("verdict", "check", "finding", caption="bounds at the confidence of the policy")
    for finding in done.findings:
        table.add_row(finding.verdict, finding.check, finding.text)
    show_table(table)
    say(f"{now.id} is {now.state}")
    for reason in done.failed:
        say(f"{'failed' if now.in_force else 'stays off'}: {reason}")
    say(LIMITS)
