"""Commands of `unsee ledger` that take one step of a request's life: who, why, and what the step needs beside."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from unsee.cli.console import finish, say
from unsee.cli.ledger_options import Home, Id, KeyFolder, RestsOn, Who, Why, opened, told
from unsee.cli.options import Json
from unsee.errors import DataError
from unsee.ledger.states import STEPS

PLAIN = ("supply", "accept", "extend", "appeal", "refit", "revoke", "expire", "panel", "resolve")
"""Steps that need nothing beside who and why."""


def add_step_commands(app: typer.Typer) -> None:
    """Put the steps' commands under `unsee ledger`."""
    for name in PLAIN:
        app.command(name, help=_help(name))(_plain(name))
    for name, command in (
        ("inquire", ledger_inquire),
        ("deny", ledger_deny),
        ("activate", ledger_activate),
        ("answer", ledger_answer),
        ("reproduce", ledger_reproduce),
    ):
        app.command(name, help=_help(name))(command)
    app.command("note")(ledger_note)
    app.command("compact")(ledger_compact)
    app.command("adopt")(ledger_adopt)


def _help(name: str) -> str:
    means = next(step.means for step in STEPS if step.name == name)
    return f"{means[0].upper()}{means[1:]}."


def _take(
    name: str, ledger: Path, keys: Path, record: str, by: tuple[str, str, str], as_json: bool, **given: str
) -> None:
    from unsee.ledger import Decision

    with opened(ledger, keys) as held:
        request = held.take(name, record, Decision(*by), **given)
    told(request, as_json)


def _plain(name: str) -> Callable[..., None]:
    def command(
        ledger: Home, keys: KeyFolder, record: Id, who: Who, why: Why, rests_on: RestsOn = "", as_json: Json = False
    ) -> None:
        _take(name, ledger, keys, record, (who, why, rests_on), as_json)

    return command


def ledger_inquire(
    ledger: Home,
    keys: KeyFolder,
    record: Id,
    who: Who,
    why: Why,
    wanted: Annotated[str, typer.Option("--for", help="identity or information.")],
    rests_on: RestsOn = "",
    as_json: Json = False,
) -> None:
    """Take the step; its help is the table's."""
    _take("inquire", ledger, keys, record, (who, why, rests_on), as_json, **{"for": wanted})


def ledger_deny(
    ledger: Home,
    keys: KeyFolder,
    record: Id,
    who: Who,
    why: Why,
    ground: Annotated[str, typer.Option(help="Code of the ground, one of the policy's.")],
    rests_on: RestsOn = "",
    as_json: Json = False,
) -> None:
    """Take the step; its help is the table's."""
    _take("deny", ledger, keys, record, (who, why, rests_on), as_json, ground=ground)


def ledger_activate(
    ledger: Home,
    keys: KeyFolder,
    record: Id,
    who: Who,
    why: Why,
    until: Annotated[str, typer.Option(help="Day on which it is to be looked at again.")] = "",
    rests_on: RestsOn = "",
    as_json: Json = False,
) -> None:
    """Take the step; its help is the table's."""
    from unsee.ledger import Decision
    from unsee.ledger.capacity import certified

    with opened(ledger, keys) as held:
        request = held.take("activate", record, Decision(who, why, rests_on), until=until)
        active = held.active()
        number, said = certified(held, active), held.history(request.id)[-1].said
        warnings = []
        if said["beside"] != said["verified_beside"]:
            warnings.append(
                f"it was verified beside {said['verified_beside']} other active request(s) and acts beside "
                f"{said['beside']}: what they do together was not measured. Verify it again if they are near."
            )
        if isinstance(number, str) or len(active.requests) > number:
            warnings.append(
                f"{len(active.requests)} request(s) are in force; how many this model holds is "
                f"{number if isinstance(number, str) else f'certified up to {number}'}."
            )
        alone = [r.id for r in active.requests if not r.shares_threshold]
        if len(active.requests) > 1 and alone:
            warnings.append(f"thresholds of {', '.join(alone)} cannot be set together with the others; fit them anew.")
    for warning in warnings:
        say(f"Warning: {warning}")
    told(request, as_json, {"active_set": active.digest, "warnings": warnings})


def ledger_answer(
    ledger: Home,
    keys: KeyFolder,
    record: Id,
    who: Who,
    how: Annotated[str, typer.Option(help="How it was sent.")],
    letter: Annotated[Path, typer.Option(help="What was sent; the log keeps its SHA-256.")],
    why: Why = "the answer was sent",
    sent: Annotated[str, typer.Option(help="Day, as 2026-05-31; default: today.")] = "",
    rests_on: RestsOn = "",
    as_json: Json = False,
) -> None:
    """Take the step; its help is the table's."""
    try:
        digest = f"sha256:{hashlib.sha256(letter.read_bytes()).hexdigest()}"
    except OSError as error:
        raise DataError(f"cannot read what was sent, {letter}: {error.strerror}. Check the path.") from error
    _take("answer", ledger, keys, record, (who, why, rests_on), as_json, how=how, letter=digest, sent=sent)


def ledger_reproduce(
    ledger: Home,
    keys: KeyFolder,
    record: Id,
    who: Who,
    why: Why,
    of: Annotated[str, typer.Option(help="Id of the request that causes it; 'ask' shows which one fires.")],
    rests_on: RestsOn = "",
    as_json: Json = False,
) -> None:
    """Take the step; its help is the table's."""
    _take("reproduce", ledger, keys, record, (who, why, rests_on), as_json, of=of)


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

    with opened(ledger, keys) as held:
        row = held.note(
            CLOCK_AHEAD if clock_was_ahead else "noted", Decision(who, why, rests_on), record=record or None
        )
    say(f"Noted as row {row.seq}")
    finish(as_json, {"record": row.record, "row": row.seq})


def ledger_compact(
    ledger: Home, keys: KeyFolder, who: Who, why: Why = "retention has passed", as_json: Json = False
) -> None:
    """Delete erasers that nothing holds any more, past their retention; the log stays."""
    from unsee.ledger import Decision
    from unsee.ledger.holding import compact

    with opened(ledger, keys) as held:
        purged, freed = compact(held, Decision(who, why))
    say(f"Deleted {len(purged)} eraser(s), {freed} bytes")
    finish(as_json, {"purged": purged, "bytes": freed})


def ledger_adopt(ledger: Home, keys: KeyFolder, who: Who, why: Why, as_json: Json = False) -> None:
    """Go on from an older copy of the ledger, because the newer one is lost; the log says so."""
    from unsee.ledger import Decision, Keys
    from unsee.ledger.making import adopt

    row = adopt(ledger, Keys(keys, ledger), Decision(who, why))
    say(f"Adopted; rows up to {row.said['seen']} had been seen, the log goes on with row {row.seq}.")
    finish(as_json, {"row": row.seq, **row.said})
