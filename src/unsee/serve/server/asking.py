"""Asking a running engine from the inside, before its door is opened."""

from collections.abc import Sequence
from typing import Any, final
from uuid import uuid4

from unsee.serve.engine.compat import part
from unsee.serve.engine.tracking import NO_SET, SET, TICKET
from unsee.serve.errors import EngineError
from unsee.serve.parity.comparison import ANSWER_TOKENS, Answer, Prompt, engine_answer


@final
class Inside:
    """Asks one engine."""

    def __init__(self, engine: Any, tokenizer: Any) -> None:
        self._engine, self._tokenizer = engine, tokenizer

    async def load(self, folders: dict[str, str], sets: dict[str, Sequence[str]]) -> None:
        """Hold exactly these erasers and sets.

        Raises:
            EngineError: a worker holds others.
        """
        given = {name: list(ids) for name, ids in sets.items()}
        held = await self._engine.collective_rpc("unsee_load", args=(folders, given, NO_SET))
        if any(answer != sorted(folders) for answer in held):
            raise EngineError(f"the engine holds {held}, expected {sorted(folders)} everywhere. Nothing is served.")

    async def ask(self, prompt: Prompt, set_name: str) -> Answer:
        """The greedy answer under a set."""
        ticket = uuid4().hex
        parameters = part("vllm:SamplingParams")(
            temperature=0, max_tokens=ANSWER_TOKENS, logprobs=0, extra_args={SET: set_name, TICKET: ticket}
        )
        asked: dict[str, Any] = {"prompt_token_ids": prompt.tokens}
        if prompt.image is not None:
            asked["multi_modal_data"] = {"image": prompt.image}
        last = None
        async for output in self._engine.generate(asked, parameters, ticket):
            last = output
        told = await self._engine.collective_rpc("unsee_reports", args=(ticket, True))
        if last is None or any(len(reports) != 1 or not reports[0]["decided"] for reports in told):
            raise EngineError(
                f"the engine answered {prompt.id!r} without a word of what its gates read: {told}. Its hooks are "
                "missing. Nothing is served."
            )
        for report in (reports[0] for reports in told):
            if report["unreadable"] or report["steered"] != report["required"]:
                raise EngineError(f"the engine steered otherwise than required: {report}. Nothing is served.")
        return engine_answer(self._tokenizer, last, told[0])
