"""The same question put otherwise: other words in its last turn, or turns before it, whatever shape it has."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from unsee.data.sample import Sample, Turn


def reworded(sample: Sample, change: Callable[[str], str]) -> Sample:
    """The question with other words in its last turn; images stay where they are."""
    if not sample.turns:
        return replace(sample, question=change(sample.question))
    *before, last = sample.turns
    place = max(n for n, part in enumerate(last.parts) if isinstance(part, str))
    parts = tuple(change(str(part)) if n == place else part for n, part in enumerate(last.parts))
    return replace(sample, turns=(*before, replace(last, parts=parts)))


def after(sample: Sample, earlier: Sequence[tuple[str, str]]) -> Sample:
    """The question after these turns and those that it has; a system prompt stays first."""
    if not sample.turns:
        return replace(sample, earlier=(*earlier, *sample.earlier))
    said = [Turn(role, (text,)) for pair in earlier for role, text in zip(("user", "assistant"), pair, strict=True)]
    first = 1 if sample.turns[0].role == "system" else 0
    return replace(sample, turns=(*sample.turns[:first], *said, *sample.turns[first:]))
