"""The engines behind one door: one, or with --data-parallel-size several copies, all of which hold what is in force."""

import asyncio
from typing import Any, final

from unsee.serve.errors import EngineError

CALL = "_call_utility_async"


@final
class Engines:
    """vLLM's client as a server needs it: what is asked of the workers is asked of those of every engine.

    vLLM's own `collective_rpc` tells all engines, and returns what the first has said.

    Attributes:
        client: `AsyncLLM`.
        count: engines; each request goes to one of them.
    """

    def __init__(self, client: Any) -> None:
        self.client, self._core = client, client.engine_core
        self.count = len(self._core.core_engines)

    async def collective_rpc(self, method: str, timeout: float | None = None, args: tuple[Any, ...] = ()) -> list[Any]:
        """Call a method of every worker between two steps, and return what each has said.

        Raises:
            EngineError: an engine has more or fewer workers than the first.
        """
        ask = getattr(self._core, CALL)
        said = await asyncio.gather(
            *(ask("collective_rpc", method, timeout, args, None, engine=one) for one in self._core.core_engines)
        )
        if len({len(workers) for workers in said}) != 1:
            raise EngineError(
                f"engines answered {method!r} with {[len(w) for w in said]} workers, expected as many each."
            )
        return [worker for workers in said for worker in workers]
