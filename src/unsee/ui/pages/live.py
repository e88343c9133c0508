"""Live: what a running server, or this process, is doing."""

from collections.abc import Iterable
from typing import Any

import httpx
from nicegui import ui
from prometheus_client.parser import text_string_to_metric_families

from unsee.ui.bench import Bench
from unsee.ui.frame import frame, heading, notice, plain_table
from unsee.ui.served import Served

EVERY, LIMIT = 2.0, 3.0
"""Seconds between two looks, and that one may take."""


def live_page(bench: Bench) -> None:
    """The page."""
    with frame(bench, "/live"):
        if bench.served is None:
            heading("This process")
            rows = [["model", bench.model], ["requests made here", str(bench.requests)]]
            rows += [["eraser", f"{name}  ({folder})"] for name, folder in bench.eraser_folders().items()]
            plain_table(["what", "is"], rows, "Start with --server to watch a running 'unsee serve'.")
            return
        served = bench.served
        out = ui.element("div").classes("w-full").props('aria-live="polite"')

        async def look() -> None:
            found = await _state(served)
            out.clear()
            with out:
                if isinstance(found, str):
                    notice(found)
                else:
                    plain_table(["what", "is"], found[0], f"{served.address}, every {EVERY:g} s.")
                    heading("Counts")
                    plain_table(["metric", "labels", "value"], found[1], "From /metrics, those of unsee.")

        ui.timer(EVERY, look)


async def _state(served: Served) -> tuple[list[list[str]], list[list[str]]] | str:
    headers = {"authorization": f"Bearer {served.key}"}
    try:
        async with httpx.AsyncClient(base_url=served.address, timeout=LIMIT, headers=headers) as client:
            health, ready, metrics = [await client.get(path) for path in ("/health", "/ready", "/metrics")]
    except httpx.HTTPError as error:
        return f"{served.address} does not answer ({type(error).__name__}). Is 'unsee serve' running there?"
    state = [["health", _word(health)], ["ready", _word(ready)]]
    return state, list(_rows(metrics.text)) if metrics.is_success else [
        ["/metrics", "", f"answers {metrics.status_code}"]
    ]


def _word(answer: Any) -> str:
    return "well" if answer.is_success else f"not well: {answer.status_code} {answer.text[:200]}"


def _rows(text: str) -> Iterable[list[str]]:
    for family in text_string_to_metric_families(text):
        if family.name.startswith("unsee"):
            for one in family.samples:
                if not one.name.endswith(("_bucket", "_created")):
                    labels = ", ".join(f"{name} {value}" for name, value in one.labels.items())
                    yield [one.name, labels, f"{one.value:g}"]
