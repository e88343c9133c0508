"""Live: what a running server, or this process, is doing."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, final

import httpx
from nicegui import ui

from unsee.ui.bench import Bench
from unsee.ui.frame import failure, frame, heading, notice, plain_table
from unsee.ui.metrics import Serving, quantile, read, seconds
from unsee.ui.served import Served

EVERY, LIMIT = 2.0, 3.0
"""Seconds between two looks, and that one may take."""


@final
@dataclass(frozen=True)
class _Look:
    state: list[list[str]] = field(default_factory=list)
    serving: Serving | None = None
    problem: str = ""


def live_page(bench: Bench) -> None:
    """The page."""
    with frame(bench, "/live"):
        if bench.served is None:
            heading("This process")
            rows = [["model", bench.model], ["requests made here", str(bench.requests)]]
            rows += [["eraser", called] for _, called in bench.eraser_names().items()]
            plain_table(["what", "is"], rows, "Start with --server to watch a running 'unsee serve'.")
            return
        served, last = bench.served, _Look()
        out = ui.element("div").classes("w-full")
        with out:
            notice(f"Asking {served.address} ...")

        async def look() -> None:
            nonlocal last
            found = await _look(served)
            if found == last:
                return  # nothing moves under somebody's finger, and nothing is read aloud again
            last = found
            out.clear()
            with out:
                _draw(served, found)

        ui.timer(EVERY, look)


async def _look(served: Served) -> _Look:
    headers = {"authorization": f"Bearer {served.key}"}
    try:
        async with httpx.AsyncClient(base_url=served.address, timeout=LIMIT, headers=headers) as client:
            health, ready, metrics = [await client.get(path) for path in ("/health", "/ready", "/metrics")]
        state = [["health", _word(health)], ["ready", _word(ready)]]
        if not metrics.is_success:
            return _Look(state, problem=f"{served.address}/metrics answers {metrics.status_code}.")
        return _Look(state, read(metrics.text))
    except httpx.HTTPError as error:
        return _Look(problem=f"{served.address} does not answer ({type(error).__name__}). Is 'unsee serve' running?")
    except (KeyError, ValueError) as error:
        return _Look(problem=f"{served.address}/metrics is no page of 'unsee serve': {error}.")


def _word(answer: Any) -> str:
    return "well" if answer.is_success else f"not well: {answer.status_code} {answer.text[:200]}"


def _draw(served: Served, found: _Look) -> None:
    if found.problem:
        failure(found.problem)
    if found.serving is None:
        return
    serving = found.serving
    rows = [*found.state, *([name, "well" if well else "NOT well"] for name, well in serving.parts.items())]
    rows += [["set in force", digest] for digest in serving.sets]
    rows += [[name, f"{value:,}"] for name, value in serving.numbers.items()]
    rows.append(["canary passed last", "never" if serving.canary is None else _ago(serving.canary)])
    plain_table(["what", "is"], rows, f"{served.address}, looked at every {EVERY:g} s.")
    with ui.element("div").classes("two"):
        with ui.element("div"):
            heading("Requests by outcome")
            _bars(serving.outcomes, "No request has come yet.")
            heading("Answers by eraser that fired")
            _bars(serving.fired, "None has fired.")
        with ui.element("div"):
            heading("Time until the answer was sent")
            answers = serving.stages.get("answer", [])
            _bars({f"{seconds(end)}": n for end, n in answers if n}, "No answer yet.", "at most ")
            stages = [
                [name, str(sum(n for _, n in some)), *(seconds(quantile(some, share)) for share in (0.5, 0.95))]
                for name, some in serving.stages.items()
            ]
            heading("By stage")
            plain_table(["stage", "n", "half within", "95 % within"], stages, "Since the server was started.")


def _ago(when: float) -> str:
    passed = max(0, int(time.time() - when))
    return f"{passed // 60} min ago" if passed >= 60 else "less than a minute ago"


def _bars(counts: Mapping[str, int], nothing: str, before: str = "") -> None:
    """One bar a name, against the longest."""
    if not counts:
        ui.label(nothing).classes("dim")
        return
    most = max(*counts.values(), 1)
    with ui.element("dl").classes("bars"):
        for name, count in counts.items():
            with ui.element("dt"):
                ui.label(f"{before}{name}")
            with ui.element("dd"):
                ui.element("i").style(f"width: {100 * count / most:.0f}%").props('aria-hidden="true"')
                ui.label(f"{count:,}")
