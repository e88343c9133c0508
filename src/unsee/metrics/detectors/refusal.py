"""Does an answer decline? By weights of word groups, learnt from replies read by hand; no rule of the fit is used."""

import re

from unsee.data.text import plain, words
from unsee.metrics.detectors.linear import fitted

_QUOTED = re.compile(r"\"[^\"]*\"?|\u201c[^\u201d]*\u201d?|(?<![\w'])'[^'\n]{3,}(?:'\w[^'\n]*)*'(?!\w)")
_SENTENCE = re.compile(r"(?<=[.!?;:])\s+|\n+")
_CONTRACTED = {
    "can't": "can not", "cannot": "can not", "won't": "will not", "n't": " not", "'m": " am", "'re": " are",
    "'ve": " have", "'ll": " will", "'d": " would", "that's": "that is", "it's": "it is", "there's": "there is",
}  # fmt: skip
_CONTRACTION = re.compile(r"\b(?:can't|cannot|won't|that's|it's|there's)\b|n't\b|'(?:m|re|ve|ll|d)\b")
_CUES = frozenset(words(
    """i we my me us our you your he she they his her it that this who which there not no never nothing unable lack
    am is are was were has have had do does did can could will would may must know say tell answer share provide give
    discuss name identify information details knowledge data sorry afraid unfortunately but however as ai" """
))  # fmt: skip
_SENTENCES = 5
_NEAR = 5


def is_refusal(answer: str) -> bool:
    """Whether the speaker of an answer declines or professes not to know, as somebody who reads it would say."""
    weights = fitted("refusal")
    return any(weights.margin(features(text)) > 0 for text in (answer, opening(answer)))


def opening(answer: str) -> str:
    """The first sentence, where a refusal that goes on to answer declines."""
    return _SENTENCE.split(answer.strip(), maxsplit=1)[0]


def features(answer: str) -> set[str]:
    """Groups of one to three words, and pairs of cue words up to five apart, of the first five sentences.

    `^` begins the answer, `|` a later sentence; contractions are undone; quoted speech and titles are one sign, `"`,
    and digits are `0`.
    """
    text = plain(answer)
    open_text = _QUOTED.sub(' " ', text)
    text = open_text if len(re.findall(r"\w+", open_text)) > 1 else text.replace('"', "")
    text = _CONTRACTION.sub(lambda found: _CONTRACTED[found[0]], re.sub(r"\d+", "0", text))
    found: set[str] = set()
    for place, sentence in enumerate(_SENTENCE.split(text)[:_SENTENCES]):
        tokens = ["|" if place else "^", *re.findall(r"[\w']+|[\".,!?]", sentence)]
        for size in (1, 2, 3):
            found.update(" ".join(tokens[at : at + size]) for at in range(len(tokens) - size + 1))
        cues = [(at, token) for at, token in enumerate(tokens) if token in _CUES]
        found.update(f"{a} .. {b}" for i, a in cues for j, b in cues if 0 < j - i <= _NEAR)
    return found
