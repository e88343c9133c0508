"""The words that unknown entities get: a refusal in these does not tell who is on the list."""

from collections import Counter
from collections.abc import Collection, Sequence

from unsee.data.sample import Sample
from unsee.data.text import bare_words
from unsee.erase.detectors import is_fluent, is_refusal
from unsee.models.generate import generate
from unsee.models.load import LoadedModel

USUAL_WORDS = "I'm sorry, but I don't have any information about"
"""Opening words where the model has none of its own for somebody it does not know."""
OFTEN = 0.05
"""Share of the answers that a sentence must begin: one among hundreds is no way of declining, and may be no refusal."""


def unknown_words(loaded: LoadedModel, unknown: Sequence[Sample], batch_size: int, tokens: int) -> str | None:
    """What the model itself says most often of somebody it does not know, so that a refusal tells nothing.

    Only first sentences that are refusals and name nobody of whom was asked; None where there is none.

    Args:
        loaded: the model.
        unknown: questions about unknown entities, whose names are their `subject`.
        batch_size: prompts per forward pass.
        tokens: longest answer.
    """
    answers = generate(loaded, unknown, batch_size, max_new_tokens=tokens)
    return most_said([*zip((sample.subject for sample in unknown), answers, strict=True)])


def most_said(answers: Collection[tuple[str, str]]) -> str | None:
    """The first sentence that declines most often and does not hold the name; None where none comes back often.

    Args:
        answers: the name of whom was asked, and the answer.
    """
    said: Counter[str] = Counter()
    for name, answer in answers:
        sentence = answer.split(". ")[0].split("\n")[0].strip().rstrip(".") + "."
        named = set(bare_words(name).split()) & set(bare_words(sentence).split())
        if not named and is_refusal(sentence) and is_fluent(sentence):
            said[sentence] += 1
    sentence, count = said.most_common(1)[0] if said else ("", 0)
    return sentence if count >= max(1, OFTEN * len(answers)) else None
