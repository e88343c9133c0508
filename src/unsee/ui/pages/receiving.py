"""What comes into the ledger: the ledger itself, and requests."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nicegui import ui

from unsee.data import ImageFile
from unsee.ledger import Decision, Keys, Person, create
from unsee.ledger.holding import Received, add
from unsee.ui.bench import Bench
from unsee.ui.frame import guarded, heading, image_input, notice, thumbnails
from unsee.ui.held import with_ledger
from unsee.ui.pages.deciding import confirmation, receipt, who_and_why


def make_ledger(bench: Bench, redraw: Callable[[], Any]) -> None:
    """Offer to make the ledger that was named and is not there."""
    home, place = bench.ledger, bench.keys
    assert home is not None and place is not None
    notice(f"There is no ledger in {home} yet.")

    async def take(by: Decision, _: None) -> None:
        def made() -> None:
            create(home, Keys.make(place, home), by).close()

        await asyncio.to_thread(made)
        await redraw()

    means = (
        f"An empty ledger is made in {home}, and its keys in {place}. Back the keys up, and let nobody have them "
        "together with the ledger."
    )
    ui.button("Make it", on_click=lambda: confirmation("Make a ledger?", "Make it", means, lambda: None, take))


def receive(bench: Bench) -> None:
    """A form for a request or a complaint."""
    images: list[ImageFile] = []
    out = ui.element("div").classes("stack w-full").props('aria-live="polite"')
    with ui.expansion("Receive a request").classes("w-full"), ui.element("div").classes("stack"):
        name = ui.input("Name, then other names after commas").props("outlined").classes("w-full")
        complaint = ui.checkbox("It is a complaint: somebody else, as a namesake, is harmed by a request")
        basis, scope = (ui.input(label).props("outlined").classes("w-full") for label in ("Legal basis", "Scope"))
        for field in (basis, scope):
            field.bind_visibility_from(complaint, "value", value=False)
        who, why = who_and_why()
        shown = ui.row()
        show = thumbnails(images, shown)

        def added(one: ImageFile) -> None:
            images.append(one)
            show()

        image_input(bench, added)
        ui.label("Names and images go encrypted into the vault, never into the log.").classes("dim")

        async def taken() -> Received:
            names = tuple(one.strip() for one in (name.value or "").split(",") if one.strip())
            pixels = tuple(one.source.read_bytes() for one in images if isinstance(one.source, Path))
            person, by = Person.of(names=names, images=pixels), Decision(who.value or "", why.value or "")
            given = {"legal_basis": basis.value or "", "scope": scope.value or ""}
            harmed = bool(complaint.value)
            return await with_ledger(bench, lambda ledger: add(ledger, person, by, complaint=harmed, **given))

        async def go() -> None:
            got = await guarded(taken)
            if got is not None:
                out.clear()
                with out:
                    heading(f"Received as {got.request.id}")
                    ui.link("Open it", f"/requests?id={got.request.id}")
                    receipt(got.token)
                for field in (name, basis, scope, why):
                    field.set_value("")
                images.clear()
                show()

        ui.button("Receive", on_click=go)
