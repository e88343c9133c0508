"""Compiled code runs eagerly while a model is steered: a graph made before the hooks were set does not see them."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import final

import torch


@final
class _Eager:
    """How many blocks are open, over all models and threads; torch has one stance for the whole process."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a dropped generator may close its block at any allocation
        self._open = 0
        self._stance = ExitStack()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Inside, whatever torch.compile has made runs as it was written."""
        with self._lock:
            if not self._open:
                self._stance.enter_context(torch.compiler.set_stance("force_eager"))
            self._open += 1
        try:
            yield
        finally:
            with self._lock:
                self._open -= 1
                if not self._open:
                    self._stance.close()


eagerly = _Eager()
