"""`unsee ledger`: erasure requests from receipt to their end, with a log that can be checked and exported."""

import os
from pathlib import Path

import typer

from unsee.cli import ledger_desk, ledger_looking, ledger_model, ledger_papers
from unsee.cli.console import say
from unsee.cli.ledger_verbs import ledger_app

__all__ = ["ledger_app", "ledger_desk", "ledger_model", "ledger_papers"]


@ledger_app.callback(invoke_without_command=True)
def ledger_itself(context: typer.Context) -> None:
    """Erasure requests from receipt to their end, logged and exported; alone, the board of UNSEE_LEDGER.

    Examples expect UNSEE_LEDGER, UNSEE_LEDGER_KEYS and UNSEE_WHO to be set; --ledger, --keys and --who say the same.
    """
    if context.invoked_subcommand is None:
        if "UNSEE_LEDGER" in os.environ:
            ledger_looking.ledger_list(ledger=Path(os.environ["UNSEE_LEDGER"]))
        else:
            say(context.get_help())
