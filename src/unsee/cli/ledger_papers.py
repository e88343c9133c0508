"""Commands of `unsee ledger` that make papers: signed heads, letters and exports; and the read-only door."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unsee.cli.console import finish, say
from unsee.cli.ledger_verbs import Home, Id, KeyFolder, Out, Result, ledger_app, verb
from unsee.cli.options import Json
from unsee.errors import OptionError

if TYPE_CHECKING:
    from unsee.ledger import Decision, Ledger


@verb("sign", "--out head.json", why=None)
def ledger_sign(
    held: "Ledger",
    out: Annotated[Path | None, typer.Option(help="New file for the signed head; keep it elsewhere.")] = None,
    hook: Annotated[str | None, typer.Option(help="Address that the head is posted to, to be kept there.")] = None,
) -> Result:
    """Sign the newest row of the log, and take it where nobody here can change it."""
    from unsee.ledger import documents

    if out is None and hook is None:
        raise OptionError("a head that stays here pins nothing: give --out FILE or --hook ADDRESS, or both.")
    head = documents.head(held)
    if out is not None:
        documents.save_private(out, documents.as_file(head))
    if hook is not None:
        documents.post(head, hook)
    say(f"Signed row {head['seq']}: {', '.join(str(place) for place in (out, hook) if place)}")
    return head


@verb("letter", "r-0123 --out letter.txt", why=None)
def ledger_letter(held: "Ledger", record: Id, out: Out) -> Result:
    """Draft the answer from a template; after it was sent, 'answer' writes that down."""
    from unsee.ledger.export import letter

    request = held.request(record)
    letter(held, request, out)
    say(f"Wrote {out}. Read it, send it, and then: unsee ledger answer {request.id} --letter {out} --how ...")
    return {"request": request.id, "out": str(out)}


@verb("export", "--out export", why="export for the data-protection officer")
def ledger_export(
    held: "Ledger",
    by: "Decision",
    out: Out,
    record: Annotated[str, typer.Option(help="Only this one.")] = "",
    shape: Annotated[list[str] | None, typer.Option("--format", help="html, pdf or json; repeat.")] = None,
) -> Result:
    """Write what a data-protection officer needs, as a page, a PDF and JSON; the log notes that it was done."""
    from unsee.ledger.export import FORMATS, export

    files = export(held, out, by, record, tuple(shape or FORMATS))
    for path in files:
        say(f"Wrote {path}")
    return {"files": [str(path) for path in files]}


@ledger_app.command("serve")
def ledger_serve(
    ledger: Home,
    keys: KeyFolder,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8740,
    as_json: Json = False,
) -> None:
    """Serve signed snapshots of what is in force, and to requesters with a token how their request stands.

    Example: unsee ledger serve --ledger ledger --keys keys --port 8740
    """
    from unsee.ledger import Keys, Ledger
    from unsee.ledger.http import server

    with Ledger(ledger, Keys(keys, ledger)) as held:
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
