"""What the commands of `unsee ledger` share: options, the ledger opened for them, who decides, and the last line."""

from collections.abc import Callable, Mapping
from inspect import Parameter, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unsee.cli.console import finish, say
from unsee.cli.options import Json

if TYPE_CHECKING:
    from unsee.ledger import Request

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

ledger_app = typer.Typer(help="Erasure requests from receipt to their end, logged and exported.")
Result = Mapping[str, Any] | tuple[Mapping[str, Any], bool]
"""What the last line holds, with False where the command ends with code 1."""


def verb(
    name: str,
    example: str,
    *,
    why: str | None = "",
    keys: bool = True,
    means: str = "",
    more: Mapping[str, Any] | None = None,
) -> Callable[..., Any]:
    """Put a function under `unsee ledger`: it is given `held`, the ledger, `by`, who decides, and its own options.

    Args:
        name: of the command.
        example: what to type behind it, ledger, keys and who decides being set in the environment.
        why: the reason where none is given; "" where one must be given, None where nothing is decided.
        keys: whether it needs them.
        means: help, in place of the function's own docstring.
        more: options beside the function's own.
    """

    def put(work: Callable[..., Result]) -> Callable[..., None]:
        def command(ledger: Path, keys: Path | None = None, as_json: bool = False, **given: Any) -> None:
            from unsee.ledger import Decision, Keys, Ledger

            if why is not None:
                given["by"] = Decision(given.pop("who"), given.pop("why"), given.pop("rests_on"))
            with Ledger(ledger, None if keys is None else Keys(keys, ledger)) as held:
                done = work(held, **given)
            result, good = done if isinstance(done, tuple) else (done, True)
            finish(as_json, result)
            if not good:
                raise typer.Exit(1)

        shared = [_option("ledger", Home), _option("keys", KeyFolder) if keys else _option("keys", MaybeKeys, None)]
        if why is not None:
            reason = _option("why", Why, why or Parameter.empty)
            shared += [_option("who", Who), reason, _option("rests_on", RestsOn, "")]
        own = [one for one in signature(work).parameters.values() if one.kind == Parameter.POSITIONAL_OR_KEYWORD]
        rest = [_option(one.name, one.annotation, one.default) for one in own if one.name not in ("held", "by")]
        for option, kind in (more or {}).items():  # only what may be left out is typed `str | None`
            rest.append(_option(option, kind, Parameter.empty if isinstance(kind.__origin__, type) else None))
        every = [*shared, *rest, _option("as_json", Json, False)]
        command.__signature__ = signature(command).replace(parameters=every)  # pyright: ignore[reportFunctionMemberAccess]
        command.__annotations__ = {}
        ledger_app.command(name, help=f"{means or work.__doc__}\n\nExample: unsee ledger {name} {example}".rstrip())(
            command
        )
        return command

    return put


def _option(name: str, kind: Any, default: Any = Parameter.empty) -> Parameter:
    return Parameter(name, Parameter.KEYWORD_ONLY, annotation=kind, default=default)


def told(request: "Request", **more: Any) -> dict[str, Any]:
    """Say where a request stands, and give what the last line holds."""
    answered = f"answered {request.answered}" if request.answered else f"answer due {request.due}"
    force = ", in force" if request.in_force else ""
    say(f"{request.id} is {request.state}{force}, {answered}")
    return {"request": request.as_json() | {"status": request.status}, **more}
