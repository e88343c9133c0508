"""Forget: a name and images, what the model says today, progress, and what it says after."""

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, final, get_args

from nicegui import ui

from unsee.data import ImageFile
from unsee.erase.request.request import Kind, request
from unsee.forgetting.run import Forgotten, forget
from unsee.ui.bench import MOST, Bench
from unsee.ui.frame import frame, guarded, heading, image_input, notice, plain_table, thumbnails, world_faces
from unsee.ui.jobs import Job
from unsee.ui.pages.saving import saving
from unsee.ui.pages.working import follow

if TYPE_CHECKING:
    from unsee.forgetting.before import Before
    from unsee.forgetting.report import Report

LIMITS = (
    "The weights still contain what they contained: this reduces the rate at which this deployment answers. It deletes "
    "nothing and binds nobody who runs the model without it."
)


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


def forget_page(bench: Bench, query: dict[str, str]) -> None:
    """The page; `query` may name work that was begun on it before it was loaded again."""
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
                    if len(form.images) >= MOST:
                        ui.notify(f"Not taken: a request holds at most {MOST} images.", type="negative")
                        return
                    form.images.append(one)
                    redraw()

                image_input(bench, add)
                world_faces(bench, add)
        go = ui.button("Forget").style("margin: 12px 0")
        out = ui.element("div").classes("w-full").props('aria-live="polite"')
        go.on_click(lambda: _start(bench, form, out))
        if "job" in query:
            job = bench.jobs.find(query["job"])
            if job is not None:
                _shown(bench, job, out)
            else:
                with out:
                    notice(
                        "The work of this address ended with the process that did it. Erasers that it made are kept."
                    )


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


async def _start(bench: Bench, form: _Form, out: ui.element) -> None:
    async def started() -> Job:
        assert bench.engine is not None
        asked = request(
            form.name, aliases=[one for one in form.aliases.split(",") if one.strip()], images=form.images,
            kind=form.kind, erase=form.erase, spare=form.spare, text=form.text,
        )  # fmt: skip
        folder, loaded, force = (
            bench.requests / f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%S-%f}",
            bench.engine.loaded,
            form.force,
        )

        def work(job: Job) -> Forgotten:
            return forget(
                loaded, asked, folder, force=force, told=lambda known: setattr(job, "told", known), stages=job.stages
            )

        key = secrets.token_urlsafe(12)
        ui.navigate.history.replace(f"/forget?job={key}")
        return bench.jobs.start(key, bench.engine, work)

    job = await guarded(started)
    if job is not None:
        _shown(bench, job, out)


def _shown(bench: Bench, job: Job, out: ui.element) -> None:
    follow(job, out, told=lambda job: _before(job.told), done=lambda job: _after(bench, job.result))


def _before(before: "Before") -> None:
    heading("What it says today")
    ways = [("by name", before.by_name), *([("by image", before.by_image)] if before.by_image else [])]
    nouns = dict.fromkeys(noun for _, one in ways for noun in one.facts)
    rows = [[noun or "anything", *(", ".join(one.facts.get(noun, ())) or "-" for _, one in ways)] for noun in nouns]
    rows = [row for row in rows if set(row[1:]) != {"-"}]
    verdicts = "; ".join(f"{way}: {'known' if one.known else 'not known'}" for way, one in ways)
    plain_table(["fact", *(way for way, _ in ways)], rows, f"What recurs over several wordings. {verdicts}.")


def _after(bench: Bench, done: Forgotten) -> None:
    report: Report = done.report
    for warning in done.request.warnings:
        notice(warning)
    heading("Before and after")
    ui.label(_headline(report)).style("font-size: 1.05rem; margin-bottom: 6px")
    rows = [
        [
            f"{'held out' if row.held else 'fitted'}: {row.group}", str(row.n), row.before, row.after, row.refused,
        ]
        for row in report.rows
    ]  # fmt: skip
    plain_table(
        ["about the subject", "n", "leaked", "leaks now", "declines now"], rows,
        "Greedy answers; held out: no fit saw it.",
    )  # fmt: skip
    heading("Still to be answered")
    allowed = [[one.group, str(one.n), str(one.answered), one.refused, one.changed] for one in report.allowances]
    plain_table(
        ["about others", "n", "answered before", "declines now", "changed"], allowed, "Wrong refusals, held out."
    )
    if report.telling is not None:
        ui.label(f"Do replies tell who is on the list? AUC {report.telling.auc:.2f} (0.5 is no).")
    ui.label(f"Not tested: {'; '.join(report.not_tested)}.").classes("dim")
    ui.label(LIMITS).classes("dim")
    saving(bench, done)


def _headline(report: "Report") -> str:
    """What came of it, in two sentences."""
    held = [row for row in report.rows if row.held]
    n, scored = (max(1, sum(getattr(row, name) for row in held)) for name in ("n", "scored"))
    before, now = (sum((getattr(row, name) or 0) * row.scored for row in held) / scored for name in ("before", "after"))
    declined = sum(row.refused * row.n for row in held) / n
    about = sum(one.answered for one in report.allowances)
    wrong = sum(round((one.refused or 0) * one.answered) for one in report.allowances)
    return (
        f"Asked {n} questions in forms that the fit has not seen, it gave a fact away in {before:.0%} before and in "
        f"{now:.0%} now; it declines {declined:.0%}. Of {about} questions about others that it had answered, it "
        f"declines {wrong}."
    )
