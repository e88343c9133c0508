"""Commands of `unsee ledger` that receive and decide; those of steps are made from the table of steps."""

import hashlib
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unsee.cli.console import finish, say, stages_shown
from unsee.cli.ledger_verbs import Home, Id, KeyFolder, Out, Result, Who, Why, ledger_app, told, verb
from unsee.cli.options import Json
from unsee.errors import DataError, OptionError
from unsee.ledger.states import BRINGING, STEPS

if TYPE_CHECKING:
    from unsee.ledger import Decision, Ledger

Names = Annotated[list[str] | None, typer.Option("--name", help="Name, then aliases; repeat. '-' reads from input.")]
Images = Annotated[list[Path] | None, typer.Option("--image", help="Image of the person; repeat.")]
Basis = Annotated[str, typer.Option(help="On what legal ground it is asked for.")]
Scope = Annotated[str, typer.Option(help="What is to be unseen, and where.")]
OPTIONS: dict[str, dict[str, Any]] = {
    "inquire": {"wanted": Annotated[str, typer.Option("--for", help="identity or information.")]},
    "deny": {"ground": Annotated[str, typer.Option("--ground", help="Code of the ground, one of the policy's.")]},
    "answer": {
        "how": Annotated[str, typer.Option("--how", help="How it was sent.")],
        "letter": Annotated[Path, typer.Option("--letter", help="What was sent; the log keeps its SHA-256.")],
        "sent": Annotated[str | None, typer.Option("--sent", help="Day, as 2026-05-31; default: today.")],
    },
    "extend": {"how": Annotated[str | None, typer.Option("--how", help="How the requester was told of it, and why.")]},
    "activate": {"until": Annotated[str | None, typer.Option("--until", help="Day to look at it again.")]},
    "reproduce": {"of": Annotated[str, typer.Option("--of", help="The request that causes it; 'ask' shows which.")]},
}
"""What a step needs beside who, why and what that rests on."""
_NEEDED = {
    "inquire": "--for identity",
    "deny": "--ground not-known",
    "answer": '--how "by post" --letter letter.txt',
    "extend": '--how "letter of 11 May"',
    "activate": "--until 2026-12-31",
    "reproduce": "--of r-4567",
}
"""The same in an example."""


@ledger_app.command("init")
def ledger_init(
    ledger: Home,
    keys: KeyFolder,
    who: Who,
    why: Why = "a ledger is begun",
    database: Annotated[str, typer.Option(help="postgresql+psycopg://USER@HOST/NAME; default: a file.")] = "",
    as_json: Json = False,
) -> None:
    """Make a ledger, and its keys in another place.

    Example: unsee ledger init --ledger ledger --keys keys --who "privacy desk"
    """
    from unsee.ledger import Decision, Keys, create

    with create(ledger, Keys.make(keys, ledger), Decision(who, why), url=database) as made:
        say(f"Made the ledger {ledger}; its policy is {ledger / 'policy.toml'}.")
        say(f"Keys are in {keys}: back them up, and let nobody have them together with the ledger.")
        say(f"Public key, to give away: {made.public_key}")
        finish(as_json, {"ledger": str(ledger), "id": made.id, "public_key": made.public_key})


@verb("add", '--name "Jane Doe" --image face.png --why "letter received"')
def ledger_add(
    held: "Ledger",
    by: "Decision",
    name: Names = None,
    legal_basis: Basis = "",
    scope: Scope = "",
    image: Images = None,
    contact: Annotated[str, typer.Option(help="Where the answer goes; into the vault.")] = "",
    received: Annotated[str, typer.Option(help="Day of receipt, as 2026-05-31; default: today.")] = "",
    reference: Annotated[str, typer.Option(help="What the sender calls it; it is taken in once.")] = "",
    receipt: Annotated[Path | None, typer.Option(help="Write a signed receipt for the requester here.")] = None,
    complaint: Annotated[bool, typer.Option("--complaint", help="Somebody else is harmed, as a namesake.")] = False,
) -> Result:
    """Receive a request or a complaint; names and images go encrypted into the vault, the log gets a pseudonym."""
    from unsee.ledger import Person, documents
    from unsee.ledger.holding import add
    from unsee.ledger.vault import read_images

    person = Person.of(names=tuple(_typed(name or ())), contact=contact, images=read_images(image or ()))
    if receipt is not None and receipt.exists():
        raise OptionError(f"{receipt} is there already, and nothing is overwritten. Name another file.")
    got = add(
        held, person, by, legal_basis=legal_basis, scope=scope, received=received, reference=reference,
        complaint=complaint,
    )  # fmt: skip
    if receipt is not None and got.token:
        documents.save_private(receipt, documents.as_file(documents.receipt(held, got)))
    others = [r.id for r in held.requests(subject=got.request.subject) if r.id != got.request.id and not r.ended]
    if not got.token:
        say(f"Known already: {got.request.id}; nothing was changed.")
    if others:
        say(f"This person has {len(others)} other open record(s): {', '.join(others)}")
    return told(got.request, token=got.token, others=others)


@verb("amend", 'r-0123 --name "J. Doe" --why "letter of 3 May"')
def ledger_amend(held: "Ledger", by: "Decision", record: Id, name: Names = None, image: Images = None) -> Result:
    """Add names or images that came later; what was fitted without them is to be fitted again."""
    from unsee.ledger import Person
    from unsee.ledger.holding import amend
    from unsee.ledger.vault import read_images

    images, known = read_images(image or ()), held.person(record)
    names = (*(known.names[:1] if known else ()), *_typed(name or ()))
    return told(amend(held, record, Person.of(names=names, images=images), by))


def _typed(names: Sequence[str]) -> list[str]:
    return [line for one in names for line in (sys.stdin.read().splitlines() if one == "-" else [one])]


@verb(
    "import", 'requests.csv --legal-basis "GDPR Art. 17" --scope "all learnt facts" --why "a batch" --out taken.jsonl'
)
def ledger_import(
    held: "Ledger",
    by: "Decision",
    file: Annotated[Path, typer.Argument(help="CSV table, OpenDSR JSON, or hashes one a line.")],
    legal_basis: Basis,
    scope: Scope,
    out: Out,
    shape: Annotated[str, typer.Option("--format", help="csv, opendsr or hashed.")] = "csv",
    roster: Annotated[Path | None, typer.Option(help="Names the model may know, to find hashes in.")] = None,
) -> Result:
    """Receive many requests; a wrong row is told and the others come in, and a file sent again changes nothing."""
    from unsee.ledger import intake
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
    rows, counts = readers[shape](), Counter[str]()
    save_private(out, b"")
    with stages_shown() as stages, out.open("wb") as file_out:
        tell = stages("receiving", len(rows))
        for outcome in intake.take_in(held, rows, by, legal_basis, scope, tell):
            file_out.write(canonical(outcome._asdict()) + b"\n")
            file_out.flush()
            counts[outcome.status] += 1
            if outcome.error:
                say(f"row {outcome.number}: {outcome.error}")
    say(", ".join(f"{count} {status}" for status, count in counts.items()) or "no rows")
    say(f"Wrote {out}, with the tokens of those received: it is for their sender only.")
    return {"out": str(out), **counts}, not counts["failed"]


@verb("note", 'r-0123 --why "removed from the training data"')
def ledger_note(
    held: "Ledger",
    by: "Decision",
    record: Annotated[str, typer.Argument(help="Id; none notes it of the ledger as a whole.")] = "",
    clock_was_ahead: Annotated[
        bool, typer.Option("--clock-was-ahead", help="The newest row's clock ran ahead; go on from now.")
    ] = False,
) -> Result:
    """Write into the log what was done outside: about training data, retrieval stores, logs and backups."""
    from unsee.ledger.log import CLOCK_AHEAD

    row = held.note(CLOCK_AHEAD if clock_was_ahead else "noted", by, record or None)
    say(f"Noted as row {row.seq}")
    return {"record": row.record, "row": row.seq}


@ledger_app.command("adopt")
def ledger_adopt(ledger: Home, keys: KeyFolder, who: Who, why: Why, as_json: Json = False) -> None:
    """Go on from an older copy of the ledger, because the newer one is lost; the log says so.

    Example: unsee ledger adopt --ledger ledger --keys keys --who "privacy desk" --why "the disk was lost"
    """
    from unsee.ledger import Decision, Keys
    from unsee.ledger.making import adopt

    row = adopt(ledger, Keys(keys, ledger), Decision(who, why))
    say(f"Adopted; rows up to {row.changes['seen']} had been seen, the log goes on with row {row.seq}.")
    finish(as_json, {"row": row.seq, **row.changes})


def _digest(letter: Path) -> str:
    try:
        return f"sha256:{hashlib.sha256(letter.read_bytes()).hexdigest()}"
    except OSError as error:
        raise DataError(f"cannot read what was sent, {letter}: {error.strerror}. Check the path.") from error


def _step(name: str, means: str, why: str) -> None:
    """Put one step of the table under `unsee ledger`."""

    def step(held: "Ledger", by: "Decision", record: Id, **given: Any) -> Result:
        from unsee.ledger.capacity import warnings

        if "letter" in given:
            given["letter"] = _digest(given["letter"])
        request = held.take(name, record, by, **{option: value for option, value in given.items() if value})
        found = warnings(held, request.id) if name == "activate" else []
        for warning in found:
            say(f"Warning: {warning}")
        return told(request, **({"warnings": found} if name == "activate" else {}))

    reason = "" if why else '--why "as the letter of 3 May shows"'
    example = " ".join(part for part in ("r-0123", _NEEDED.get(name), reason) if part)
    verb(name, example, why=why, means=f"{means[0].upper()}{means[1:]}.", more=OPTIONS.get(name))(step)


for one in reversed({one.name: one for one in reversed(STEPS) if one.name not in BRINGING}.values()):
    _step(one.name, one.means, "the answer was sent" if one.name == "answer" else "")
