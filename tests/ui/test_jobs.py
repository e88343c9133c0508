"""Work that outlives its page: one at a time, stopped at a step, and what goes wrong is said once."""

import asyncio
import threading
from typing import Any, cast

from unsee.errors import DataError
from unsee.ui.engine import Engine
from unsee.ui.jobs import Job, Jobs


def run(*works: Any, stop: bool = False) -> list[Job]:
    async def all_of() -> list[Job]:
        jobs, engine = Jobs(), Engine(cast(Any, None))
        made = [jobs.start(str(n), engine, work) for n, work in enumerate(works)]
        assert jobs.find("0") is made[0] and jobs.find("none") is None
        assert jobs.start("0", engine, works[0]) is made[0], "pressing the button twice begins it once"
        if stop:
            jobs.stop()
        while not all(job.ended for job in made):
            await asyncio.sleep(0.01)
        return made

    return asyncio.run(all_of())


def test_two_tabs_wait_for_each_other() -> None:
    inside = threading.Lock()

    def work(job: Job) -> str:
        assert inside.acquire(blocking=False), "never two at once"
        tell = job.stages("fitting", 4)
        tell(2)
        assert job.share == 0.5 and "2 of 4" in job.text
        inside.release()
        return "made"

    assert [job.result for job in run(work, work, work)] == ["made"] * 3


def test_it_ends_at_its_next_step_when_stopped() -> None:
    def work(job: Job) -> str:
        job.stages("fitting", 4)
        raise AssertionError("it went on")

    (job,) = run(work, stop=True)
    assert job.result is None and job.error.startswith("Stopped")


def test_errors_are_told_as_the_command_line_words_them_and_others_by_their_kind() -> None:
    def known(job: Job) -> str:
        raise DataError("the name is empty. Give one.")

    def unknown(job: Job) -> str:
        raise ZeroDivisionError("secret detail")

    first, second = run(known, unknown)
    assert first.error == "the name is empty. Give one."
    assert "ZeroDivisionError" in second.error and "secret" not in second.error
