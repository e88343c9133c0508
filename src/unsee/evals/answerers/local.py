"""A model in this process, by transformers: as it is, with erasers in force, or a trained checkpoint."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, final

import torch

from unsee.data.sample import Sample
from unsee.erase.eraser import Eraser
from unsee.erase.profile import identity
from unsee.erase.steer.hooks import erased
from unsee.evals.answerers.base import PLAIN, How
from unsee.evals.likelihood import AnswerScores, answer_scores
from unsee.evals.prompting import Asking, asking
from unsee.models.generate import answer_tokens, append_tokens, batches_by_length, encode, generate
from unsee.models.load import LoadedModel


@final
@dataclass(frozen=True, eq=False)
class Local:
    """The model and the requests in force.

    Attributes:
        loaded: the model; its weights are only read.
        erasers: requests in force, as `together` made them.
        erasers_said: what settings call them: content ids, in order.
    """

    loaded: LoadedModel
    erasers: Sequence[Eraser] = ()
    erasers_said: Sequence[str] = ()

    @property
    def about(self) -> Mapping[str, Any]:
        """Model with digest and precision, and the erasers' content ids."""
        return {
            "engine": "transformers",
            "model": identity(self.loaded),
            "precision": str(self.loaded.model.dtype).removeprefix("torch."),
            "erasers": list(self.erasers_said) or [eraser.method for eraser in self.erasers],
        }

    def order(self, samples: Sequence[Sample], how: How) -> list[int]:
        """Longest first, images and plain text apart."""
        put = self._put(how)
        (order,) = batches_by_length(put.loaded, put.prompts(samples), len(samples), put.style)
        return order

    def answers(self, samples: Sequence[Sample], how: How = PLAIN, begun: Sequence[str] = ()) -> list[str]:
        """All in one batch; answers begun with equally many tokens share one."""
        if not samples:
            return []
        put = self._put(how)
        prompts, options = put.prompts(samples), generation(how)
        if any(begun):
            return self._continued(put, prompts, begun, options)
        with self._steered():
            return generate(put.loaded, prompts, len(prompts), style=put.style, **options)

    def scores(
        self, samples: Sequence[Sample], answers: Sequence[str], how: How, batch_size: int
    ) -> list[AnswerScores | None]:
        """As `Scoring.scores`."""
        put = self._put(how)
        return answer_scores(
            put.loaded,
            put.prompts(samples),
            list(answers),
            erasers=self.erasers,
            end=True,
            batch_size=batch_size,
            style=put.style,
        )

    def margins(self, samples: Sequence[Sample], how: How) -> list[float | None]:
        """As `Gated.margins`: one forward pass a prompt."""
        if not self.erasers or not samples:
            return [None] * len(samples)
        put, found = self._put(how), dict[int, float]()
        prompts = put.prompts(samples)
        for rows in batches_by_length(put.loaded, prompts, 64, put.style):
            inputs = encode(put.loaded, [prompts[row] for row in rows], put.style)
            with torch.no_grad(), erased(self.loaded.model, *self.erasers, adapter=self.loaded.adapter) as steering:
                self.loaded.model(**inputs, use_cache=False, logits_to_keep=1)
            read = torch.stack([one.margins.amax(1) for one in steering.readings if one is not None]).amax(0)
            found |= dict(zip(rows, read.tolist(), strict=True))
        return [found[row] for row in range(len(samples))]

    def _put(self, how: How) -> Asking:
        return asking(self.loaded, how.style, verbatim=how.verbatim)

    def _steered(self, prompt_tokens: list[int] | None = None) -> AbstractContextManager[object]:
        if not self.erasers:
            return nullcontext()
        model, adapter = self.loaded.model, self.loaded.adapter
        return erased(model, *self.erasers, prompt_tokens=prompt_tokens, adapter=adapter)

    def _continued(
        self, put: Asking, prompts: Sequence[Sample], begun: Sequence[str], options: Mapping[str, Any]
    ) -> list[str]:
        """Beginnings of one length stand flush, so no pad comes between them and what follows.

        The prompt's end is told to the steering, as a server that builds the prompt knows it.
        """
        loaded, tokenizer = put.loaded, put.loaded.processor.tokenizer
        # transformers types `generate` by a protocol that its own models do not meet.
        model: Any = loaded.model
        first = [tuple(answer_tokens(loaded, [words])[0]) if words else () for words in begun]
        answers = [""] * len(prompts)
        for length in sorted({len(tokens) for tokens in first}):
            rows = [row for row, tokens in enumerate(first) if len(tokens) == length]
            inputs = dict(encode(loaded, [prompts[row] for row in rows], put.style))
            ends = [int(count) for count in inputs["attention_mask"].sum(1)]
            if length:
                inputs = append_tokens(loaded, inputs, [first[row] for row in rows], length)
            with torch.no_grad(), self._steered(ends if length else None):
                tokens = model.generate(**inputs, pad_token_id=tokenizer.pad_token_id, **options)
            said = tokenizer.batch_decode(tokens[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
            for row, answer in zip(rows, said, strict=True):
                answers[row] = answer.strip()
        return answers


def generation(how: How) -> dict[str, Any]:
    """What `generate` is told of length and draw; the draw's seed is set."""
    length = {"max_new_tokens": how.max_new_tokens} | ({"min_new_tokens": how.max_new_tokens} if how.exact else {})
    if how.draw is None:
        return {"do_sample": False, **length}
    torch.manual_seed(how.draw.seed)
    whole = {} if how.draw.temperature is None else {"temperature": how.draw.temperature, "top_k": 0, "top_p": 1.0}
    return {"do_sample": True, **whole, **length}
