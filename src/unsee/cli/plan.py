"""`unsee profile --plan`: what a fit would take, before anything is loaded."""

from dataclasses import asdict

from rich.table import Table

from unsee.cli.console import finish, show_table
from unsee.cli.options import Parts


def print_plan(model: str, parts: Parts, prompts: int, as_json: bool) -> None:
    """Print an estimate for so many prompts.

    Raises:
        ModelError: the model has no readable config.json, or its family is not served.
    """
    from unsee.models.plan import TOKENS, plan

    made = plan(model, prompts, adapter=parts.adapter())
    table = Table(
        show_header=False, title=f"{model}, {prompts} prompts of about {TOKENS} tokens; within a factor of two"
    )
    free = "unknown" if made.available_mib is None else f"{made.available_mib} MiB"
    seconds = "not estimated on a GPU" if made.seconds is None else f"{made.seconds:.0f} s on this CPU for one reading"
    table.add_row("parameters", f"{made.parameters / 1e6:.1f} million, {made.weights_mib} MiB as stored")
    table.add_row("states kept", f"{made.states_mib} MiB")
    table.add_row("memory", f"{made.needed_mib} MiB needed, {free} free{'' if made.fits else ': too little'}")
    table.add_row("time", seconds)
    show_table(table)
    finish(as_json, asdict(made) | {"fits": made.fits})
