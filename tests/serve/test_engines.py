"""What workers are asked reaches those of every engine, and all of their words come back."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from unsee.serve.engine.engines import Engines
from unsee.serve.errors import EngineError


class Core:
    """vLLM's client of several engines, each of which says its own words."""

    def __init__(self, said: dict[bytes, list[str]]) -> None:
        self.core_engines, self._said = list(said), said
        self.asked: list[tuple[Any, ...]] = []

    async def _call_utility_async(self, method: str, *args: Any, engine: bytes) -> list[str]:
        self.asked.append((method, *args, engine))
        return self._said[engine]


def ask(core: Core) -> list[str]:
    engines = Engines(SimpleNamespace(engine_core=core))
    assert engines.count == len(core.core_engines)
    return asyncio.run(engines.collective_rpc("unsee_load", args=("folders",)))


def test_every_worker_of_every_engine_is_heard() -> None:
    core = Core({b"0": ["a", "b"], b"1": ["c", "d"]})
    assert ask(core) == ["a", "b", "c", "d"]
    assert core.asked == [("collective_rpc", "unsee_load", None, ("folders",), None, engine) for engine in (b"0", b"1")]


def test_engines_of_other_sizes_are_refused() -> None:
    with pytest.raises(EngineError, match=r"\[2, 1\] workers"):
        ask(Core({b"0": ["a", "b"], b"1": ["c"]}))
