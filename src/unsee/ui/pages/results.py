"""Results: any results folders side by side, as a table, as a picture, and question by question."""

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from nicegui import ui

from unsee.evals.compare import compare
from unsee.evals.compare_tables import sheet
from unsee.evals.frontier import draw, frontier
from unsee.evals.results import Result, about
from unsee.evals.tables import Sheet
from unsee.ui.bench import Bench
from unsee.ui.frame import failure, frame, guarded, heading, notice, picture, plain_table
from unsee.ui.items import Item, found_folders, items_of, side_by_side
from unsee.ui.pages.questions import questions
from unsee.ui.shown import Finder


def results_page(bench: Bench, query: dict[str, str]) -> None:
    """The page; `query` names folders to open."""
    folders = found_folders(bench.results)
    with frame(bench, "/results"):
        if not folders:
            notice(
                "No results folder here. 'unsee demo', 'unsee eval' and 'unsee attack' write them; name their place "
                "with --results."
            )
            return
        opened = [one for one in query.get("folder", "").split(",") if one in folders] or list(folders)[:1]
        chosen = ui.select(folders, multiple=True, value=opened, label="Results folders").classes("w-full")
        chosen.props("outlined use-chips")
        ui.button("Show", on_click=lambda: show()).style("margin: 8px 0")
        out = ui.element("div").classes("w-full")

        async def show() -> None:
            out.clear()
            await guarded(lambda: _show(bench, [Path(name) for name in chosen.value or ()], out))

        ui.timer(0.05, show, once=True)


@final
@dataclass(frozen=True)
class _Group:
    """Conditions that were asked the same: their table, their picture, and every question."""

    title: str
    table: Sheet
    image: Any
    items: list[Item]
    finder: Finder


async def _show(bench: Bench, folders: list[Path], out: ui.element) -> None:
    with out:
        if not folders:
            notice("Choose at least one folder.")
            return
        waiting = ui.label("Computing intervals ...").classes("dim").props('role="status"')
    groups, problems = await asyncio.to_thread(_computed, folders)
    waiting.delete()
    with out:
        for text in problems:
            failure(text)
        if len(groups) > 1:
            notice("These were not all asked the same questions in the same way, so they stand in tables of their own.")
        for group in groups:
            heading(group.title)
            plain_table(group.table.columns, group.table.rows, group.table.caption, figures=True)
            if group.image is not None:
                heading("Forget and retain")
                picture(group.image, "Leaked share against right share per condition", 560)
            heading("Questions")
            questions(bench, group.items, group.finder)


def _computed(folders: list[Path]) -> tuple[list[_Group], list[str]]:
    groups, problems = side_by_side(folders)
    near = [*folders, *(one.parent for one in folders), Path()]
    return [_group(results, near) for results in groups], problems


def _group(results: list[Result], near: Sequence[Path]) -> _Group:
    from PIL import Image

    items, points, image = items_of(results), frontier(results), None
    if points is not None:
        with tempfile.TemporaryDirectory() as folder, Image.open(draw(points, Path(folder) / "frontier.png")) as drawn:
            image = drawn.copy()
    title = f"Side by side: {about(results[0].settings)}"
    return _Group(title, sheet(compare(results)), image, items, Finder.of(items, near))
