"""A model and its thread: one piece of work at a time, told to the tabs as it comes."""

import asyncio
import contextvars
import copy
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, final

from unsee.data.sample import Turn
from unsee.erase.eraser import Eraser
from unsee.models.load import LoadedModel
from unsee.ui.answer import Answered, How, answer

T = TypeVar("T")


def _thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "model")


@final
@dataclass(frozen=True)
class Engine:
    """A model and its thread.

    Attributes:
        loaded: the model.
    """

    loaded: LoadedModel
    _own: ThreadPoolExecutor = field(default_factory=_thread, repr=False)
    _chance: ThreadPoolExecutor | None = field(default=None, repr=False)

    def beside(self, loaded: LoadedModel | None = None) -> "Engine":
        """Another model, or the same weights with hooks of their own: answers while this one works.

        Whatever is drawn at random still waits for this one: torch has one generator of chance for all threads.
        Weights that wait elsewhere between calls cannot be shared so; they are asked one after the other.
        """
        if loaded is None:
            model, here = self.loaded.model, (*self.loaded.model.parameters(), *self.loaded.model.buffers())
            if any(hasattr(module, "_hf_hook") for module in model.modules()):
                return self
            shared = copy.deepcopy(model, {id(tensor): tensor for tensor in here})
            # A tokenizer of its own too: those in Rust refuse to be used by two threads at once.
            loaded = replace(self.loaded, model=shared, processor=copy.deepcopy(self.loaded.processor))
        return Engine(loaded, _chance=self._chance or self._own)

    async def work(self, function: Callable[..., T], *arguments: Any, **options: Any) -> T:
        """Run something with the model, after what was asked before; errors come out here."""
        return await _run(self._own, function, *arguments, **options)

    async def answer(
        self, erasers: Sequence[Eraser], turns: Sequence[Turn], how: How, tell: Callable[[str], None],
        stop: threading.Event,
    ) -> Answered:  # fmt: skip
        """As `unsee.ui.answer.answer`; `tell` is called in the event loop."""
        loop = asyncio.get_running_loop()
        thread = self._chance if self._chance is not None and how.temperature > 0 else self._own
        say = lambda text: loop.call_soon_threadsafe(tell, text) and None  # noqa: E731
        return await _run(thread, answer, self.loaded, erasers, turns, how, say, stop)


async def _run(thread: ThreadPoolExecutor, function: Callable[..., T], *arguments: Any, **options: Any) -> T:
    here = contextvars.Context()  # of the thread alone: no block of another tab reaches in
    return await asyncio.wrap_future(thread.submit(lambda: here.run(function, *arguments, **options)))
