"""Does an answer decline? By weights of word groups, learnt from replies read by hand; no rule of the fit is used."""

import re

from unsee.data.text import plain
from unsee.metrics.detectors.linear import fitted

_QUOTED = re.compile(r"\"[^\"]*\"?|\u201c[^\u201d]*\u201d?|(?<![\w'])'[^'\n]{3,}(?:'\w[^'\n]*)*'(?!\w)")
_SENTENCE = re.compile(r"(?<=[.!?;:])\s+|\n+")
_LONGEST = 3
_SENTENCES = 5


def is_refusal(answer: str) -> bool:
    """Whether the speaker of an answer declines or professes not to know, as somebody who reads it would say."""
    weights = fitted("refusal")
    return any(weights.margin(features(text)) > 0 for text in (answer, opening(answer)))


def opening(answer: str) -> str:
    """The first sentence, where a refusal that goes on to answer declines."""
    return _SENTENCE.split(answer.strip(), maxsplit=1)[0]


def features(answer: str) -> set[str]:
    """Groups of one to three words of the first five sentences; `^` begins the answer, `|` a later sentence.

    Quoted speech and titles are one sign, `"`, and digits are `0`.
    """
    text = plain(answer)
    open_text = _QUOTED.sub(' " ', text)
    text = open_text if len(re.findall(r"\w+", open_text)) > 1 else text.replace('"', "")
    found: set[str] = set()
    for place, sentence in enumerate(_SENTENCE.split(re.sub(r"\d+", "0", text))[:_SENTENCES]):
        tokens = ["|" if place else "^", *re.findall(r"[\w']+|[\".,!?]", sentence)]
        for size in range(1, _LONGEST + 1):
            found.update(" ".join(tokens[at : at + size]) for at in range(len(tokens) - size + 1))
    return found
