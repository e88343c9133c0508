"""Commands of `unsee ledger` that take one step of a request's life, made from the table of steps."""

import hashlib
from inspect import Parameter, signature
from pathlib import Path
from typing import Annotated, Any

import typer

from unsee.cli.console import finish, say
from unsee.cli.ledger_options import Home, Id, KeyFolder, RestsOn, Who, Why, opened, told
from unsee.cli.options import Json
from unsee.errors import DataError
from unsee.ledger.states import BRINGING, STEPS

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
REASONS = {"answer": "the answer was sent"}
"""What is written down where no reason is given; other steps need one."""


def add_step_commands(app: typer.Typer) -> None:
    """Put the steps' commands under `unsee ledger`."""
    for name in dict.fromkeys(step.name for step in STEPS if step.name not in BRINGING):
        means = next(step.means for step in STEPS if step.name == name)
        app.command(name, help=f"{means[0].upper()}{means[1:]}.")(_command(name, OPTIONS.get(name, {})))
    app.command("note")(ledger_note)
    app.command("adopt")(ledger_adopt)


def _command(name: str, options: dict[str, Any]) -> Any:
    def command(
        ledger: Home, keys: KeyFolder, record: Id, who: Who, why: Why, rests_on: RestsOn = "", as_json: Json = False,
        **given: Any,
    ) -> None:  # fmt: skip
        from unsee.ledger import Decision
        from unsee.ledger.capacity import warnings

        if "letter" in given:
            given["letter"] = _digest(given["letter"])
        with opened(ledger, keys) as held:
            request = held.take(name, record, Decision(who, why, rests_on), **{k: v for k, v in given.items() if v})
            found = warnings(held, request.id) if name == "activate" else []
        for warning in found:
            say(f"Warning: {warning}")
        told(request, as_json, {"warnings": found} if name == "activate" else None)

    known = [
        one.replace(default=REASONS[name]) if one.name == "why" and name in REASONS else one
        for one in list(signature(command).parameters.values())[:-1]
    ]
    more = [
        Parameter(
            option,
            Parameter.KEYWORD_ONLY,
            annotation=kind,
            default=None if kind.__origin__ == str | None else Parameter.empty,
        )
        for option, kind in options.items()
    ]
    command.__signature__ = signature(command).replace(parameters=[*known, *more])  # pyright: ignore[reportFunctionMemberAccess]
    return command


def _digest(letter: Path) -> str:
    try:
        return f"sha256:{hashlib.sha256(letter.read_bytes()).hexdigest()}"
    except OSError as error:
        raise DataError(f"cannot read what was sent, {letter}: {error.strerror}. Check the path.") from error


def ledger_note(
    ledger: Home,
    keys: KeyFolder,
    who: Who,
    why: Why,
    record: Annotated[str, typer.Argument(help="Id; none notes it of the ledger as a whole.")] = "",
    rests_on: RestsOn = "",
    clock_was_ahead: Annotated[bool, typer.Option(help="The newest row's clock ran ahead; go on from now.")] = False,
    as_json: Json = False,
) -> None:
    """Write into the log what was done outside: about training data, retrieval stores, logs and backups."""
    from unsee.ledger import Decision
    from unsee.ledger.log import CLOCK_AHEAD

    step = CLOCK_AHEAD if clock_was_ahead else "noted"
    with opened(ledger, keys) as held:
        row = held.note(step, Decision(who, why, rests_on), record or None)
    say(f"Noted as row {row.seq}")
    finish(as_json, {"record": row.record, "row": row.seq})


def ledger_adopt(ledger: Home, keys: KeyFolder, who: Who, why: Why, as_json: Json = False) -> None:
    """Go on from an older copy of the ledger, because the newer one is lost; the log says so."""
    from unsee.ledger import Decision, Keys
    from unsee.ledger.making import adopt

    row = adopt(ledger, Keys(keys, ledger), Decision(who, why))
    say(f"Adopted; rows up to {row.changes['seen']} had been seen, the log goes on with row {row.seq}.")
    finish(as_json, {"row": row.seq, **row.changes})
