"""The engine's processes: none outlives what started it, and none writes prompts into its last log."""

import logging
import multiprocessing
import os
import sys
import threading
from multiprocessing.connection import wait
from typing import Any

SERVED = "UNSEE_ENGINE"
"""Environment variable that marks the processes of an engine that this package has started."""

_CORE = "vllm.v1.engine.core"


def attend() -> None:
    """Set up this process, if it is one of a steered engine's."""
    if SERVED not in os.environ:
        return
    core = sys.modules.get(_CORE)
    if core is not None:
        core.dump_engine_exception = _say_only_that
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True, name="unsee-parent").start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(os.EX_UNAVAILABLE)  # it was killed, so nobody would take what this process still does


def _say_only_that(*_: Any) -> None:
    """In place of vLLM's dump, which holds prompts and pixels."""
    logging.getLogger("vllm.unsee").error("the engine has failed; its input is not written down")
