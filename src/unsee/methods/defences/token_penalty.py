"""A penalty on the words of erased facts, for prompts that a list of names and faces marks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from unsee.data.sample import Sample
from unsee.evals.answerers import PLAIN, How, Local, Switched
from unsee.evals.answerers.local import generation
from unsee.evals.prompting import asking
from unsee.methods.controls import NamesAndFaces, forbidden
from unsee.methods.task import Made, Request
from unsee.models.generate import generate
from unsee.models.load import LoadedModel
from unsee.registry import method


@final
@dataclass(frozen=True, eq=False)
class Penalised:
    """A model that pays for beginning or ending any of some words.

    Attributes:
        inner: the model.
        words: token ids of each, as it would say them.
        penalty: taken off the logit of the token that completes one, in nats.
    """

    inner: Local
    words: tuple[tuple[int, ...], ...]
    penalty: float

    @property
    def about(self) -> Mapping[str, Any]:
        """The model, how much is penalised and by how much; not the words."""
        return {**self.inner.about, "penalised": len(self.words), "penalty": self.penalty}

    @property
    def loaded(self) -> LoadedModel:
        """The model."""
        return self.inner.loaded

    def order(self, samples: Sequence[Sample], how: How) -> list[int]:
        """As the model."""
        return self.inner.order(samples, how)

    def answers(self, samples: Sequence[Sample], how: How = PLAIN, begun: Sequence[str] = ()) -> list[str]:
        """As `Answerer.answers`; no answer is begun."""
        del begun
        if not samples:
            return []
        put = asking(self.loaded, how.style, verbatim=how.verbatim)
        taken = dict.fromkeys(self.words, -self.penalty)
        options: dict[str, Any] = generation(how) | {"sequence_bias": taken}
        return generate(put.loaded, put.prompts(samples), len(samples), style=put.style, **options)


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
    inner = Local(request.loaded)
    answerer = Switched(inner, Penalised(inner, words, penalty), gate.fires, gate.called)
    return Made(answerer, gate.stored + 8 * sum(map(len, words)))
