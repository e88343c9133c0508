"""Work that outlives the page that began it, such as a fit: a page that is loaded again finds it, and may stop it."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, final

from unsee.errors import UnseeError
from unsee.progress import Progress, Stages
from unsee.ui.engine import Engine

LOG = logging.getLogger("unsee.ui")


@final
class StoppedByUserError(UnseeError):
    """Somebody pressed Stop."""


@final
@dataclass
class Job:
    """One piece of work, as it stands; written by its thread, read by pages.

    Attributes:
        text: what is being done, with an estimate.
        share: of the present step that is done, in [0, 1].
        told: what is known before the end.
        result: what came of it; None until then.
        error: why nothing did, in the words of the command line; empty otherwise.
        stop: set it to end the work at its next step.
    """

    text: str = "Waiting for the model ..."
    share: float = 0.0
    told: Any = None
    result: Any = None
    error: str = ""
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def ended(self) -> bool:
        """Whether there is a result or an error."""
        return self.result is not None or bool(self.error)

    @property
    def stages(self) -> Stages:
        """Progress of its steps; raises where somebody has pressed Stop."""
        return self._stage

    def _stage(self, name: str, total: int) -> Progress:
        began, done = time.monotonic(), 0

        def advance(more: int) -> None:
            nonlocal done
            if self.stop.is_set():
                raise StoppedByUserError("Stopped, before anything was put in force. Start it again whenever you like.")
            done += more
            left = (time.monotonic() - began) * (total - done) / done if done else 0.0
            estimate = f", about {left:.0f} s left in this step" if left >= 1 else ""
            self.text, self.share = f"{name}: {done} of {total}{estimate}", done / max(total, 1)

        advance(0)
        return advance


@final
class Jobs:
    """Those of one process, by a key that only its pages know: they are named in the address."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def find(self, key: str) -> Job | None:
        """The one of that key, running or ended."""
        return self._jobs.get(key)

    def start(self, key: str, engine: Engine, work: Callable[[Job], Any]) -> Job:
        """Begin it after what the model was asked before; one that still runs under this key is given instead."""
        there = self._jobs.get(key)
        if there is not None and not there.ended:
            return there
        job, first = Job(), sum(not one.ended for one in self._jobs.values())
        if first:
            job.text = f"Waiting for the model: {first} other piece{'s' * (first > 1)} of work goes first ..."
        self._jobs[key] = job
        task = asyncio.create_task(_run(job, engine, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return job

    def stop(self) -> None:
        """End them all at their next step, so that the process can end."""
        for job in self._jobs.values():
            job.stop.set()


def reason(error: Exception) -> str:
    """Its kind; of a file or disk what the system says, as that it is full. No text of ours is in it, and no path."""
    said = error.strerror if isinstance(error, OSError) else None
    return said or type(error).__name__


async def _run(job: Job, engine: Engine, work: Callable[[Job], Any]) -> None:
    try:
        job.result = await engine.work(work, job)
    except UnseeError as error:
        job.error = str(error)
    except Exception as error:
        LOG.exception("work with the model has failed")
        job.error = f"That failed ({reason(error)}). The terminal says more; nothing was put in force."
