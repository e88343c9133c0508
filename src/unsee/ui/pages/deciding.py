"""A decision: what it will do, who takes it and why, and what it needs beside."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from nicegui import ui

from unsee.ledger import Decision
from unsee.ui.frame import guarded, heading

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
    with ui.dialog(value=True) as dialog, ui.card().style("width: min(92vw, 460px)").classes("stack"):
        heading(title)
        ui.label(means)
        given = more()
        who, why = who_and_why()

        async def go() -> None:
            async def taken() -> bool:
                await take(Decision(who.value or "", why.value or ""), given)
                return True

            button.set_enabled(False)
            done = await guarded(taken)
            button.set_enabled(True)
            if done:
                dialog.close()

        with ui.row():
            button = ui.button(verb, on_click=go)
            ui.button("Cancel", on_click=dialog.close).props("flat")
