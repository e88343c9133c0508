"""`unsee ledger`: erasure requests from receipt to revocation, with a log that can be checked and exported."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from unsee.cli.console import LIMITS, finish, say, show_table, stages_shown
from unsee.cli.world import Json, Seed
from unsee.errors import OptionError
from unsee.ledger import STATES, Decision, Ledger, Request, SubjectKey
from unsee.ledger.erasers import ask, eraser_check, verify
from unsee.ledger.export import export
from unsee.ledger.keys import make_key, read_subject
from unsee.ledger.signing import Head, signer_of

ledger_app = typer.Typer(no_args_is_help=True, help="Erasure requests from receipt to revocation, logged and exported.")

Home = Annotated[Path, typer.Option("--ledger", envvar="UNSEE_LEDGER", help="Folder of the ledger.")]
Id = Annotated[str, typer.Argument(help="Request id, as 'list' shows it.")]
Who = Annotated[str, typer.Option(envvar="UNSEE_WHO", help="Who decides: a person or a role.")]
Why = Annotated[str, typer.Option(help="The reason, in a sentence; never the subject's name.")]
Basis = Annotated[str, typer.Option(help="On what legal ground; for later steps, the request's by default.")]
Scope = Annotated[str, typer.Option(help="What is to be unseen, and where; for later steps, the request's by default.")]
Subject = Annotated[str, typer.Option(help="File with whom it is about; '-' for standard input.")]
SubjectKeyFile = Annotated[Path | None, typer.Option(envvar="UNSEE_SUBJECT_KEY", help="File with the pseudonyms' key.")]
SignKey = Annotated[str | None, typer.Option(envvar="UNSEE_SIGN_KEY", help="Key file, or SCHEME:... of an extension.")]


@ledger_app.command("init")
def ledger_init(
    ledger: Home,
    who: Who,
    subject_key: SubjectKeyFile = None,
    sign_key: Annotated[Path | None, typer.Option("--sign-key", help="Also make a signing key here.")] = None,
    why: Why = "a ledger is begun",
    as_json: Json = False,
) -> None:
    """Make a ledger, and the key files that are not there yet; keep the keys where the ledger is not."""
    for key in (subject_key, sign_key):
        if key is not None and not key.exists():
            make_key(key, ledger)
            say(f"Made the key {key}: back it up, and let nobody have it together with the ledger.")
    with Ledger.create(ledger, SubjectKey.read(subject_key, ledger), Decision(who, why)) as made:
        say(f"Made the ledger {ledger}. Its thresholds are in {ledger / 'policy.toml'}.")
        finish(as_json, {"ledger": str(ledger), "id": made.id})


@ledger_app.command("add")
def ledger_add(
    ledger: Home,
    who: Who,
    why: Why,
    legal_basis: Basis,
    scope: Scope,
    subject_file: Subject,
    subject_key: SubjectKeyFile = None,
    eraser: Annotated[Path | None, typer.Option(help="Attach this eraser at once.")] = None,
    as_json: Json = False,
) -> None:
    """Receive a request; whom it is about is read from a file and kept as a keyed pseudonym only."""
    by = Decision(who, why, legal_basis, scope)
    with Ledger(ledger) as opened:
        key, subject = SubjectKey.read(subject_key, ledger), read_subject(subject_file)
        others = [r.id for r in opened.requests(subject=opened.pseudonym(subject, key)) if r.state != "revoked"]
        request = opened.add(subject, key, by)
        if others:
            say(f"This subject has {len(others)} other open request(s): {', '.join(others)}")
        say(f"Received {request.id}")
        if eraser is not None:
            request = opened.attach(request.id, eraser, eraser_check(), Decision(who, "fitted"))
        _told(request, as_json, {"others": others})


@ledger_app.command("attach")
def ledger_attach(
    ledger: Home,
    request: Id,
    eraser: Annotated[Path, typer.Option(help="Eraser folder made by 'unsee erase'.")],
    who: Who,
    why: Why = "fitted",
    as_json: Json = False,
) -> None:
    """Store the eraser that was fitted for a request; the same one again puts lost files back."""
    with Ledger(ledger, mending=True) as opened:
        _told(opened.attach(request, eraser, eraser_check(), Decision(who, why)), as_json)


@ledger_app.command("verify")
def ledger_verify(
    ledger: Home,
    request: Annotated[str | None, typer.Argument(help="Request to ask the model about; none checks the log.")] = None,
    model: Annotated[str | None, typer.Option(help="Checkpoint folder, hub id, or 'world:llava'.")] = None,
    questions: Annotated[str | None, typer.Option(help="Held-out questions about the subject.")] = None,
    neighbours: Annotated[str | None, typer.Option(help="Questions about near subjects that are kept.")] = None,
    visible: Annotated[str | None, typer.Option(help="What must still be answered about the subject.")] = None,
    never_knew: Annotated[str | None, typer.Option(help="Checkpoint that never knew the subject.")] = None,
    who: Who = "",
    why: Why = "verification before activation",
    batch_size: Annotated[int, typer.Option(help="Prompts per forward pass.")] = 64,
    head: Annotated[Path | None, typer.Option(help="A signed head that was kept elsewhere.")] = None,
    sign_key: SignKey = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Verify a request by asking the model, or without an id the ledger itself: log, tables, files, signatures.

    A request that fails stays off; the command says why and ends with code 1.
    """
    if request is None:
        _examined(ledger, head, sign_key, as_json)
        return
    if model is None or questions is None:
        raise OptionError("verifying a request asks the model: --model and --questions are needed, and --neighbours.")
    from unsee.data import read
    from unsee.models.load import load

    with Ledger(ledger) as opened, stages_shown() as stages:
        done, now = verify(
            opened,
            request,
            load(model),
            read(questions),
            read(neighbours) if neighbours else [],
            Decision(who, why),
            visible=read(visible) if visible else [],
            never_knew=load(never_knew) if never_knew else None,
            seed=seed,
            batch_size=batch_size,
            stages=stages,
        )
    table = Table("verdict", "check", "finding")
    for finding in done.findings:
        table.add_row(finding.verdict, finding.check, finding.text)
    show_table(table)
    say(f"{now.id} is {now.state}")
    for reason in done.failed:
        say(f"{'failed' if now.state == 'active' else 'stays off'}: {reason}")
    say(LIMITS)
    finish(as_json, {"request": now.as_json(), **done.as_json()})
    if not done.passed:
        raise typer.Exit(1)


@ledger_app.command("ask")
def ledger_ask(
    ledger: Home,
    model: Annotated[str, typer.Option(help="Checkpoint folder, hub id, or 'world:llava'.")],
    question: Annotated[str, typer.Option(help="What to ask.")],
    image: Annotated[Path | None, typer.Option(help="Image to ask about.")] = None,
    as_json: Json = False,
) -> None:
    """Ask one question with all requests in force, and show which of them fire and how strongly."""
    from unsee.models.load import load

    with Ledger(ledger) as opened:
        answer, readings = ask(opened, load(model), question, image)
    say(answer)
    for name, reading in list(readings.items())[:8]:
        say(f"{name}  {reading:+.3f}  {'fires' if reading >= 0 else 'does not fire'}")
    finish(as_json, {"answer": answer, "readings": readings})


@ledger_app.command("activate")
def ledger_activate(
    ledger: Home, request: Id, who: Who, why: Why, legal_basis: Basis = "", scope: Scope = "", as_json: Json = False
) -> None:
    """Switch a verified request on; warns past the certified number of requests in force."""
    with Ledger(ledger) as opened:
        done = opened.activate(request, Decision(who, why, legal_basis, scope))
    for warning in done.warnings:
        say(f"Warning: {warning}")
    _told(done.request, as_json, {"active_set": done.digest, "warnings": list(done.warnings)})


@ledger_app.command("revoke")
def ledger_revoke(
    ledger: Home, request: Id, who: Who, why: Why, legal_basis: Basis = "", scope: Scope = "", as_json: Json = False
) -> None:
    """Take a request back, from wherever it is; the model then answers as if it had never been in force."""
    with Ledger(ledger, mending=True) as opened:
        revoked = opened.revoke(request, Decision(who, why, legal_basis, scope))
        _told(revoked, as_json, {"active_set": opened.active().digest})


@ledger_app.command("note")
def ledger_note(ledger: Home, request: Id, who: Who, why: Why, as_json: Json = False) -> None:
    """Write into a request's log what was done outside: training data, retrieval stores, logs, the answer sent."""
    with Ledger(ledger, mending=True) as opened:
        row = opened.note("noted", Decision(who, why), request_id=request)
    say(f"Noted as row {row.seq}")
    finish(as_json, {"request": request, "row": row.seq})


@ledger_app.command("list")
def ledger_list(
    ledger: Home,
    state: Annotated[list[str] | None, typer.Option(help="Only requests in this state; repeat.")] = None,
    subject_file: Subject = "",
    subject_key: SubjectKeyFile = None,
    as_json: Json = False,
) -> None:
    """List requests, of one subject where one is given, and the digest of what is in force."""
    for name in state or ():
        if name not in STATES:
            raise OptionError(f"state is {name!r}, expected one of {list(STATES)}")
    with Ledger(ledger, mending=True) as opened:
        key = SubjectKey.read(subject_key, ledger) if subject_file else None
        mine = None if key is None else opened.pseudonym(read_subject(subject_file), key)
        found = [r for r in opened.requests(subject=mine) if not state or r.state in state]
        active = opened.active()
    table = Table("request", "state", "subject", "received", "due", "artifact", "scope")
    for r in found:
        subject, artifact = r.subject.removeprefix("hmac-sha256:")[:8], (r.content_id or "")[7:15]
        table.add_row(r.id, r.state, subject, r.received[:10], r.due[:10], artifact, r.scope)
    show_table(table)
    say(f"in force: {len(active.requests)}, {active.digest}")
    ids = [r.id for r in active.requests]
    finish(as_json, {"requests": [r.as_json() for r in found], "active_set": active.digest, "active": ids})


@ledger_app.command("show")
def ledger_show(ledger: Home, request: Id, as_json: Json = False) -> None:
    """Show one request with everything that was done to it."""
    with Ledger(ledger, mending=True) as opened:
        found, history = opened.request(request), opened.history(request)
    facts = Table(show_header=False)
    for name, value in found.as_json().items():
        facts.add_row(name, str(value))
    show_table(facts)
    table = Table("row", "when", "what", "who", "why")
    for row in history:
        table.add_row(str(row.seq), row.at[:16].replace("T", " "), row.event, row.who, row.why)
    show_table(table)
    steps = [asdict(row) | {"details": row.said} for row in history]
    finish(as_json, {"request": found.as_json(), "history": steps})


@ledger_app.command("sign")
def ledger_sign(
    ledger: Home,
    out: Annotated[Path, typer.Option(help="File for the signed head; keep it elsewhere.")],
    sign_key: SignKey = None,
    as_json: Json = False,
) -> None:
    """Check the ledger, and sign the newest row of its log with a key that is kept offline."""
    with Ledger(ledger, mending=True) as opened:
        opened.examine().require()
        head = opened.sign(signer_of(sign_key, ledger))
    head.write(out)
    say(f"Signed row {head.seq} with {head.algorithm} key {head.key_id}: {out}")
    finish(as_json, asdict(head))


@ledger_app.command("export")
def ledger_export(
    ledger: Home,
    out: Annotated[Path, typer.Option(help="Folder to write to.")],
    who: Who,
    why: Why = "export for the data-protection officer",
    request: Annotated[str | None, typer.Option(help="Only this request.")] = None,
    sign_key: SignKey = None,
    as_json: Json = False,
) -> None:
    """Write what a data-protection officer needs, as a page, a PDF and JSON; the log notes that it was done."""
    with Ledger(ledger, mending=True) as opened:
        signer = signer_of(sign_key, ledger) if sign_key else None
        files = export(opened, out, Decision(who, why), request_id=request, signer=signer)
    for path in files:
        say(f"Wrote {path}")
    finish(as_json, {"files": [str(path) for path in files]})


@ledger_app.command("compact")
def ledger_compact(ledger: Home, who: Who, why: Why = "retention has passed", as_json: Json = False) -> None:
    """Delete artifacts of revoked requests past their retention; the log stays."""
    with Ledger(ledger, mending=True) as opened:
        purged, freed = opened.compact(Decision(who, why))
    say(f"Deleted {len(purged)} artifact(s), {freed} bytes")
    finish(as_json, {"purged": purged, "bytes": freed})


def _examined(home: Path, head: Path | None, sign_key: str | None, as_json: bool) -> None:
    with Ledger(home, mending=True) as opened:
        signer, elsewhere = signer_of(sign_key, home) if sign_key else None, Head.read(head) if head else None
        if elsewhere is not None and signer is not None:
            elsewhere.require_signed_by(signer)
        found = opened.examine(signer, elsewhere)
    for remark in found.remarks:
        say(f"{remark.severity}: {remark.text}")
    say(f"{found.rows} rows, newest {found.head[:16]}..., {found.signatures} signature(s) checked")
    finish(as_json, asdict(found) | {"failures": found.failures})
    found.require()


def _told(request: Request, as_json: bool, more: dict[str, Any] | None = None) -> None:
    say(f"{request.id} is {request.state}, answer due {request.due[:10]}")
    finish(as_json, {"request": request.as_json(), **(more or {})})
