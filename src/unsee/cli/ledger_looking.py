"""Commands of `unsee ledger` that look: the board, what is due, one record, and whether all is what was written."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from unsee.cli.console import say, show_table
from unsee.cli.ledger_verbs import Id, Result, verb
from unsee.errors import OptionError
from unsee.ledger.states import ENDED, State

if TYPE_CHECKING:
    from unsee.ledger import Ledger


@verb("list", "--state received", why=None, keys=False)
def ledger_list(
    held: "Ledger",
    state: Annotated[list[str] | None, typer.Option(help="Only in this state; repeat.")] = None,
    name: Annotated[str, typer.Option(help="Only about this person; needs --keys.")] = "",
) -> Result:
    """The board: requests by state and due date, and what is in force."""
    for one in state or ():
        if one not in list(State):
            raise OptionError(f"state is {one!r}, expected one of {[str(s) for s in State]}")
    found = held.requests(state, held.keys.pseudonym(name) if name else None)
    active, today, table = held.active(), held.today, Table("state", "due", "answered?")
    table.add_column("record", no_wrap=True, min_width=18)
    table.add_column("in force")
    for r in sorted(found, key=lambda r: (r.state in ENDED, list(State).index(r.state), r.due)):
        table.add_row(r.state, str(r.due), r.punctual(today), r.id, "yes" if r.in_force else "")
    show_table(table)
    say(f"in force: {len(active.requests)}, {active.digest}")
    return {"requests": [r.as_json() for r in found], "active_set": active.digest}


@verb("due", "--within 14", why=None, keys=False)
def ledger_due(
    held: "Ledger",
    within: Annotated[int | None, typer.Option(min=0, max=36_500, help="Days ahead; default: the policy's.")] = None,
) -> Result:
    """What must be done soon: answers that are due, terms that end, files that can be closed; code 1 if overdue."""
    from unsee.ledger.reminders import reminders

    found, table = reminders(held.requests(), held.policy.deadlines, held.today, within), Table("by")
    table.add_column("record", no_wrap=True, min_width=18)
    table.add_column("what")
    for one in found:
        table.add_row(str(one.by), one.record, one.what)
    show_table(table)
    late = sum(one.overdue for one in found)
    say(f"{len(found)} to do, {late} overdue")
    return {"due": [one._asdict() | {"by": one.by.isoformat()} for one in found]}, not late


@verb("show", "r-0123", why=None, keys=False)
def ledger_show(held: "Ledger", record: Id) -> Result:
    """One record: where it stands, what was done to it, and what is allowed next."""
    from unsee.ledger import dossier
    from unsee.ledger.states import allowed

    request = held.request(record)
    one, table = dossier.told(request, held.history(request.id), held.today), Table("row", "day", "what", "who", "why")
    say(f"{request.id}: {one['headline']}")
    for step in one["history"]:
        table.add_row(str(step["seq"]), step["day"], step["what"], step["who"], step["why"])
    show_table(table)
    for step in allowed(request):
        say(f"  {step.name:<10} {step.means}")
    return one | {"allowed": [step.name for step in allowed(request)]}


@verb("check", "--head head.json", why=None, keys=False)
def ledger_check(
    held: "Ledger",
    head: Annotated[Path | None, typer.Option(help="A signed head that was kept elsewhere.")] = None,
    public_key: Annotated[str, typer.Option(help="Key to verify it with; default: the ledger's own.")] = "",
) -> Result:
    """Check log, tables, files, vault and a signed head; code 1 where something is not what was written."""
    from unsee.ledger.documents import read_signed, require_head
    from unsee.ledger.examination import examine

    pinned = require_head(held, read_signed(head), public_key or held.public_key) if head else None
    found, last = examine(held), held.head()
    for text in found:
        say(text)
    say(f"{last.seq} rows, newest {last.hash[:16]}...{f', pinned up to row {pinned}' if pinned else ''}")
    result = {"rows": last.seq, "head": last.hash, "pinned": pinned, "remarks": found}
    return result, not found
