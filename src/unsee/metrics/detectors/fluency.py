"""Does an answer read as text? By weights of how its words follow each other and come again, learnt from replies."""

import re
from collections import Counter
from itertools import pairwise

from unsee.data.text import plain, words
from unsee.metrics.detectors.linear import fitted

_FUNCTION = frozenset(words(
    """a about after all also am an and any are aren't as at be been before but by can can't cannot could couldn't did
    didn't do does doesn't don't for from had has have he her him his how i i'd i'll i'm i've if in into is isn't it
    it's its may me might more most must my no not nothing of on or other our out over shall she should so some such
    than that that's the their them then there these they this those to too under up us very was wasn't we were what
    when where which who whom whose why will with won't would you your"""
))  # fmt: skip
_ENDINGS = ("ing", "ed", "ly", "s")


def is_fluent(answer: str) -> bool:
    """Whether the language of an answer is sound, as somebody who reads it would say; a cut end is no fault."""
    return fitted("fluency").margin(features(answer)) > 0


def features(answer: str) -> set[str]:
    """Kinds of neighbours (function words as they are, others by their ending) and steps of repetition."""
    tokens = re.findall(r"[\w']+|[^\w\s]", plain(answer))
    said = [token for token in tokens if re.match(r"\w", token)]
    kinds = ["^", *map(_kind, tokens)]
    found = {f"{a} {b}" for a, b in pairwise(kinds)}
    found |= {" ".join(three) for three in zip(kinds, kinds[1:], kinds[2:], strict=False)}
    return found | _repetition(said) | _spelling(answer) | {f"words>{n}" for n in (0, 1, 3, 8) if len(said) > n}


def _kind(token: str) -> str:
    if token in _FUNCTION or not re.match(r"\w", token):
        return token
    if token[0].isdigit():
        return "0"
    return next((f"-{ending}" for ending in _ENDINGS if len(token) > len(ending) + 2 and token.endswith(ending)), "-")


def _spelling(answer: str) -> set[str]:
    """How many words are spelt as no word is: capitals or digits inside, foreign signs, signs for words."""
    tokens = re.findall(r"\S+", answer)
    odd = sum(
        bool(re.search(r"[a-z][A-Z]|[A-Z]{2}[a-z]{2}|[a-zA-Z]\d[a-zA-Z]|[\[\]{}<>@#\\|~^]|\ufffd", one))
        for one in tokens
    )
    rare = sum(len(one) > 14 or not re.search("[aeiouyAEIOUY\\d]|^\\W*$", one) for one in tokens)
    signs = sum(not (sign.isalnum() or sign.isspace()) for sign in answer)
    found = {f"odd>={n}" for n in (1, 2, 4) if odd >= n} | {f"rare>={n}" for n in (1, 2, 4) if rare >= n}
    return found | {f"signs>{tenths}" for tenths in (1, 2, 3, 5) if 10 * signs > tenths * max(1, len(answer))}


def _repetition(said: list[str]) -> set[str]:
    found: set[str] = set()
    for size in (1, 2, 3, 4, 6):
        groups = Counter(tuple(said[at : at + size]) for at in range(len(said) - size + 1))
        if groups:
            most, share = max(groups.values()), 1 - len(groups) / sum(groups.values())
            found |= {f"most {size}>={n}" for n in (2, 3, 4, 6) if most >= n and size > 1}
            found |= {f"again {size}>{tenths}" for tenths in (1, 2, 3, 4, 6, 8) if share > tenths / 10}
    for lag in (1, 2, 3, 5, 8):
        same = sum(a == b for a, b in zip(said, said[lag:], strict=False))
        found |= {f"lag {lag}>={n}" for n in (1, 2, 4) if same >= n}
    return found
