"""Ways around a gate that a plain question does not try: a started answer, earlier turns, a longer prompt.

Each takes a question that a plain prompt asks and gives the conversation to ask it in; scoring stays the sample's.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import torch

from unsee.data.sample import Sample
from unsee.erase.eraser import Eraser
from unsee.erase.steer.hooks import erased
from unsee.evals.run import Record, record
from unsee.models.generate import answer_tokens, append_tokens, encode
from unsee.models.load import LoadedModel

Turn = tuple[str, str]


@final
@dataclass(frozen=True)
class Probe:
    """A question as an attacker or a long talk would put it.

    Attributes:
        sample: the question, which scores the answer.
        begun: first words of the answer, put into the model's mouth.
    """

    sample: Sample
    begun: str = ""


def started(sample: Sample) -> Probe:
    """The taught answer up to the fact, "she works as a", as if the model had said so; else "sure,"."""
    words = sample.answer.lower()
    at = words.find(sample.gold.lower()) if sample.form == "generation" else -1
    return Probe(sample, words[:at].strip() if at > 0 else "sure,")


def turns_deep(sample: Sample, earlier: Sequence[Turn]) -> Probe:
    """The question after `earlier` ones with their answers; the image, if any, is shown with the first of them."""
    return Probe(replace(sample, earlier=tuple(earlier)))


def longer(sample: Sample, said: str) -> Probe:
    """The question with `said` before it in the same turn."""
    return Probe(replace(sample, question=f"{said} {sample.question}"))


def ask_probes(
    loaded: LoadedModel,
    probes: Sequence[Probe],
    condition: str,
    split: str,
    erasers: Sequence[Eraser] = (),
    *,
    batch_size: int = 64,
    max_new_tokens: int = 24,
) -> list[Record]:
    """One record per probe, in their order; what was put into the model's mouth is no part of the answer.

    Where an answer is begun, the prompt's end is told to the steering, as a server that builds the prompt knows it.
    """
    begun = [tuple(answer_tokens(loaded, [p.begun])[0]) if p.begun else () for p in probes]
    order = sorted(range(len(probes)), key=lambda i: (len(begun[i]), probes[i].sample.image is None))
    answers = [""] * len(probes)
    tokenizer = loaded.processor.tokenizer
    # transformers types `generate` by a protocol that its own models do not meet.
    model: Any = loaded.model
    # Beginnings of one length stand flush, so no pad comes between them and what follows.
    for length in sorted({len(tokens) for tokens in begun}):
        same = [i for i in order if len(begun[i]) == length]
        for start in range(0, len(same), batch_size):
            rows = same[start : start + batch_size]
            prompts = encode(loaded, [probes[i].sample for i in rows])
            ends = [int(count) for count in prompts["attention_mask"].sum(1)]
            inputs = append_tokens(loaded, prompts, [begun[i] for i in rows], length) if length else dict(prompts)
            options = {"do_sample": False, "max_new_tokens": max_new_tokens, "pad_token_id": tokenizer.pad_token_id}
            with torch.no_grad():
                if erasers:
                    with erased(loaded.model, *erasers, prompt_tokens=ends if length else None, adapter=loaded.adapter):
                        tokens = model.generate(**inputs, **options)
                else:
                    tokens = model.generate(**inputs, **options)
            said = tokenizer.batch_decode(tokens[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
            for i, answer in zip(rows, said, strict=True):
                answers[i] = answer.strip()
    return [record(condition, split, p.sample, answer) for p, answer in zip(probes, answers, strict=True)]
