"""What to do with an eraser once it is made: ask with it, take it away, or put it into the ledger."""

import asyncio
import io
import shlex
import zipfile

from nicegui import ui

from unsee.forgetting.run import Forgotten
from unsee.ledger import Decision
from unsee.ui.bench import Bench
from unsee.ui.frame import command, heading, notice
from unsee.ui.held import into_ledger
from unsee.ui.pages.deciding import confirmation, receipt


def saving(bench: Bench, done: Forgotten) -> None:
    """Draw the choices."""
    heading("Keep it")
    with ui.element("div").classes("stack"):
        place = f"The eraser and its evidence are in {done.folder}; the evidence holds plain names."
        ui.label(place).style("overflow-wrap: anywhere")
        with ui.row().classes("items-center"):
            ui.button("Ask with it", on_click=lambda: ui.navigate.to(f"/?eraser={done.folder.name}"))
            ui.button("Save eraser", on_click=lambda: _download(done)).props("outline")
            if bench.keys is not None:
                ui.button("Into the ledger", on_click=lambda: _into_ledger(bench, done, kept)).props("outline")
        kept = ui.element("div").classes("stack w-full").props('aria-live="polite"')
        if bench.keys is None:
            notice("To keep it as a request with deadline, proof and revocation, start with --ledger DIR --keys DIR.")
        eraser = str(done.folder / "eraser")
        command(shlex.join(["unsee", "ask", bench.model, "--eraser", eraser, "--question", "..."]))


def _download(done: Forgotten) -> None:
    """The eraser's files as one archive; they hold no name and no image."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted((done.folder / "eraser").iterdir()):
            archive.write(path, f"eraser-{done.content_id[7:15]}/{path.name}")
    ui.download.content(buffer.getvalue(), f"eraser-{done.content_id[7:15]}.zip", "application/zip")


def _into_ledger(bench: Bench, done: Forgotten, out: ui.element) -> None:
    def more() -> tuple[ui.input, ui.input]:
        basis = ui.input("Legal basis (as: GDPR Art. 17(1)(b))").props("outlined").classes("w-full")
        return basis, ui.input("Scope (as: this deployment)").props("outlined").classes("w-full")

    async def take(by: Decision, given: tuple[ui.input, ui.input]) -> None:
        basis, scope = (one.value or "" for one in given)
        made, token = await asyncio.to_thread(into_ledger, bench, done, by, basis, scope)
        out.clear()
        with out:
            notice(f"Kept as {made.id}: fitted, and not in force. Verify and activate it under Requests.")
            ui.link(f"Open {made.id}", f"/requests?id={made.id}")
            receipt(token)

    confirmation(
        "Put it into the ledger?",
        "Put in",
        "A request is received today and accepted in your name, its deadline starts, and this eraser is stored with "
        "it. Name and images go encrypted into the vault. Nothing is in force until it is verified and activated.",
        more,
        take,
    )
