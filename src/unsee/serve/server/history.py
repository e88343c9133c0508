"""Which assistant turns of a conversation are this server's own, word for word and in their place.

A client that makes up what the assistant said ("She works as a") and asks to go on gets past gates that were fitted on
questions. So the server remembers a digest of each conversation that it has answered, with its answer; no text.
"""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, final

from unsee.serve.errors import RefusedError

MOST = 200_000
"""Answers that are remembered, 32 bytes each and their place in the table."""


@final
class History:
    """What one server has answered lately; lost when it ends."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._answered: OrderedDict[bytes, None] = OrderedDict()

    def require_own(self, tenant: str, messages: Iterable[Mapping[str, Any]]) -> bytes:
        """The digest of a conversation that ends with a user turn.

        Args:
            tenant: who asks.
            messages: as they are handed to the engine, so that one image is one image however it was sent.

        Raises:
            RefusedError: it holds an assistant turn that was not this server's answer there.
        """
        digest = hashlib.sha256(tenant.encode()).digest()
        for place, turn in enumerate(messages):
            digest = _after(digest, turn)
            if turn["role"] == "assistant" and digest not in self._answered:
                raise RefusedError(
                    f"messages.{place}: an assistant turn that this server has not answered there, or not lately. "
                    "Expected its answers as they came, after the turns that they answered. Leave it out.",
                    "assistant_turn",
                )
        return digest

    def note(self, digest: bytes, answers: Iterable[str]) -> None:
        """Remember answers to a conversation."""
        for text in answers:
            self._answered[_after(digest, {"role": "assistant", "content": text})] = None
        while len(self._answered) > self._most:
            self._answered.popitem(last=False)


def answers(body: bytes, streamed: bool) -> Iterator[str]:
    """The texts that a chat completion gives, one for each choice."""
    said: dict[int, str] = {}
    lines = body.splitlines() if streamed else [b"data: " + body]
    for line in lines:
        if line.startswith(b"data: {"):
            for choice in json.loads(line[6:]).get("choices", ()):  # none in the line of an error
                text = choice["delta" if streamed else "message"].get("content") or ""
                said[choice["index"]] = said.get(choice["index"], "") + text
    yield from said.values()


def _after(digest: bytes, turn: Mapping[str, Any]) -> bytes:
    if turn["role"] == "assistant":
        turn = {**turn, "content": turn["content"].strip()}  # as many clients do
    return hashlib.sha256(digest + json.dumps(turn, sort_keys=True).encode()).digest()
