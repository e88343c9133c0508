"""Results: any results folders side by side, and each question down to what every condition answered."""

import asyncio
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, final

from nicegui import ui

from unsee.evals.compare import compare
from unsee.evals.compare_tables import sheet
from unsee.evals.frontier import draw, frontier
from unsee.evals.results import Result, read_results
from unsee.evals.store import SETTINGS
from unsee.evals.tables import Sheet
from unsee.ui.bench import Bench
from unsee.ui.frame import frame, guarded, heading, notice, plain_table
from unsee.ui.items import FLAGS, Item, items_of

PAGE, DEEP = 20, 4
"""Questions shown at once, and levels of folders that are looked through."""
_ANY = "any"


@final
@dataclass
class _Shown:
    items: list[Item]
    set: str = _ANY
    verdict: str = _ANY
    words: str = ""
    first: int = 0

    def chosen(self) -> list[Item]:
        words = self.words.casefold()
        return [
            one
            for one in self.items
            if self.set in (_ANY, one.split)
            and (self.verdict == _ANY or any(reply.verdicts.get(self.verdict) for reply in one.replies.values()))
            and (not words or words in one.searched)
        ]


def results_page(bench: Bench, query: dict[str, str]) -> None:
    """The page; `query` names folders to open."""
    folders = found_folders(bench.results)
    with frame(bench, "/results"):
        if not folders:
            notice("No results folder here. 'unsee eval' and 'unsee demo' write them; name their place with --results.")
            return
        opened = [one for one in query.get("folder", "").split(",") if one in folders] or list(folders)[:1]
        chosen = (
            ui.select(list(folders), multiple=True, value=opened, label="Results folders")
            .props("outlined use-chips")
            .classes("w-full")
        )
        go = ui.button("Show")
        out = ui.element("div").classes("w-full")

        async def show() -> None:
            out.clear()
            await guarded(lambda: _show(bench, [str(folders[name]) for name in chosen.value or ()], out))

        go.on_click(show)
        ui.timer(0.05, show, once=True)


def found_folders(places: Sequence[Path]) -> dict[str, Path]:
    """Results folders below these, by path, newest first."""
    found = {
        path.parent
        for place in places
        for depth in range(DEEP)
        for path in place.glob("/".join(["*"] * depth + [SETTINGS]))
        if (path.parent / "answers.jsonl").is_file()
    }
    return {str(folder): folder for folder in sorted(found, key=lambda p: -(p / SETTINGS).stat().st_mtime)}


async def _show(bench: Bench, folders: list[str], out: ui.element) -> None:
    if not folders:
        notice("Choose at least one folder.")
        return
    with out:
        waiting = ui.label("Computing intervals ...").classes("dim")
    results, table, image = await asyncio.to_thread(_computed, folders)
    waiting.delete()
    with out:
        heading("Side by side")
        plain_table(table.columns, table.rows, table.caption)
        if image is not None:
            heading("Forget and retain")
            ui.image(image).style("max-width: 560px; width: 100%").props(
                'alt="Leaked share against right share per condition"'
            )
        heading("Questions")
        _questions(bench, items_of(results))


def _computed(folders: list[str]) -> tuple[list[Result], Sheet, Any]:
    from PIL import Image

    results = read_results(folders)
    table, points = sheet(compare(results)), frontier(results)
    if points is None:
        return results, table, None
    with tempfile.TemporaryDirectory() as folder, Image.open(draw(points, Path(folder) / "frontier.png")) as drawn:
        return results, table, drawn.copy()


def _questions(bench: Bench, items: list[Item]) -> None:
    shown = _Shown(items)
    with ui.row().classes("w-full"):
        sets = [_ANY, *dict.fromkeys(one.split for one in items)]
        pick = ui.select(sets, value=_ANY, label="Set").props("outlined dense").style("min-width: 180px")
        verdict = (
            ui.select([_ANY, *FLAGS], value=_ANY, label="Some reply is")
            .props("outlined dense")
            .style("min-width: 160px")
        )
        words = (
            ui.input("Person, question or answer has").props("outlined dense debounce=300").style("min-width: 220px")
        )
    listed = ui.element("div").classes("w-full").props('aria-live="polite"')

    def redraw(step: int = 0) -> None:
        shown.set, shown.verdict, shown.words = pick.value, verdict.value, words.value or ""
        found = shown.chosen()
        shown.first = min(max(shown.first + step * PAGE if step else 0, 0), max(len(found) - 1, 0))
        listed.clear()
        with listed:
            ui.label(f"{len(found)} questions; shown from {shown.first + 1 if found else 0}.").classes("dim")
            for one in found[shown.first : shown.first + PAGE]:
                _item(bench, one)
            with ui.row():
                ui.button("Earlier", on_click=lambda: redraw(-1)).props("flat").set_enabled(shown.first > 0)
                ui.button("Later", on_click=lambda: redraw(1)).props("flat").set_enabled(
                    shown.first + PAGE < len(found)
                )

    for control in (pick, verdict, words):
        control.on_value_change(lambda _: redraw())
    redraw()


def _item(bench: Bench, item: Item) -> None:
    with ui.expansion(f"{item.split} · {item.person} · {item.question}").classes("w-full").props("dense"):
        ui.label(f"Accepted: {item.gold or '-'}. Image: {item.image or 'none'}.").classes("dim")
        for name, reply in item.replies.items():
            flags = ", ".join(flag for flag in FLAGS if reply.verdicts.get(flag)) or "nothing found"
            with ui.row().classes("w-full items-center"):
                ui.label(f"{name}: {reply.text!r} ({flags})").style(
                    "flex: 1; min-width: 200px; overflow-wrap: anywhere"
                )
                wrong = (
                    ui.select(
                        [f"not {f}" if reply.verdicts.get(f) else f for f in FLAGS], label="Verdict is wrong, it is"
                    )
                    .props("outlined dense")
                    .style("min-width: 210px")
                )
                wrong.on_value_change(lambda e, name=name, reply=reply: _label(bench, item, name, reply.text, e.value))


def _label(bench: Bench, item: Item, condition: str, text: str, verdict: str) -> None:
    path = bench.requests / "labels.jsonl"
    row = {
        "question": item.question, "gold": item.gold, "reply": text, "verdict": verdict, "condition": condition,
        "id": item.id, "labelled": datetime.now(UTC).isoformat(timespec="seconds"),
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")
    ui.notify(f"Noted in {path}.", type="positive")
