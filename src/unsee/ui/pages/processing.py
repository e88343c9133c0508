"""Fitting and verifying a request of the ledger by a button: what will happen, how far it is, and a stop."""

from dataclasses import dataclass
from typing import final

from nicegui import ui

from unsee.data.sample import Sample, Turn
from unsee.ledger import Decision
from unsee.ledger.erasers import fit, verify
from unsee.ledger.request import Request
from unsee.ledger.states import State, allowed
from unsee.ui.bench import Bench
from unsee.ui.engine import Engine
from unsee.ui.frame import notice
from unsee.ui.held import opened
from unsee.ui.jobs import Job
from unsee.ui.pages.deciding import confirmation
from unsee.ui.pages.working import follow

FIT = (
    "The model is asked what it says of this person today; an eraser is fitted from what the vault holds, and stored "
    "with the request. Then it is verified. "
)
VERIFY = (
    "The model is asked about the person in forms that no fit has seen, about neighbours and namesakes, and under "
    "every attack that only asks. The verdict goes into the log. "
)
NEAR = "Questions that must still be answered, one a line (may be empty)"
LAST = "Nothing is put in force by it. It takes minutes; you may leave the page and come back."


@final
@dataclass
class _Given:
    """What the dialog asks beside who and why."""

    force: bool = False
    near: str = ""

    def samples(self) -> list[Sample]:
        lines = dict.fromkeys(line.strip() for line in (self.near or "").splitlines() if line.strip())
        return [Sample.of_turns([Turn("user", (line,))], id=f"own-{n}") for n, line in enumerate(lines, 1)]


def processing(bench: Bench, one: Request) -> None:
    """The button, where the state allows it, and the work if there is any."""
    names = {step.name for step in allowed(one)}
    engine, fits = bench.engine, one.state == State.ACCEPTED
    if engine is None:
        if {"fit", "verify"} & names:
            notice("A server's model cannot be fitted or verified from here: start 'unsee ui MODEL --ledger ...'.")
        return
    if fits or "verify" in names:
        verb = "Fit and verify" if fits else "Verify"
        ui.button(verb, on_click=lambda: _confirm(bench, engine, one, verb, out)).style("margin: 8px 0")
    out = ui.element("div").classes("w-full").props('aria-live="polite"')
    job = bench.jobs.find(f"ledger/{one.id}")
    if job is not None and (not job.ended or job.error):
        _shown(job, out, one.id)


def _confirm(bench: Bench, engine: Engine, one: Request, verb: str, out: ui.element) -> None:
    fits = one.state == State.ACCEPTED

    def more() -> _Given:
        given = _Given()
        if fits:
            ui.checkbox("Go on though the model knows nothing of the person").bind_value_to(given, "force")
        ui.textarea(NEAR).props("outlined autogrow maxlength=50000").classes("w-full").bind_value_to(given, "near")
        return given

    async def take(by: Decision, given: _Given) -> None:
        near = given.samples()

        def work(job: Job) -> Request:
            with opened(bench) as ledger:
                today = None
                if ledger.request(one.id).state == State.ACCEPTED:
                    _, today = fit(ledger, one.id, engine.loaded, by, force=given.force, stages=job.stages)
                return verify(ledger, one.id, engine.loaded, by, today=today, near=near, stages=job.stages)[1]

        _shown(bench.jobs.start(f"ledger/{one.id}", engine, work), out, one.id)

    confirmation(
        f"{verb} {one.id}?",
        verb,
        f"{FIT if fits else ''}{VERIFY}{LAST}",
        more,
        take,
    )


def _shown(job: Job, out: ui.element, id: str) -> None:
    follow(job, out, told=lambda _: None, done=lambda _: ui.navigate.to(f"/requests?id={id}"))
