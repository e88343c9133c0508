"""Every step that a request's state allows, each with a confirmation that says what will happen."""

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from nicegui import ui

from unsee.ledger import Decision, Ledger
from unsee.ledger.capacity import warnings
from unsee.ledger.export import export, letter
from unsee.ledger.request import Request
from unsee.ledger.states import BRINGING, Step, allowed
from unsee.ui.bench import Bench
from unsee.ui.frame import file_input, guarded, notice
from unsee.ui.held import with_ledger
from unsee.ui.pages.deciding import confirmation
from unsee.ui.pages.processing import processing

THEN = {
    "accept": "It may then be fitted. Nothing is in force yet.",
    "deny": "Nothing is fitted; the requester is told the ground once you send the answer.",
    "activate": "From the next question on, every server of this ledger declines about this person.",
    "answer": "The log keeps how it was sent and the letter's SHA-256, not the letter. The deadline is met by it.",
    "refit": "What is in force stays so until the new eraser is verified and activated.",
    "revoke": "From the next question on, the model answers as before. Name and images are destroyed in the vault and "
    "the eraser is deleted: this cannot be undone.",
    "expire": "Name and images are destroyed in the vault: this cannot be undone.",
    "inquire": "The deadline stops, if the policy says so, until it is supplied.",
    "appeal": "A new deadline starts.",
}
"""What a step leads to, beside what the ledger's table says of it."""
CHOICES = {
    "deny": ("ground", "Ground"), "inquire": ("wanted", "What is requested"),
    "reproduce": ("of", "The request that causes it"),
}  # fmt: skip
"""What is chosen with a step: the command line's option, and what it is called."""
Fields = dict[str, Callable[[], str]]


def steps(bench: Bench, one: Request, choices: dict[str, list[str]], redraw: Callable[[], Any]) -> None:
    """Buttons, and the work with the model that belongs to the request; `choices` by step that asks for one."""
    ways = {step.name: step for step in allowed(one)}
    if not ways:
        notice("Nothing: it has ended.")
    if bench.keys is None:
        notice("To look only: start with --keys DIR to decide.")
        return
    with ui.row():
        for step in ways.values():
            if step.name not in BRINGING:
                ui.button(step.name.capitalize(), on_click=partial(_step, bench, one, step, choices, redraw)).props(
                    "outline"
                )
        ui.button("Draft the letter", on_click=partial(_letter, bench, one)).props("outline")
        ui.button("Dossier", on_click=partial(_dossier, bench, one)).props("outline")
    processing(bench, one)


def _step(bench: Bench, one: Request, step: Step, choices: dict[str, list[str]], redraw: Callable[[], Any]) -> None:
    async def take(by: Decision, fields: Fields) -> None:
        given = {name: value for name, read in fields.items() if (value := read())}

        def taken(ledger: Ledger) -> list[str]:
            ledger.take(step.name, one.id, by, **given)
            return warnings(ledger, one.id) if step.name == "activate" else []

        found = await with_ledger(bench, taken)
        await redraw()
        for text in found:
            ui.notify(text, type="warning", timeout=0, close_button="Close", multi_line=True)

    confirmation(
        f"{step.name.capitalize()} {one.id}?",
        step.name.capitalize(),
        f"{step.means[0].upper()}{step.means[1:]}. {THEN.get(step.name, '')}".strip(),
        lambda: _fields(step.name, choices.get(step.name, [])),
        take,
    )


def _fields(step: str, options: list[str]) -> Fields:
    if step in CHOICES:
        name, label = CHOICES[step]
        chosen = ui.select(options, label=label).props("outlined").classes("w-full")
        return {name: lambda: chosen.value or ""}
    if step == "activate":
        until = ui.input("Look at it again on (as 2027-12-31; may be empty)").props("outlined").classes("w-full")
        return {"until": lambda: until.value or ""}
    if step == "answer":
        digests: list[str] = []
        file_input("Choose the letter that was sent", "*/*", lambda name, body: _sent(name, body, digests, shown))
        shown = ui.label("No letter yet.").classes("dim")
        how = ui.input("How it was sent (as: by post)").props("outlined").classes("w-full")
        day = ui.input("When (as 2026-12-31; today if empty)").props("outlined").classes("w-full")
        return {
            "letter": lambda: digests[-1] if digests else "", "how": lambda: how.value or "",
            "sent": lambda: day.value or "",
        }  # fmt: skip
    return {}


def _sent(name: str, body: bytes, digests: list[str], shown: ui.label) -> None:
    digests.append(f"sha256:{hashlib.sha256(body).hexdigest()}")
    shown.set_text(f"{name}, {len(body):,} bytes")


async def _letter(bench: Bench, one: Request) -> None:
    def drafted(ledger: Ledger) -> Path:
        path = bench.uploads / f"letter-{one.id}-{ledger.head().seq}.txt"
        path.unlink(missing_ok=True)
        letter(ledger, ledger.request(one.id), path)
        return path

    path = await guarded(lambda: with_ledger(bench, drafted))
    if path is not None:
        ui.download.content(path.read_bytes(), f"letter-{one.id}.txt")
        path.unlink()


def _dossier(bench: Bench, one: Request) -> None:
    async def take(by: Decision, _: None) -> None:
        def written(ledger: Ledger) -> list[Path]:
            folder = bench.requests / "dossiers" / f"{one.id}-{ledger.head().seq}"
            return export(ledger, folder, by, one.id, ("html",))

        for path in await with_ledger(bench, written):
            ui.download(path)

    means = "Everything that the log holds on it, as one page; that it was written is logged too."
    confirmation(f"Dossier of {one.id}", "Write", means, lambda: None, take)
