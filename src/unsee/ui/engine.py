"""The model behind every tab: one piece of work at a time, in a thread of its own, told to the tabs as it comes."""

import asyncio
import contextvars
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeVar, final

import torch
from transformers import StoppingCriteria, StoppingCriteriaList, TextStreamer

from unsee.erase.eraser import Eraser
from unsee.erase.eraser_set import together
from unsee.erase.steer.hooks import erased
from unsee.models.generate import Conversation, encode_conversations
from unsee.models.load import LoadedModel

T = TypeVar("T")
SHOWN = 5
"""Candidates of the first token that are shown."""


@final
@dataclass(frozen=True)
class Meter:
    """What one gate read of a conversation.

    Attributes:
        subject: pseudonymous id of whom or what the gate is for.
        margins: score less threshold after each of the user's turns, the one asked now last; at 0 or more it is open.
    """

    subject: str
    margins: tuple[float, ...]

    @property
    def opened(self) -> int | None:
        """The user's turn, from 1, at which it is first open."""
        return next((turn for turn, margin in enumerate(self.margins, 1) if margin >= 0), None)


@final
@dataclass(frozen=True)
class Answered:
    """One pane.

    Attributes:
        text: the answer.
        first: likeliest first tokens, each with its natural log-probability.
        meters: one per gate in force; empty without erasers.
        fired: whether the answer was steered.
        stopped: whether somebody stopped it.
    """

    text: str
    first: tuple[tuple[str, float], ...]
    meters: tuple[Meter, ...] = ()
    fired: bool = False
    stopped: bool = False


@final
@dataclass(frozen=True)
class How:
    """How an answer is drawn.

    Attributes:
        tokens: longest answer.
        temperature: 0 is greedy.
        seed: of the draw.
    """

    tokens: int = 48
    temperature: float = 0.0
    seed: int = 0


@final
@dataclass(frozen=True)
class Engine:
    """A model and its thread.

    Attributes:
        loaded: the model.
    """

    loaded: LoadedModel
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "model"), repr=False)

    async def work(self, function: Callable[..., T], *arguments: Any, **options: Any) -> T:
        """Run something with the model, after what was asked before; errors come out here."""
        here = contextvars.Context()  # of the thread alone: no block of another tab reaches in
        call = lambda: here.run(function, *arguments, **options)  # noqa: E731
        return await asyncio.wrap_future(self._thread.submit(call))

    async def answer(
        self,
        erasers: Sequence[Eraser],
        asked: Conversation,
        how: How,
        tell: Callable[[str], None],
        stop: threading.Event,
    ) -> Answered:
        """Answer a conversation, steered by the erasers; `tell` is given each piece of text in the event loop.

        Raises:
            UnseeError: the prompt cannot be made, or steering did not happen as it must.
        """
        loop = asyncio.get_running_loop()
        return await self.work(
            _answer, self.loaded, asked, erasers, how, lambda text: loop.call_soon_threadsafe(tell, text), stop
        )

    def close(self) -> None:
        """Take no more work."""
        self._thread.shutdown(wait=False, cancel_futures=True)


@final
class _Pieces(TextStreamer):
    def __init__(self, tokenizer: Any, tell: Callable[[str], None]) -> None:
        super().__init__(tokenizer, skip_prompt=True, skip_special_tokens=True)
        self._tell = tell

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        del stream_end
        self._tell(text)


@final
class _Stopped(StoppingCriteria):
    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> Any:
        return torch.full((len(input_ids),), self._stop.is_set(), device=input_ids.device)


def _answer(
    loaded: LoadedModel, asked: Conversation, erasers: Sequence[Eraser], how: How, tell: Callable[[str], None],
    stop: threading.Event,
) -> Answered:  # fmt: skip
    inputs, tokenizer = encode_conversations(loaded, [asked]), loaded.processor.tokenizer
    options: dict[str, Any] = {"do_sample": how.temperature > 0, "max_new_tokens": how.tokens}
    if how.temperature > 0:
        options["temperature"] = how.temperature
    in_force = together(list(erasers)) if erasers else []
    meters, fired = _meters(loaded, asked, in_force), False
    block = erased(loaded.model, *in_force, adapter=loaded.adapter) if in_force else nullcontext()
    model: Any = loaded.model  # `generate` is typed by a protocol that transformers' own models do not meet
    with torch.random.fork_rng(), torch.no_grad(), block as steering:
        torch.manual_seed(how.seed)
        made = model.generate(
            **inputs,
            **options,
            pad_token_id=tokenizer.pad_token_id,
            streamer=_Pieces(tokenizer, tell),
            stopping_criteria=StoppingCriteriaList([_Stopped(stop)]),
            output_scores=True,
            return_dict_in_generate=True,
        )
        if steering is not None:
            fired = any(reading is not None and bool(reading.fired.any()) for reading in steering.readings)
    tokens = made.sequences[0, inputs["input_ids"].shape[1] :]
    return Answered(
        tokenizer.decode(tokens, skip_special_tokens=True).strip(), _first(tokenizer, made.scores[0][0]), meters, fired,
        stop.is_set(),
    )  # fmt: skip


def _first(tokenizer: Any, scores: torch.Tensor) -> tuple[tuple[str, float], ...]:
    best = scores.float().log_softmax(-1).topk(min(SHOWN, scores.shape[-1]))
    listed = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return tuple((tokenizer.decode([token]), value) for token, value in listed if value > float("-inf"))


def _meters(loaded: LoadedModel, asked: Conversation, in_force: Sequence[Eraser]) -> tuple[Meter, ...]:
    """What the gates read after each of the user's turns; published gates, which never open, are left out."""
    latched = [eraser for eraser in in_force if eraser.gate.latched]
    if not latched:
        return ()
    asking = [i for i, message in enumerate(asked.messages) if message["role"] == "user"]
    prefixes = [_until(asked, end) for end in asking]
    with torch.no_grad(), erased(loaded.model, *latched, adapter=loaded.adapter) as steering:
        loaded.model(**encode_conversations(loaded, prefixes))
        readings = steering.readings
    found: list[Meter] = []
    for eraser, reading in zip(latched, readings, strict=True):
        if reading is not None:
            columns = zip(eraser.subjects, reading.margins.T.tolist(), strict=True)
            found += [Meter(subject, tuple(margins)) for subject, margins in columns]
    return tuple(sorted(found, key=lambda one: -one.margins[-1]))


def _until(asked: Conversation, end: int) -> Conversation:
    messages = asked.messages[: end + 1]
    contents = [m["content"] for m in messages if not isinstance(m["content"], str)]
    shown = sum(part["type"] == "image" for content in contents for part in content)
    return Conversation(f"{asked.id}/{end}", messages, asked.images[:shown])
