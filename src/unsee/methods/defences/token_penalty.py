"""A penalty on the words of erased facts, for prompts that a list of names and faces marks."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from unsee.evals.answerers import Local, Switched
from unsee.methods.controls import NamesAndFaces, forbidden
from unsee.methods.task import Made, Request
from unsee.models.load import LoadedModel
from unsee.registry import method

Words = tuple[tuple[int, ...], ...]
"""Token ids of each word, as the model would say it."""


@contextmanager
def penalised(loaded: LoadedModel, words: Words, penalty: float) -> Iterator[None]:
    """So many nats are taken off the logit of the token that completes any of these words."""
    model: Any = loaded.model
    before = model.generation_config.sequence_bias
    model.generation_config.sequence_bias = dict.fromkeys(words, -penalty)
    try:
        yield
    finally:
        model.generation_config.sequence_bias = before


@method("token_penalty", kind="filtered", knob="penalty", values=(1, 2, 4, 8, 16, 32, 64))
def token_penalty(request: Request) -> Made:
    """GUARD's kind: where a list of names and faces fires, every fact of the forget set is made unlikely.

    Source: GUARD (arXiv 2505.13312), from its description: a prompt classifier and a penalty on forbidden tokens.
    """
    gate, tokenizer = NamesAndFaces.of(request), request.loaded.processor.tokenizer
    written = [form for word in forbidden(request.data.forget) for form in (word, f" {word}")]
    ids = (tuple(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in written)
    words = tuple(dict.fromkeys(one for one in ids if one))
    penalty = 16.0 if request.value is None else float(request.value)
    inner, within = Local(request.loaded), partial(penalised, request.loaded, words, penalty)
    answerer = Switched(inner, inner, gate.fires, f"{gate.called}; penalty {penalty:g}", within)
    return Made(answerer, gate.stored + 8 * sum(map(len, words)))
