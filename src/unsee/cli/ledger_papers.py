"""Commands of `unsee ledger` that make papers: signed heads, letters and exports."""

from pathlib import Path
from typing import Annotated

import typer

from unsee.cli.console import finish, say
from unsee.cli.ledger_options import Home, Id, KeyFolder, Out, Who, Why, opened
from unsee.cli.options import Json
from unsee.errors import OptionError


def add_paper_commands(app: typer.Typer) -> None:
    """Put these commands under `unsee ledger`."""
    app.command("sign")(ledger_sign)
    app.command("letter")(ledger_letter)
    app.command("export")(ledger_export)


def ledger_sign(
    ledger: Home,
    keys: KeyFolder,
    out: Annotated[Path | None, typer.Option(help="New file for the signed head; keep it elsewhere.")] = None,
    hook: Annotated[str | None, typer.Option(help="Address that the head is posted to, to be kept there.")] = None,
    as_json: Json = False,
) -> None:
    """Sign the newest row of the log, and take it where nobody here can change it."""
    from unsee.ledger import documents

    if out is None and hook is None:
        raise OptionError("a head that stays here pins nothing: give --out FILE or --hook ADDRESS, or both.")
    with opened(ledger, keys) as held:
        head = documents.head(held)
    if out is not None:
        documents.save_private(out, documents.as_file(head))
    if hook is not None:
        documents.post(head, hook)
    say(f"Signed row {head['seq']}: {', '.join(str(place) for place in (out, hook) if place)}")
    finish(as_json, head)


def ledger_letter(ledger: Home, keys: KeyFolder, record: Id, out: Out, as_json: Json = False) -> None:
    """Draft the answer from a template; after it was sent, 'answer' writes that down."""
    from unsee.ledger.export import letter

    with opened(ledger, keys) as held:
        request = held.request(record)
        letter(held, request, out)
    say(f"Wrote {out}. Read it, send it, and then: unsee ledger answer {request.id} --letter {out} --how ...")
    finish(as_json, {"request": request.id, "out": str(out)})


def ledger_export(
    ledger: Home,
    keys: KeyFolder,
    who: Who,
    out: Out,
    why: Why = "export for the data-protection officer",
    record: Annotated[str, typer.Option(help="Only this one.")] = "",
    shape: Annotated[list[str] | None, typer.Option("--format", help="html, pdf or json; repeat.")] = None,
    as_json: Json = False,
) -> None:
    """Write what a data-protection officer needs, as a page, a PDF and JSON; the log notes that it was done."""
    from unsee.ledger import Decision
    from unsee.ledger.export import FORMATS, export

    with opened(ledger, keys) as held:
        files = export(held, out, Decision(who, why), record, tuple(shape or FORMATS))
    for path in files:
        say(f"Wrote {path}")
    finish(as_json, {"files": [str(path) for path in files]})
