"""What a model said before is not asked again: greedy answers, kept in a file of the cache folder."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

from unsee.data.sample import Sample
from unsee.data.task import prompt_digest
from unsee.evals.answerers.base import PLAIN, Answerer, How
from unsee.evals.answerers.local import Local
from unsee.models.load import LoadedModel
from unsee.models.names import cache_folder


@final
@dataclass(frozen=True, eq=False)
class Recorded:
    """The same answerer, quicker: a greedy answer depends on the prompt, its style and its length alone.

    Attributes:
        inner: who is asked what is not recorded; the weights that the file belongs to.
        place: one answer a line; appended batch by batch, so that a run that is killed loses one batch.
    """

    inner: Answerer
    place: Path
    _said: dict[str, str] = field(default_factory=dict, repr=False)

    @staticmethod
    def of(loaded: LoadedModel) -> "Recorded":
        """The model as it is; in the cache folder, by its digest and precision."""
        precision = str(loaded.model.dtype).removeprefix("torch.")
        place = cache_folder() / "answers" / f"{loaded.digest.removeprefix('sha256:')}-{precision}.jsonl"
        said: dict[str, str] = {}
        if place.is_file():
            for line in place.read_text(encoding="utf-8").splitlines():
                try:
                    said |= json.loads(line)
                except ValueError:  # none, or torn by a kill
                    continue
        return Recorded(Local(loaded), place, said)

    @property
    def about(self) -> Mapping[str, Any]:
        """What is behind it: where an answer was kept changes nothing."""
        return self.inner.about

    @property
    def loaded(self) -> LoadedModel | None:
        """The model behind it."""
        return self.inner.loaded

    def order(self, samples: Sequence[Sample], how: How) -> list[int]:
        """As what is behind it."""
        return self.inner.order(samples, how)

    def answers(self, samples: Sequence[Sample], how: How = PLAIN, begun: Sequence[str] = ()) -> list[str]:
        """As `Answerer.answers`; drawn answers and those to a response prefill are never kept."""
        if how.draw is not None or how.verbatim or any(begun):
            return self.inner.answers(samples, how, begun)
        keys = [_key(one, how) for one in samples]
        new = [row for row, key in enumerate(keys) if key not in self._said]
        answers = self.inner.answers([samples[row] for row in new], how) if new else []
        found = {keys[row]: answer for row, answer in zip(new, answers, strict=True)}
        if found:
            self.place.parent.mkdir(parents=True, exist_ok=True)
            with self.place.open("a", encoding="utf-8") as file:
                # A line begins with its end, so that one that a kill has torn spoils no other.
                file.write("".join("\n" + json.dumps({key: said}, ensure_ascii=False) for key, said in found.items()))
            self._said.update(found)
        return [self._said[key] for key in keys]


def _key(sample: Sample, how: How) -> str:
    options = json.dumps(sample.options, sort_keys=True) if sample.options else ""
    return f"{prompt_digest(sample)}/{sample.form}{options}/{how.style}/{how.max_new_tokens}"
