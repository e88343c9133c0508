"""Ordinary English words: what an alias should not be, and what states no fact."""

from functools import cache
from importlib.resources import files

from unsee.data.text import bare_words


@cache
def word_list(name: str) -> frozenset[str]:
    """Words of a list that is shipped beside this file."""
    text = (files("unsee.erase.request") / "kit" / f"{name}.txt").read_text(encoding="utf-8")
    return frozenset(word for line in text.splitlines() if not line.startswith("#") for word in line.split())


def ordinary(name: str) -> bool:
    """Whether every word of a name is also an ordinary word, as in "Jobs", "Bill" or "The Rock"."""
    words = bare_words(name).split()
    common = word_list("function-words") | word_list("ordinary-words")
    return bool(words) and all(word in common or word.removesuffix("s") in common for word in words)


def function_word(word: str) -> bool:
    """Whether a word states nothing by itself: articles, pronouns, auxiliaries, ways of beginning an answer."""
    return word in word_list("function-words")


def akin(one: str, other: str) -> bool:
    """Whether two words share a stem, roughly: "works" and "work", "living" and "live"."""
    if one == other:
        return True
    shared = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return shared >= 3 and max(len(one), len(other)) - shared <= 3
