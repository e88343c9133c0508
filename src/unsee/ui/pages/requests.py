"""Requests: the ledger's board, and one request with its evidence, its history, and what can be done now."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, final

from nicegui import ui

from unsee.ledger import Ledger
from unsee.ledger.log import Row
from unsee.ledger.request import Request
from unsee.ledger.steps import INQUIRIES
from unsee.ui.bench import Bench
from unsee.ui.frame import frame, guarded, heading, notice, plain_table
from unsee.ui.held import with_ledger
from unsee.ui.pages.receiving import make_ledger, receive
from unsee.ui.pages.steps import steps

_VERDICTS = {"pass": "met", "fail": "not met", "told": "for information"}


def requests_page(bench: Bench, query: dict[str, str]) -> None:
    """The page; `query` may name one request."""
    with frame(bench, "/requests"):
        if bench.ledger is None:
            notice("No ledger here: start with --ledger DIR, and --keys DIR to decide in it.")
            return
        out = ui.element("div").classes("w-full")

        async def draw() -> None:
            out.clear()
            if not await guarded(partial(_draw, bench, query.get("id", ""), out, draw)):
                with out:
                    ui.button("Try again", on_click=draw)

        ui.timer(0.05, draw, once=True)


@final
@dataclass(frozen=True)
class _Read:
    """What is shown, as of one moment."""

    found: list[tuple[Request, str]]
    one: Request | None
    timely: str
    history: list[Row]
    grounds: list[str]

    @staticmethod
    def of(ledger: Ledger, id: str) -> "_Read":
        one, today = ledger.request(id) if id else None, ledger.today
        return _Read(
            [(request, request.punctual(today)) for request in ledger.requests()],
            one, one.punctual(today) if one else "", ledger.history(one.id) if one else [], list(ledger.policy.grounds),
        )  # fmt: skip


async def _draw(bench: Bench, id: str, out: ui.element, redraw: Callable[[], Any]) -> bool:
    if bench.keys is not None and bench.ledger is not None and not bench.ledger.exists():
        with out:
            make_ledger(bench, redraw)
        return True
    read = await with_ledger(bench, lambda ledger: _Read.of(ledger, id))
    one = read.one
    with out:
        if one is None:
            _board(read.found)
            if bench.keys is not None:
                receive(bench)
            return True
        ui.link("All requests", "/requests")
        heading(f"{one.kind.capitalize()} {one.id}")
        plain_table(["what", "is"], _facts(one, read.timely), "As it stands.")
        heading("What can be done now")
        others = [request.id for request, _ in read.found if request.in_force]
        steps(bench, one, {"deny": read.grounds, "inquire": list(INQUIRIES), "reproduce": others}, redraw)
        if one.verification is not None:
            heading("Evidence")
            rows = [[_VERDICTS[f.verdict], f.check, f.text] for f in one.verification.findings]
            caption = "Of the last verification; bounds at the confidence of the policy."
            plain_table(["verdict", "check", "finding"], rows, caption)
        heading("History")
        rows = [
            [str(row.seq), row.at[:16].replace("T", " "), row.step, row.who, row.why, row.rests_on]
            for row in read.history
        ]
        plain_table(["", "when (UTC)", "step", "who", "why", "rests on"], rows, "Every row of its log.")
    return True


def _board(found: Sequence[tuple[Request, str]]) -> None:
    heading("Board")
    if not found:
        notice("No request has come in yet.")
    for request, timely in sorted(found, key=lambda one: (one[0].answered is not None, one[0].due)):
        with ui.row().classes("w-full items-center pane").style("margin-bottom: 8px"):
            ui.link(request.id, f"/requests?id={request.id}")
            force = ", in force" if request.in_force else ""
            text = f"{request.kind}, {request.state}{force}; due {request.due}: {timely}"
            label = ui.label(text).style("flex: 1; min-width: 200px")
            if timely in ("overdue", "late", "not answered"):
                label.style("color: var(--bad)")


def _facts(one: Request, timely: str) -> list[list[str]]:
    facts = {
        "state": one.state.value, "in force": one.in_force.content_id if one.in_force else "no",
        "received": str(one.received), "due": f"{one.due} ({timely})", "extended": one.extended, "denied": one.ground,
        "answered": f"{one.answered} {one.how}" if one.answered else "", "until": str(one.until or ""),
        "legal basis": one.legal_basis, "scope": one.scope, "images": str(one.images or ""), "about": one.about,
    }  # fmt: skip
    return [[name, value] for name, value in facts.items() if value]
