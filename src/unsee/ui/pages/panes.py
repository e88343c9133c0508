"""One pane of Ask: the answer as it comes, what each gate read, and the first token's candidates."""

from collections.abc import Mapping

from nicegui import ui

from unsee.ui.answer import Answered, Meter
from unsee.ui.frame import heading, plain

BASE, ERASED, TWIN, SERVED = "Base", "Erased", "Never knew", "Served"


def pane(name: str) -> tuple[ui.element, ui.label]:
    """A pane, and the label that its answer goes into."""
    with ui.element("section").classes("pane").props(f'aria-label="{name}"') as box:
        heading(name)
        answer = ui.label("...").classes("answer").props('aria-live="polite"')
    return box, answer


def failed(answer: ui.label, reason: str) -> None:
    """Why there is no answer, in its place."""
    answer.set_text(reason)
    answer.classes(replace="notice bad").props('role="alert"')


def details(made: Answered, name: str, called: Mapping[str, str]) -> None:
    """What is to be said of an answer, below it, in the pane of that name; `called` names the gates' subjects."""
    if name == TWIN:
        ui.label("Trained without the people to be forgotten of split seed 0; it knows everybody else.").classes("dim")
    if made.stopped:
        ui.label("Stopped.").classes("dim")
    if name == ERASED:
        ui.label(
            "A gate is open: this answer was steered." if made.fired else "No gate is open: answered as it is."
        ).classes("dim")
    for meter in made.meters[:5]:
        _meter(meter, called.get(meter.subject, meter.subject))
    if made.first:
        _first_tokens(made)


def _first_tokens(made: Answered) -> None:
    with ui.expansion("First token, log-probability").classes("w-full"):
        for token, value in made.first:
            ui.label(f"{value:7.2f}  {token!r}").style("font-family: monospace; white-space: pre")


def _meter(meter: Meter, called: str) -> None:
    now = meter.margins[-1]
    state = f"open since turn {meter.opened}" if meter.opened and now >= 0 else "open" if now >= 0 else "shut"
    ui.label(f"{called}: {now:+.2f}, {state} (0 is the threshold)").classes("dim")
    filled = 50 + 50 * max(-1.0, min(1.0, now / 2))
    with (
        ui.element("div")
        .classes("meter open" if now >= 0 else "meter")
        .props(
            f'role="meter" aria-valuemin="-2" aria-valuemax="2" aria-valuenow="{max(-2.0, min(2.0, now)):.2f}" '
            f'aria-label="Gate of {plain(called)}"'
        )
    ):
        ui.element("i").style(f"width: {filled:.0f}%")
        ui.element("b")
