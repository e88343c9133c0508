"""Forget: a name and images, what the model says today, progress, and what it says after."""

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, final, get_args

from nicegui import ui

from unsee.data import ImageFile
from unsee.erase.request.request import Kind, Request, request
from unsee.errors import UnseeError
from unsee.forgetting.run import Forgotten, forget
from unsee.progress import Progress, Stages
from unsee.ui.bench import Bench
from unsee.ui.frame import command, frame, guarded, heading, image_input, notice, plain_table, thumbnails, world_faces

if TYPE_CHECKING:
    from unsee.forgetting.before import Before
    from unsee.forgetting.report import Report

LIMITS = (
    "The weights still contain what they contained: this reduces the rate at which this deployment answers. It deletes "
    "nothing and binds nobody who runs the model without it."
)


@final
class StoppedByUserError(UnseeError):
    """Somebody pressed Stop."""


@final
@dataclass
class _Form:
    name: str = ""
    aliases: str = ""
    kind: str = "person"
    erase: str = ""
    spare: str = ""
    text: str = ""
    force: bool = False
    images: list[ImageFile] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)


def forget_page(bench: Bench) -> None:
    """The page."""
    form = _Form()
    with frame(bench, "/forget"):
        if bench.engine is None:
            notice("A server's model cannot be fitted from here: start 'unsee ui MODEL' beside it.")
            return
        with ui.element("div").classes("two"):
            with ui.element("div").classes("stack"):
                heading("Of whom or what?")
                _fields(form)
            with ui.element("div").classes("stack"):
                heading("Images")
                shown = ui.row()
                redraw = thumbnails(form.images, shown)

                def add(one: ImageFile) -> None:
                    form.images.append(one)
                    redraw()

                image_input(bench, add)
                world_faces(bench, add)
        with ui.row().classes("items-center"):
            go, halt = ui.button("Forget"), ui.button("Stop", on_click=lambda: form.stop.set()).props("outline")
        halt.set_enabled(False)
        out = ui.element("div").classes("w-full").props('aria-live="polite"')
        go.on_click(lambda: _run(bench, form, out, go, halt))


def _fields(form: _Form) -> None:
    def line(label: str, name: str, hint: str = "") -> None:
        ui.input(label, value=getattr(form, name)).props(f'outlined hint="{hint}"').classes("w-full").bind_value_to(
            form, name
        )

    line("Name", "name", "As a question would write it.")
    line("Other names", "aliases", "Separated by commas.")
    ui.select(list(get_args(Kind)), value="person", label="What it is").props("outlined").classes(
        "w-full"
    ).bind_value_to(form, "kind")
    with ui.expansion("Only some facts").classes("w-full"):
        line("Hide only", "erase", "Such as: home city, job. Empty hides everything.")
        line("Still tell", "spare", "Such as: job.")
        line("The fact in a sentence", "text", "For the kind 'fact'.")
        ui.checkbox("Go on though the model knows nothing").bind_value_to(form, "force")


async def _run(bench: Bench, form: _Form, out: ui.element, go: ui.button, halt: ui.button) -> None:
    form.stop = threading.Event()
    go.set_enabled(False)
    halt.set_enabled(True)
    out.clear()
    try:
        await guarded(lambda: _forget(bench, form, out))
    finally:
        go.set_enabled(True)
        halt.set_enabled(False)


async def _forget(bench: Bench, form: _Form, out: ui.element) -> None:
    assert bench.engine is not None
    asked = request(
        form.name, aliases=[one for one in form.aliases.split(",") if one.strip()], images=form.images, kind=form.kind,
        erase=form.erase, spare=form.spare, text=form.text,
    )  # fmt: skip
    folder = bench.requests / datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S-%f")
    with out:
        for warning in asked.warnings:
            notice(warning)
        stage, bar = (
            ui.label("Waiting for the model ..."),
            ui.linear_progress(0, show_value=False).props('aria-label="Progress"'),
        )
        today = ui.element("div").classes("w-full")
    later = asyncio.get_running_loop().call_soon_threadsafe
    done = await bench.engine.work(
        forget, bench.engine.loaded, asked, folder, force=form.force,
        told=lambda before: later(_before, today, before) and None,
        stages=_stages(lambda text, share: later(_show, stage, bar, text, share) and None, form.stop),
    )  # fmt: skip
    stage.set_text("Done.")
    bar.set_value(1.0)
    with out:
        _after(bench, done, asked, folder)


def _show(label: ui.label, bar: ui.linear_progress, text: str, share: float) -> None:
    label.set_text(text)
    bar.set_value(share)


def _stages(show: Callable[[str, float], None], stop: threading.Event) -> Stages:
    """Progress with an estimate; raises where somebody has pressed Stop."""

    def stage(name: str, total: int) -> Progress:
        began, done = time.monotonic(), 0

        def advance(more: int) -> None:
            nonlocal done
            if stop.is_set():
                raise StoppedByUserError("Stopped. The folder keeps what was asked until then; no eraser was made.")
            done += more
            left = (
                f", about {(time.monotonic() - began) * (total - done) / done:.0f} s left in this step" if done else ""
            )
            show(f"{name}: {done} of {total}{left}", done / max(total, 1))

        advance(0)
        return advance

    return stage


def _before(out: ui.element, before: "Before") -> None:
    with out:
        heading("What it says today")
        ways = [("by name", before.by_name), *([("by image", before.by_image)] if before.by_image else [])]
        nouns = dict.fromkeys(noun for _, one in ways for noun in one.facts)
        rows = [[noun or "anything", *(", ".join(one.facts.get(noun, ())) or "-" for _, one in ways)] for noun in nouns]
        rows = [row for row in rows if set(row[1:]) != {"-"}]
        verdicts = "; ".join(f"{way}: {'known' if one.known else 'not known'}" for way, one in ways)
        plain_table(["fact", *(way for way, _ in ways)], rows, f"What recurs over several wordings. {verdicts}.")


def _after(bench: Bench, done: Forgotten, asked: Request, folder: Path) -> None:
    report: Report = done.report
    heading("Before and after")
    rows = [
        [
            ("held out: " if row.held else "fitted: ") + row.group,
            str(row.n),
            _share(row.before),
            _share(row.after),
            _share(row.refused),
        ]
        for row in report.rows
    ]
    plain_table(
        ["about the subject", "n", "leaked", "leaks now", "declines now"],
        rows,
        "Greedy answers; held out: no fit saw it.",
    )
    heading("Still to be answered")
    allowed = [
        [one.group, str(one.n), str(one.answered), _share(one.refused), _share(one.changed)]
        for one in report.allowances
    ]
    plain_table(
        ["about others", "n", "answered before", "declines now", "changed"], allowed, "Wrong refusals, held out."
    )
    if report.leak is not None:
        ui.label(f"Leaks in held-out forms: {report.leak:.1%}.")
    if report.telling is not None:
        ui.label(f"Do replies tell who is on the list? AUC {report.telling.auc:.2f} (0.5 is no).")
    ui.label(f"Not tested: {'; '.join(report.not_tested)}.").classes("dim")
    ui.label(LIMITS).classes("dim")
    ui.link("Ask with it in force", f"/?eraser={folder.name}")
    command(f"unsee ask {bench.model} --eraser {folder / 'eraser'} --question '...'")


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"
