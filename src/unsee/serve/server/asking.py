"""Asking a running engine from the inside: by the canary, and for certificates."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, final
from uuid import uuid4

from unsee.serve.engine.carried import reports_of
from unsee.serve.engine.compat import part
from unsee.serve.engine.engines import Engines
from unsee.serve.engine.fired import as_required
from unsee.serve.engine.tracking import NO_SET, SET, TICKET
from unsee.serve.errors import EngineError
from unsee.serve.parity.comparison import ANSWER_TOKENS, Answer, Prompt, engine_answer


@final
class Inside:
    """Asks engines, which have so many seconds for each answer."""

    def __init__(self, engines: Engines, tokenizer: Any, seconds: float) -> None:
        self._engines, self._tokenizer, self._seconds = engines, tokenizer, seconds

    @property
    def ranks(self) -> range:
        """Numbers of the engines."""
        return range(self._engines.count)

    @asynccontextmanager
    async def holding(self, name: str, folders: Mapping[str, str]) -> AsyncIterator[None]:
        """Hold one set of erasers and nothing else, before the door is open."""
        await self.load(folders, {name: list(folders)})
        yield
        await self.load({}, {})

    async def load(self, folders: Mapping[str, str], sets: Mapping[str, Sequence[str]]) -> None:
        """Hold exactly these erasers and sets.

        Raises:
            EngineError: a worker holds others, or does not answer.
        """
        given = {name: list(ids) for name, ids in sets.items()}
        async with self._limited():
            held = await self._engines.collective_rpc("unsee_load", args=(dict(folders), given, NO_SET))
        if any(answer != sorted(folders) for answer in held):
            raise EngineError(f"the engine holds {held}, expected {sorted(folders)} everywhere. Nothing is served.")

    async def ask(self, prompt: Prompt, set_name: str, rank: int = 0) -> Answer:
        """The greedy answer of one engine under a set.

        Raises:
            EngineError: it is not steered as required, or does not come.
        """
        async with self._limited():
            output, reports = await self._answer(prompt, set_name, rank)
        if output is None or len(reports) != 1 or not reports[0]["decided"]:
            raise EngineError(
                f"the engine answered {prompt.id!r} without a report of what its gates read: {reports}. Its hooks are "
                "missing. Nothing is served."
            )
        if not as_required(reports[0]):
            raise EngineError(f"the engine steered otherwise than required: {reports[0]}. Nothing is served.")
        return engine_answer(self._tokenizer, output, reports[0])

    async def _answer(self, prompt: Prompt, set_name: str, rank: int) -> tuple[Any, list[Mapping[str, Any]]]:
        ticket, output = uuid4().hex, None
        parameters = part("vllm:SamplingParams")(
            temperature=0, max_tokens=ANSWER_TOKENS, logprobs=0, extra_args={SET: set_name, TICKET: ticket}
        )
        asked: dict[str, Any] = {"prompt_token_ids": prompt.tokens}
        if prompt.image is not None:
            asked["multi_modal_data"] = {"image": prompt.image}
        client = self._engines.client
        with reports_of(client).opened(ticket) as told:
            async for said in client.generate(asked, parameters, ticket, data_parallel_rank=rank):
                output = said
            return output, told.reports()

    @asynccontextmanager
    async def _limited(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._seconds):
                yield
        except TimeoutError as error:
            raise EngineError(
                f"the engine did not answer within {self._seconds:g} s. Nothing is served. If it is only slow, raise "
                "limits.engine_seconds."
            ) from error
