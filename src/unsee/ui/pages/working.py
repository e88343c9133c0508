"""Long work as a page shows it: what is being done, how far it is, a button that stops it, and what came of it."""

from collections.abc import Callable

from nicegui import ui

from unsee.ui.frame import failure
from unsee.ui.jobs import Job

EVERY = 0.25
"""Seconds between two looks."""


def follow(job: Job, out: ui.element, *, told: Callable[[Job], None], done: Callable[[Job], None]) -> None:
    """Show a job until its end.

    Args:
        job: running or ended.
        out: where; what `told` and `done` draw is added there.
        told: draws what is known before the end, once.
        done: draws what came of it.
    """
    out.clear()
    with out:
        with ui.element("div").classes("stack") as progress:
            text = ui.label(job.text).props('role="status"')
            bar = ui.linear_progress(job.share, show_value=False).props('aria-label="Progress"')
            ui.button("Stop", on_click=lambda: job.stop.set()).props("outline")
        known, end = ui.element("div").classes("w-full"), ui.element("div").classes("w-full")
        drawn: list[str] = []

        def look() -> None:
            text.set_text("Stopping at the end of this step ..." if job.stop.is_set() else job.text)
            bar.set_value(job.share)
            if job.told is not None and not drawn:
                drawn.append("told")
                with known:
                    told(job)
            if job.ended:
                timer.cancel()
                progress.set_visibility(False)
                with end:
                    failure(job.error) if job.error else done(job)

        timer = ui.timer(EVERY, look)
