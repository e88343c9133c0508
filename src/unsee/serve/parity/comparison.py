"""The same prompts through the library and through the engine: tokens, log-probabilities, gates, verdicts.

Greedy answers are compared token by token. Where a bfloat16 engine breaks a tie otherwise, what counts is the verdict.
"""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import Any, final

import torch
from PIL.Image import Image

from unsee.data.sample import Sample, require_no_videos
from unsee.erase.detectors import is_refusal
from unsee.erase.eraser import Eraser
from unsee.erase.steer.hooks import erased
from unsee.models.generate import encode
from unsee.models.load import LoadedModel

ANSWER_TOKENS = 16
TOLERANCE = 1e-3
"""Of log-probabilities, in nats, and of gates, which are fitted to say 1 and 0, in float32."""

ROUNDED = 0.1
"""Of gates in half precision."""


@final
@dataclass(frozen=True)
class Prompt:
    """What both sides are asked.

    Attributes:
        id: of the sample.
        tokens: with one image token per image, as the engine expects; it expands them itself.
        image: if there is one.
    """

    id: str
    tokens: list[int]
    image: Image | None


@final
@dataclass(frozen=True)
class Answer:
    """What one side said.

    Attributes:
        prompt: tokens that it saw.
        tokens: of the greedy answer, the end token included.
        logprobs: of these tokens.
        text: without special tokens.
        margin: largest score less threshold; None without an eraser.
    """

    prompt: list[int]
    tokens: list[int]
    logprobs: list[float]
    text: str
    margin: float | None


@final
@dataclass(frozen=True)
class Difference:
    """One prompt under one set, both sides.

    Attributes:
        id: of the sample.
        erasers: in the set.
        fired: on the library's side.
        same_prompt: token by token.
        same_tokens: of the answers.
        same_verdict: both refuse or neither does, and a gate fires on both sides or on neither.
        logprob: largest difference over the tokens that both sides said, in nats.
        margin: difference of the gates, or None.
    """

    id: str
    erasers: int
    fired: bool
    same_prompt: bool
    same_tokens: bool
    same_verdict: bool
    logprob: float
    margin: float | None

    @property
    def exact(self) -> bool:
        """What float32 must give."""
        same = self.same_prompt and self.same_tokens and self.same_verdict
        return same and max(self.logprob, self.margin or 0.0) <= TOLERANCE

    @property
    def close(self) -> bool:
        """What other precisions must give where gates are scaled to answer 1 and 0, as a canary's is."""
        return self.same_prompt and self.same_verdict and (self.margin or 0.0) <= ROUNDED

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def prompts_of(loaded: LoadedModel, samples: Sequence[Sample]) -> list[Prompt]:
    """Encode samples for both sides.

    Raises:
        DataError: a sample has a video, which the engine is not shown.
    """
    require_no_videos(samples, "the server")
    marker = loaded.adapter.image_token(loaded.processor)
    place = None if marker is None else loaded.processor.tokenizer.convert_tokens_to_ids(marker)
    prompts = []
    for sample in samples:
        expanded: list[int] = encode(loaded, [sample])["input_ids"][0].tolist()
        tokens = [t for i, t in enumerate(expanded) if not (t == place and i and expanded[i - 1] == place)]
        prompts.append(Prompt(sample.id, tokens, None if sample.image is None else sample.image.load()))
    return prompts


def library_answers(
    loaded: LoadedModel, samples: Sequence[Sample], erasers: Sequence[Eraser], length: int = ANSWER_TOKENS
) -> list[Answer]:
    """Greedy answers of the library, one prompt at a time."""
    answers = []
    model: Any = loaded.model
    for sample in samples:
        inputs = encode(loaded, [sample])
        block = erased(loaded.model, *erasers) if erasers else nullcontext()
        with torch.no_grad(), block as steering:
            made = model.generate(
                **inputs,
                do_sample=False,
                max_new_tokens=length,
                output_logits=True,
                return_dict_in_generate=True,
                pad_token_id=loaded.processor.tokenizer.pad_token_id,
            )
        prompt = inputs["input_ids"][0].tolist()
        tokens: list[int] = made.sequences[0, len(prompt) :].tolist()
        logprobs = [float(made.logits[i][0].float().log_softmax(-1)[token]) for i, token in enumerate(tokens)]
        readings = [] if steering is None else [r for r in steering.readings if r is not None]
        margin = max((float(reading.margins.max()) for reading in readings), default=None)
        answers.append(Answer(prompt, tokens, logprobs, _text(loaded.processor.tokenizer, tokens), margin))
    return answers


def engine_answer(tokenizer: Any, output: Any, report: Mapping[str, Any]) -> Answer:
    """One finished output of vLLM, asked with `logprobs=0`, as an answer."""
    said = output.outputs[0]
    tokens = list(said.token_ids)
    logprobs = [entry[token].logprob for entry, token in zip(said.logprobs, tokens, strict=True)]
    margin = report["highest"]
    return Answer(list(output.prompt_token_ids), tokens, logprobs, _text(tokenizer, tokens), margin)


def difference(sample_id: str, erasers: int, library: Answer, engine: Answer) -> Difference:
    """Compare both sides."""
    common = 0
    while common < min(len(library.tokens), len(engine.tokens)) and library.tokens[common] == engine.tokens[common]:
        common += 1
    apart = [abs(a - b) for a, b in zip(library.logprobs[:common], engine.logprobs[:common], strict=True)]
    both = library.margin is not None and engine.margin is not None
    fires = [answer.margin is not None and answer.margin >= 0 for answer in (library, engine)]
    return Difference(
        sample_id,
        erasers,
        fires[0],
        library.prompt == engine.prompt,
        library.tokens == engine.tokens,
        fires[0] == fires[1] and is_refusal(library.text) == is_refusal(engine.text),
        max(apart, default=float("inf")),
        abs((library.margin or 0.0) - (engine.margin or 0.0)) if both else None,
    )


def _text(tokenizer: Any, tokens: Sequence[int]) -> str:
    return str(tokenizer.decode(list(tokens), skip_special_tokens=True)).strip()
