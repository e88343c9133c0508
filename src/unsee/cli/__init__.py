"""The command line: one file a verb. Heavy imports happen inside commands, so that `--help` is instant."""

import sys
from typing import Annotated

import typer

from unsee import __version__
from unsee.cli.ask import ask
from unsee.cli.attack import attack
from unsee.cli.capacity import capacity
from unsee.cli.console import complain
from unsee.cli.demo import demo
from unsee.cli.erase import erase
from unsee.cli.evaluate import eval_app
from unsee.cli.forget import forget
from unsee.cli.ledger import ledger_app
from unsee.cli.models import models_app
from unsee.cli.profile import profile
from unsee.cli.serve import PASS_ON, serve
from unsee.cli.show import show
from unsee.cli.sweep import sweep
from unsee.cli.table import table
from unsee.cli.train import train
from unsee.cli.ui import ui
from unsee.cli.world import world_app
from unsee.errors import UnseeError

INTERRUPTED = 130
"""Exit code of a command that was stopped with Ctrl-C."""

app = typer.Typer(
    name="unsee",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Make a vision-language model unsee: erase people, facts and content at test time, one request at a time.",
)
for command in (demo, forget, profile, erase, ask, show, ui, train, sweep, table, attack, capacity):
    app.command()(command)
app.command(context_settings=PASS_ON)(serve)
app.add_typer(eval_app)
app.add_typer(world_app, name="world")
app.add_typer(models_app, name="models")
app.add_typer(ledger_app, name="ledger")


def main() -> None:
    """Run a command; an error that the user can fix is printed without traceback and exits with 2."""
    try:
        app()
    except UnseeError as error:
        complain(error)
        sys.exit(2)
    except SystemExit as stopped:
        if stopped.code == INTERRUPTED:
            print("Stopped. What was finished is kept; run the same command again to go on.", file=sys.stderr)
        raise


@app.callback(invoke_without_command=True)
def version(show: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Print the version, or go on to the command."""
    if show:
        typer.echo(__version__)
        raise typer.Exit
