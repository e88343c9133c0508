"""What the commands of `unsee ledger` share: options, opening, and the last line."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unsee.cli.console import finish, say

if TYPE_CHECKING:
    from unsee.ledger import Ledger, Request

Home = Annotated[Path, typer.Option("--ledger", envvar="UNSEE_LEDGER", help="Folder of the ledger.")]
KeyFolder = Annotated[
    Path, typer.Option("--keys", envvar="UNSEE_LEDGER_KEYS", help="Folder of its keys, kept where the ledger is not.")
]
MaybeKeys = Annotated[Path | None, typer.Option("--keys", envvar="UNSEE_LEDGER_KEYS", help="Folder of the keys.")]
Id = Annotated[str, typer.Argument(help="Id of a request or complaint, or its beginning.")]
Who = Annotated[str, typer.Option(envvar="UNSEE_WHO", help="Who decides: a person or a role.")]
Why = Annotated[str, typer.Option(help="The reason, in a sentence; never the name of whom it is about.")]
Out = Annotated[Path, typer.Option("--out", help="Where to write; nothing is overwritten.")]
RestsOn = Annotated[str, typer.Option(help="What the reason rests on: a letter, a law, a measurement.")]


def opened(ledger: Path, keys: Path | None) -> "Ledger":
    """The ledger, to write where there are keys."""
    from unsee.ledger import Keys, Ledger

    return Ledger(ledger, None if keys is None else Keys(keys, ledger))


def told(request: "Request", as_json: bool, more: dict[str, Any] | None = None) -> None:
    """Say where a request stands, and end with its JSON."""
    answered = f"answered {request.answered}" if request.answered else f"answer due {request.due}"
    force = ", in force" if request.in_force else ""
    say(f"{request.id} is {request.state}{force}, {answered}")
    finish(as_json, {"request": request.as_json() | {"status": request.status}, **(more or {})})
