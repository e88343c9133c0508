"""`unsee ledger`: erasure requests from receipt to their end, with a log that can be checked and exported."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from unsee.cli.console import finish, say, show_table, stages_shown
from unsee.cli.ledger_model import add_model_commands
from unsee.cli.ledger_options import Home, Id, KeyFolder, MaybeKeys, Out, RestsOn, Who, Why, opened, told
from unsee.cli.ledger_papers import add_paper_commands
from unsee.cli.ledger_steps import add_step_commands
from unsee.cli.options import Json
from unsee.errors import OptionError
from unsee.ledger.states import ENDED, State

ledger_app = typer.Typer(help="Erasure requests from receipt to their end, logged and exported.")

Basis = Annotated[str, typer.Option(help="On what legal ground it is asked for.")]
Scope = Annotated[str, typer.Option(help="What is to be unseen, and where.")]
Name = Annotated[list[str], typer.Option("--name", help="Name, then aliases; repeat. '-' reads lines from input.")]

MoreNames = Annotated[list[str] | None, typer.Option("--name", help="Another name; repeat. '-' reads from input.")]
Images = Annotated[list[Path] | None, typer.Option("--image", help="Image of the person; repeat.")]


@ledger_app.callback(invoke_without_command=True)
def ledger_itself(context: typer.Context) -> None:
    """Erasure requests from receipt to their end, logged and exported; alone, the board of UNSEE_LEDGER."""
    if context.invoked_subcommand is None:
        if "UNSEE_LEDGER" in os.environ:
            ledger_list(Path(os.environ["UNSEE_LEDGER"]))
        else:
            say(context.get_help())


@ledger_app.command("init")
def ledger_init(
    ledger: Home,
    keys: KeyFolder,
    who: Who,
    why: Why = "a ledger is begun",
    database: Annotated[str, typer.Option(help="postgresql+psycopg://USER@HOST/NAME; default: a file.")] = "",
    as_json: Json = False,
) -> None:
    """Make a ledger, and its keys in another place."""
    from unsee.ledger import Decision, Keys, create

    with create(ledger, Keys.make(keys, ledger), Decision(who, why), url=database) as made:
        say(f"Made the ledger {ledger}; its policy is {ledger / 'policy.toml'}.")
        say(f"Keys are in {keys}: back them up, and let nobody have them together with the ledger.")
        say(f"Public key, to give away: {made.public_key}")
        finish(as_json, {"ledger": str(ledger), "id": made.id, "public_key": made.public_key})


@ledger_app.command("add")
def ledger_add(
    ledger: Home,
    keys: KeyFolder,
    who: Who,
    why: Why,
    name: Name,
    legal_basis: Basis = "",
    scope: Scope = "",
    image: Images = None,
    contact: Annotated[str, typer.Option(help="Where the answer goes; into the vault.")] = "",
    received: Annotated[str, typer.Option(help="Day of receipt, as 2026-05-31; default: today.")] = "",
    reference: Annotated[str, typer.Option(help="What the sender calls it; it is taken in once.")] = "",
    receipt: Annotated[Path | None, typer.Option(help="Write a signed receipt for the requester here.")] = None,
    rests_on: RestsOn = "",
    complaint: Annotated[bool, typer.Option("--complaint", help="Somebody else is harmed, as a namesake.")] = False,
    as_json: Json = False,
) -> None:
    """Receive a request or a complaint; names and images go encrypted into the vault, the log gets a pseudonym."""
    from unsee.ledger import Decision, Person, documents
    from unsee.ledger.holding import add
    from unsee.ledger.vault import read_images

    person = Person.of(names=tuple(_typed(name)), contact=contact, images=read_images(image or ()))
    if receipt is not None and receipt.exists():
        raise OptionError(f"{receipt} is there already, and nothing is overwritten. Name another file.")
    with opened(ledger, keys) as held:
        got = add(
            held, person, Decision(who, why, rests_on), legal_basis=legal_basis, scope=scope, received=received,
            reference=reference, complaint=complaint,
        )  # fmt: skip
        if receipt is not None and got.token:
            documents.save_private(receipt, documents.as_file(documents.receipt(held, got)))
        others = [r.id for r in held.requests(subject=got.request.subject) if r.id != got.request.id and not r.ended]
    if not got.token:
        say(f"Known already: {got.request.id}; nothing was changed.")
    if others:
        say(f"This person has {len(others)} other open record(s): {', '.join(others)}")
    told(got.request, as_json, {"token": got.token, "others": others})


@ledger_app.command("amend")
def ledger_amend(
    ledger: Home,
    keys: KeyFolder,
    record: Id,
    who: Who,
    why: Why,
    name: MoreNames = None,
    image: Images = None,
    rests_on: RestsOn = "",
    as_json: Json = False,
) -> None:
    """Add names or images that came later; what was fitted without them is to be fitted again."""
    from unsee.ledger import Decision, Person
    from unsee.ledger.holding import amend
    from unsee.ledger.vault import read_images

    images = read_images(image or ())
    with opened(ledger, keys) as held:
        known = held.person(record)
        names = (*(known.names[:1] if known else ()), *_typed(name or ()))
        told(amend(held, record, Person.of(names=names, images=images), Decision(who, why, rests_on)), as_json)


def _typed(names: Sequence[str]) -> list[str]:
    return [line for one in names for line in (sys.stdin.read().splitlines() if one == "-" else [one])]


@ledger_app.command("import")
def ledger_import(
    file: Annotated[Path, typer.Argument(help="CSV table, OpenDSR JSON, or hashes one a line.")],
    ledger: Home,
    keys: KeyFolder,
    who: Who,
    why: Why,
    legal_basis: Basis,
    scope: Scope,
    out: Out,
    shape: Annotated[str, typer.Option("--format", help="csv, opendsr or hashed.")] = "csv",
    roster: Annotated[Path | None, typer.Option(help="Names the model may know, to find hashes in.")] = None,
    as_json: Json = False,
) -> None:
    """Receive many requests; a wrong row is told and the others come in, and a file sent again changes nothing."""
    from collections import Counter

    from unsee.ledger import Decision, intake
    from unsee.ledger.canonical import canonical
    from unsee.ledger.documents import save_private

    names = intake.roster_of(roster)
    readers = {
        "csv": lambda: intake.read_csv(file),
        "opendsr": lambda: intake.read_opendsr(file, names),
        "hashed": lambda: intake.read_hashed(file, names),
    }
    if shape not in readers:
        raise OptionError(f"the format is {shape!r}, expected one of {list(readers)}")
    rows = readers[shape]()
    save_private(out, b"")
    with opened(ledger, keys) as held, stages_shown() as stages, out.open("w", encoding="ascii") as file_out:
        counts = Counter[str]()
        tell = stages("receiving", len(rows))
        for outcome in intake.take_in(held, rows, Decision(who, why), legal_basis, scope, tell):
            file_out.write(canonical(outcome._asdict()).decode() + "\n")
            file_out.flush()
            counts[outcome.status] += 1
            if outcome.error:
                say(f"row {outcome.number}: {outcome.error}")
    say(", ".join(f"{count} {status}" for status, count in counts.items()) or "no rows")
    say(f"Wrote {out}, with the tokens of those received: it is for their sender only.")
    finish(as_json, {"out": str(out), **counts})
    if counts["failed"]:
        raise typer.Exit(1)


@ledger_app.command("list")
def ledger_list(
    ledger: Home,
    state: Annotated[list[str] | None, typer.Option(help="Only in this state; repeat.")] = None,
    name: Annotated[str, typer.Option(help="Only about this person; needs --keys.")] = "",
    keys: MaybeKeys = None,
    as_json: Json = False,
) -> None:
    """The board: requests by state and due date, and what is in force."""
    for one in state or ():
        if one not in list(State):
            raise OptionError(f"state is {one!r}, expected one of {[str(s) for s in State]}")
    with opened(ledger, keys if name else None) as held:
        found = held.requests(state, held.keys.pseudonym(name) if name else None)
        active, today = held.active(), held.today
    table = Table("state", "due", "answered?")
    table.add_column("record", no_wrap=True, min_width=18)
    table.add_column("in force")
    for r in sorted(found, key=lambda r: (r.state in ENDED, list(State).index(r.state), r.due)):
        table.add_row(r.state, str(r.due), r.punctual(today), r.id, "yes" if r.in_force else "")
    show_table(table)
    say(f"in force: {len(active.requests)}, {active.digest}")
    finish(as_json, {"requests": [r.as_json() for r in found], "active_set": active.digest})


@ledger_app.command("due")
def ledger_due(
    ledger: Home,
    within: Annotated[int | None, typer.Option(min=0, max=36_500, help="Days ahead; default: the policy's.")] = None,
    as_json: Json = False,
) -> None:
    """What must be done soon: answers that are due, terms that end, files that can be closed; code 1 if overdue."""
    from unsee.ledger.reminders import reminders

    with opened(ledger, None) as held:
        found = reminders(held.requests(), held.policy.deadlines, held.today, within)
    table = Table("by")
    table.add_column("record", no_wrap=True, min_width=18)
    table.add_column("what")
    for one in found:
        table.add_row(str(one.by), one.record, one.what)
    show_table(table)
    late = sum(one.overdue for one in found)
    say(f"{len(found)} to do, {late} overdue")
    finish(as_json, {"due": [one._asdict() | {"by": one.by.isoformat()} for one in found]})
    if late:
        raise typer.Exit(1)


@ledger_app.command("show")
def ledger_show(ledger: Home, record: Id, as_json: Json = False) -> None:
    """One record: where it stands, what was done to it, and what is allowed next."""
    from unsee.ledger.dossier import told
    from unsee.ledger.states import allowed

    with opened(ledger, None) as held:
        request = held.request(record)
        one = told(request, held.history(request.id), held.today)
    say(f"{request.id}: {one['headline']}")
    table = Table("row", "day", "what", "who", "why")
    for step in one["history"]:
        table.add_row(str(step["seq"]), step["day"], step["what"], step["who"], step["why"])
    show_table(table)
    for step in allowed(request):
        say(f"  {step.name:<10} {step.means}")
    finish(as_json, one | {"allowed": [step.name for step in allowed(request)]})


@ledger_app.command("check")
def ledger_check(
    ledger: Home,
    head: Annotated[Path | None, typer.Option(help="A signed head that was kept elsewhere.")] = None,
    public_key: Annotated[str, typer.Option(help="Key to verify it with; default: the ledger's own.")] = "",
    keys: MaybeKeys = None,
    as_json: Json = False,
) -> None:
    """Check log, tables, files, vault and a signed head; code 1 where something is not what was written."""
    from unsee.ledger.documents import read_signed, require_head
    from unsee.ledger.examination import examine

    with opened(ledger, keys) as held:
        pinned = require_head(held, read_signed(head), public_key or held.public_key) if head else None
        found, last = examine(held), held.head()
    for severity, text in found:
        say(f"{severity}: {text}")
    say(f"{last.seq} rows, newest {last.hash[:16]}...{f', pinned up to row {pinned}' if pinned else ''}")
    finish(as_json, {"rows": last.seq, "head": last.hash, "pinned": pinned, "remarks": [list(r) for r in found]})
    if any(severity == "fail" for severity, _ in found):
        raise typer.Exit(1)


add_step_commands(ledger_app)
add_model_commands(ledger_app)
add_paper_commands(ledger_app)
