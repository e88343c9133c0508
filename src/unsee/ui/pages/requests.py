"""Requests: the ledger's board, each request's history, and every step that its state allows."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from nicegui import ui

from unsee.data import ImageFile
from unsee.ledger import Decision, Keys, Ledger, Person
from unsee.ledger.export import export
from unsee.ledger.holding import add
from unsee.ledger.request import Request
from unsee.ledger.states import Step, allowed
from unsee.ledger.steps import INQUIRIES
from unsee.ui.bench import Bench
from unsee.ui.frame import command, frame, guarded, heading, image_input, notice, plain_table, thumbnails

BY_COMMAND = ("add", "complain", "fit", "verify", "fail", "answer")
"""Steps that take a model or a file: the page shows their command."""


def requests_page(bench: Bench, query: dict[str, str]) -> None:
    """The page; `query` may name one request."""
    with frame(bench, "/requests"):
        if bench.ledger is None:
            notice("No ledger here: start with --ledger DIR, and --keys DIR to decide in it.")
            return
        out = ui.element("div").classes("w-full")

        async def draw() -> None:
            out.clear()
            await guarded(partial(_draw, bench, query.get("id", ""), out, draw))

        ui.timer(0.05, draw, once=True)


def opened(bench: Bench) -> Ledger:
    """The ledger, to write where there are keys.

    Raises:
        LedgerError: it is gone or damaged.
    """
    assert bench.ledger is not None
    return Ledger(bench.ledger, None if bench.keys is None else Keys(bench.keys, bench.ledger))


async def _draw(bench: Bench, id: str, out: ui.element, redraw: Callable[[], Any]) -> None:
    with opened(bench) as ledger:
        found, today, grounds = ledger.requests(), ledger.today, list(ledger.policy.grounds)
        one = ledger.request(id) if id else None
        history = ledger.history(one.id) if one else []
    with out:
        if one is None:
            _board(found, [request.punctual(today) for request in found])
            if bench.keys is not None:
                _receive(bench, redraw)
            return
        ui.link("All requests", "/requests")
        heading(f"{one.kind} {one.id}")
        plain_table(["what", "is"], _facts(one, one.punctual(today)), "As it stands.")
        heading("History")
        rows = [
            [str(row.seq), row.at[:16].replace("T", " "), row.step, row.who, row.why, row.rests_on] for row in history
        ]
        plain_table(["", "when (UTC)", "step", "who", "why", "rests on"], rows, "Every row of its log.")
        _steps(bench, one, grounds, redraw)


def _board(found: Sequence[Request], punctual: Sequence[str]) -> None:
    heading("Board")
    if not found:
        notice("No request has come in yet.")
    for request, timely in zip(found, punctual, strict=True):
        with ui.row().classes("w-full items-center pane"):
            ui.link(request.id, f"/requests?id={request.id}")
            force = ", in force" if request.in_force else ""
            ui.label(f"{request.kind}, {request.state}{force}; due {request.due}: {timely}").style(
                "flex: 1; min-width: 200px"
            )


def _facts(one: Request, timely: str) -> list[list[str]]:
    facts = {
        "state": one.state.value, "in force": one.in_force.content_id if one.in_force else "no",
        "received": str(one.received), "due": f"{one.due} ({timely})", "extended": one.extended, "denied": one.ground,
        "answered": f"{one.answered} {one.how}" if one.answered else "", "until": str(one.until or ""),
        "legal basis": one.legal_basis, "scope": one.scope, "images": str(one.images or ""),
    }  # fmt: skip
    return [[name, value] for name, value in facts.items() if value]


def _steps(bench: Bench, one: Request, grounds: list[str], redraw: Callable[[], Any]) -> None:
    heading("What can be done now")
    steps = {step.name: step for step in allowed(one)}
    if not steps:
        notice("Nothing: it has ended.")
    with ui.row():
        for step in steps.values():
            if bench.keys is not None and step.name not in BY_COMMAND:
                ui.button(step.name.capitalize(), on_click=partial(_confirm, bench, one, step, grounds, redraw)).props(
                    "outline"
                )
        if bench.keys is not None:
            ui.button("Dossier", on_click=partial(_dossier, bench, one)).props("outline")
    if bench.keys is None:
        notice("To look only: start with --keys DIR to decide.")
    place = f"--ledger {bench.ledger} --keys {bench.keys or 'DIR'}"
    if {"fit", "verify"} & steps.keys():
        command(f"unsee ledger process {place} --model {bench.model}")
    if "answer" in steps:
        command(f"unsee ledger answer {one.id} {place} --letter FILE --how 'by post'")


def _confirm(bench: Bench, one: Request, step: Step, grounds: list[str], redraw: Callable[[], Any]) -> None:
    with ui.dialog(value=True) as dialog, ui.card().style("min-width: min(92vw, 420px)"):
        heading(f"{step.name.capitalize()} {one.id}?")
        ui.label(f"{step.means[0].upper()}{step.means[1:]}.")
        choices = {"deny": ("ground", grounds), "inquire": ("wanted", list(INQUIRIES))}.get(step.name)
        chosen = (
            None if choices is None else ui.select(choices[1], label=choices[0]).props("outlined").classes("w-full")
        )
        until = (
            ui.input("Until (2026-12-31; may be empty)").props("outlined").classes("w-full")
            if step.name == "activate"
            else None
        )
        who, why = _who_and_why()

        async def take() -> None:
            given = {} if choices is None or chosen is None else {choices[0]: chosen.value or ""}
            given |= {"until": until.value} if until is not None and until.value else {}

            async def taken() -> bool:
                with opened(bench) as ledger:
                    ledger.take(step.name, one.id, Decision(who.value or "", why.value or ""), **given)
                return True

            if await guarded(taken):
                dialog.close()
                await redraw()

        with ui.row():
            ui.button(step.name.capitalize(), on_click=take)
            ui.button("Cancel", on_click=dialog.close).props("flat")


def _dossier(bench: Bench, one: Request) -> None:
    with ui.dialog(value=True) as dialog, ui.card().style("min-width: min(92vw, 420px)"):
        heading(f"Dossier of {one.id}")
        ui.label("Everything that the log holds on it, as one page; that it was written is logged too.")
        who, why = _who_and_why()

        async def write() -> None:
            async def written() -> list[Path]:
                with opened(bench) as ledger:
                    number = ledger.head().seq
                    folder = bench.requests / "dossiers" / f"{one.id}-{number}"
                    return export(ledger, folder, Decision(who.value or "", why.value or ""), one.id, ("html",))

            for path in await guarded(written) or ():
                ui.download(path)
                dialog.close()

        with ui.row():
            ui.button("Write", on_click=write)
            ui.button("Cancel", on_click=dialog.close).props("flat")


def _who_and_why() -> tuple[ui.input, ui.input]:
    who = ui.input("Who decides").props("outlined").classes("w-full")
    return who, ui.input("Why, without names").props("outlined").classes("w-full")


def _receive(bench: Bench, redraw: Callable[[], Any]) -> None:
    images: list[ImageFile] = []
    with ui.expansion("Receive a request").classes("w-full"), ui.element("div").classes("stack"):
        name = ui.input("Name, then other names after commas").props("outlined").classes("w-full")
        basis, scope = (ui.input(label).props("outlined").classes("w-full") for label in ("Legal basis", "Scope"))
        who, why = _who_and_why()
        shown = ui.row()
        show = thumbnails(images, shown)

        def added(one: ImageFile) -> None:
            images.append(one)
            show()

        image_input(bench, added)
        ui.label("Names and images go encrypted into the vault, never into the log.").classes("dim")

        async def receive() -> None:
            async def received() -> str:
                names = tuple(one.strip() for one in (name.value or "").split(",") if one.strip())
                pixels = tuple(one.source.read_bytes() for one in images if isinstance(one.source, Path))
                with opened(bench) as ledger:
                    made = add(
                        ledger, Person.of(names=names, images=pixels), Decision(who.value or "", why.value or ""),
                        legal_basis=basis.value or "", scope=scope.value or "",
                    )  # fmt: skip
                return made.request.id

            if id := await guarded(received):
                ui.notify(f"Received as {id}.", type="positive")
                await redraw()

        ui.button("Receive", on_click=receive)
