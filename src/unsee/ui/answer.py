"""One answer of a model, and what is shown beside it: what each gate read by turn, the first token's candidates."""

import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, final

import torch
from transformers import StoppingCriteria, StoppingCriteriaList, TextStreamer

from unsee.data.sample import Sample, Turn
from unsee.erase.eraser import Eraser
from unsee.erase.eraser_set import together
from unsee.erase.steer.hooks import erased
from unsee.errors import DataError
from unsee.models.generate import encode
from unsee.models.load import LoadedModel

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
        meters: one per gate in force, the furthest open first; empty without erasers.
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


def answer(
    loaded: LoadedModel, erasers: Sequence[Eraser], turns: Sequence[Turn], how: How, tell: Callable[[str], None],
    stop: threading.Event,
) -> Answered:  # fmt: skip
    """Answer a conversation, steered by the erasers; `tell` is given each piece of text.

    Raises:
        UnseeError: the prompt cannot be made, or steering did not happen as it must.
    """
    inputs, tokenizer = encode(loaded, [Sample.of_turns(turns)], "plain"), loaded.processor.tokenizer
    _require_room(loaded, inputs["input_ids"].shape[1], how.tokens)
    options: dict[str, Any] = {"do_sample": how.temperature > 0, "max_new_tokens": how.tokens}
    if how.temperature > 0:
        options["temperature"] = how.temperature
    in_force = together(list(erasers)) if erasers else []
    meters, fired = _meters(loaded, turns, in_force), False
    block = erased(loaded.model, *in_force, adapter=loaded.adapter) if in_force else nullcontext()
    model: Any = loaded.model  # `generate` is typed by a protocol that transformers' own models do not meet
    # The generator of chance is the whole process's: what draws nothing leaves it alone.
    with torch.random.fork_rng(enabled=how.temperature > 0), torch.no_grad(), block as steering:
        if how.temperature > 0:
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
    text = tokenizer.decode(tokens, skip_special_tokens=True).strip()
    return Answered(text, _first(tokenizer, made.scores[0][0]), meters, fired, stop.is_set())


def _require_room(loaded: LoadedModel, tokens: int, answer: int) -> None:
    room = getattr(loaded.model.config.get_text_config(), "max_position_embeddings", None)
    if room is not None and tokens + answer > room:
        raise DataError(
            f"the conversation has {tokens} tokens and the answer may have {answer}, but the model takes {room} in "
            "all. Ask something shorter, or start over."
        )


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


def _first(tokenizer: Any, scores: torch.Tensor) -> tuple[tuple[str, float], ...]:
    best = scores.float().log_softmax(-1).topk(min(SHOWN, scores.shape[-1]))
    listed = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return tuple((tokenizer.decode([token]), value) for token, value in listed if value > float("-inf"))


def _meters(loaded: LoadedModel, turns: Sequence[Turn], in_force: Sequence[Eraser]) -> tuple[Meter, ...]:
    """What the gates read after each of the user's turns; published gates, which never open, are left out."""
    latched = [eraser for eraser in in_force if eraser.gate.latched]
    if not latched:
        return ()
    prefixes = [Sample.of_turns(turns[: end + 1]) for end, turn in enumerate(turns) if turn.role == "user"]
    with torch.no_grad(), erased(loaded.model, *latched, adapter=loaded.adapter) as steering:
        loaded.model(**encode(loaded, prefixes, "plain"))
        readings = steering.readings
    found: list[Meter] = []
    for eraser, reading in zip(latched, readings, strict=True):
        if reading is not None:
            columns = zip(eraser.subjects, reading.margins.T.tolist(), strict=True)
            found += [Meter(subject, tuple(margins)) for subject, margins in columns]
    return tuple(sorted(found, key=lambda one: -one.margins[-1]))
