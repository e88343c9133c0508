"""How each question is put: the style of its protocol, or the very string that a benchmark's release feeds to LLaVA."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

from unsee.data.benchmarks.released_prompts import RELEASED, whole_prompt
from unsee.data.prompts import Style
from unsee.data.sample import Sample
from unsee.models.load import LoadedModel

# Writes the text and nothing else: what a release feeds holds its own turns and the image's place.
_VERBATIM = (
    "{% for message in messages %}{% for part in message['content'] %}"
    "{% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endfor %}"
)


@final
@dataclass(frozen=True, eq=False)
class Asking:
    """A model that is ready to be asked in one way.

    Attributes:
        loaded: the model; its processor renders as the prompts need it.
        style: for `unsee.models.generate`.
        whole: the benchmark whose complete strings are fed, or None for the model's own chat template.
    """

    loaded: LoadedModel
    style: Style
    whole: str | None

    def prompts(self, samples: Sequence[Sample]) -> list[Sample]:
        """What to ask in place of the samples, in order; scoring needs the samples themselves."""
        if self.whole is None:
            return list(samples)
        return [
            replace(sample, question=whole_prompt(sample, self.whole), form="generation", options=None)
            for sample in samples
        ]


def asking(loaded: LoadedModel, style: Style, *, verbatim: bool) -> Asking:
    """Make a model ready to be asked.

    Args:
        loaded: the model.
        style: as for `unsee.data.prompts.instruction`.
        verbatim: feed what the release of `style` feeds to LLaVA, where it has such strings and this is a LLaVA; other
            families get its words in their own chat template.
    """
    if not verbatim or style not in RELEASED:
        return Asking(loaded, style, None)
    if style == "offside" and loaded.adapter.family.startswith("qwen"):
        return Asking(loaded, "offside-qwen", None)
    if RELEASED[style].whole is None or loaded.adapter.family != "llava":
        return Asking(loaded, style, None)
    processor = copy.copy(loaded.processor)
    processor.chat_template = _VERBATIM
    return Asking(replace(loaded, processor=processor), "plain", style)
