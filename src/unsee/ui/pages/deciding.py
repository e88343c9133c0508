"""A decision: what it will do, who takes it and why, and what it needs beside."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from nicegui import ui

from unsee.errors import UnseeError
from unsee.ledger import Decision
from unsee.ui.frame import failure, heading

T = TypeVar("T")


def who_and_why() -> tuple[ui.input, ui.input]:
    """Fields of every decision."""
    who = ui.input("Who decides").props("outlined autocomplete=off").classes("w-full")
    return who, ui.input("Why, without names").props("outlined autocomplete=off").classes("w-full")


def receipt(token: str) -> None:
    """What only the sender of a new request is given; empty for one that was known."""
    if token:
        ui.label("For the requester alone, and shown only now, the token that opens the status of the request:")
        with ui.element("code").classes("command"):
            ui.label(token)


def confirmation(
    title: str, verb: str, means: str, more: Callable[[], T], take: Callable[[Decision, T], Awaitable[object]]
) -> None:
    """Ask before it is done; an error is shown and the dialog stays.

    Args:
        title: of the dialog.
        verb: on the button.
        means: what will happen, in plain words.
        more: draws what is needed beside who and why, and gives it to `take`.
        take: does it.
    """
    # Of the page, not of the part of it that the decision will draw again.
    with (
        ui.context.client,
        ui.dialog(value=True) as dialog,
        ui.card().style("width: min(92vw, 460px)").classes("stack"),
    ):
        dialog.on("hide", dialog.delete)
        heading(title)
        ui.label(means)
        given = more()
        who, why = who_and_why()
        wrong = ui.element("div").classes("w-full")

        async def go() -> None:
            button.set_enabled(False)
            wrong.clear()
            try:
                await take(Decision(who.value or "", why.value or ""), given)
                dialog.close()
            except UnseeError as error:
                with wrong:
                    failure(str(error))
            finally:
                button.set_enabled(True)

        with ui.row():
            button = ui.button(verb, on_click=go)
            ui.button("Cancel", on_click=dialog.close).props("flat")
