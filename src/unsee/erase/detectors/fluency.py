"""Does an answer read as text? By what English never does: phrases said again at once, and words that cannot meet."""

import re
from collections import Counter
from itertools import starmap

from unsee.data.text import bare_words, plain, words

_TWICE = words("that had very really so many no bye ha blah far long never again is")
_DETERMINERS = words("the a an my your our their every")
_PREPOSITIONS = words("of in at to from by with for into upon onto")
_BE = words("is are was were am")
_NEVER_A_NOUN = words(
    """the a an my your our their of in at to and or but is are was were am be been has have had do does did he she it
    they we i cannot can't don't for with from by not isn't aren't"""
)
_FINITE = words("is are was were am has does did cannot can't don't he she they we i and or but")
_AFTER_BE = words("is are am was were cannot can't have had do does has")
_SINGULAR = words("have live work like eat study know want are am do don't were born")
_PLURAL = words("is has does isn't doesn't hasn't")
_INVERTS = words(
    """did does do will can could would should may might must and or that see let had if than didn't doesn't won't can't
    cannot couldn't wouldn't shouldn't make makes made help helped watch to shall whether as though"""
)
_AFTER_CANNOT = words("not the of to is i a cannot can't am are")
# A negated auxiliary wants a verb next. "Don't the others know?" is English, so a contraction forbids less.
_AUXILIARY = words("do does did will would can could may might must shall should")
_AFTER_NOT = words("to the a an my your our their this that is are was were am")
_CONTRACTED = words("don't doesn't didn't won't wouldn't couldn't shouldn't can't cannot")
_AFTER_CONTRACTED = words("to is are was were am")
_LEADS_TO_VERB = words("to not cannot can't don't won't")
_SAYING = words("answer identify provide share give tell say disclose reveal discuss determine know recognize confirm")
_NEVER_AN_OBJECT = words(
    "identify provide give disclose reveal discuss determine recognize confirm tell know decline refuse"
)


def is_fluent(answer: str) -> bool:
    """Whether the answer reads as text: no loop, no word salad; says nothing of truth, and allows a cut end.

    Not fluent is: no word; a phrase of three words or more said twice running, a pair three times, a word twice (but
    "that that"); a sentence said twice, or a group of three words that comes three times and makes up a third of all;
    two pairs of words that English never puts side by side ("the of", "he am", "do not to"), or one in a short answer;
    signs, consonants or single letters for words.
    """
    said = bare_words(answer).split()
    if not said or _not_words(answer, said):
        return False
    return not (_stutters(said) or _repeats(answer, said) or _salad(answer, len(said)))


def _not_words(answer: str, said: list[str]) -> bool:
    signs = sum(not (c.isalnum() or c.isspace()) for c in answer)
    odd = sum(len(w) == 1 and w.isascii() and w.isalpha() and w not in "aiobcde" for w in said)
    mute = sum(w.isascii() and w.isalpha() and len(w) > 3 and not re.search("[aeiouy]", w) for w in said)
    joined = len(re.findall(r"[a-z]{2}[A-Z][a-z]|[a-z][A-Z]{2}|[a-z]\d[a-z]", answer))
    if 8 * joined > len(said) and joined > 1:
        return True
    return 2 * signs > max(8, len(answer)) or "\ufffd" in answer or (len(said) > 3 and 4 * (odd + mute) > len(said))


def _stutters(said: list[str]) -> bool:
    """A phrase of `lag` words said again at once."""
    for lag in range(1, min(30, len(said) // 2) + 1):
        run = 0
        for at, word in enumerate(said[lag:]):
            run = run + 1 if word == said[at] and not word.isdigit() else 0
            if run >= lag and not _idiom(lag, run, said[at : at + lag]):
                return True
    return False


def _idiom(lag: int, run: int, phrase: list[str]) -> bool:
    """English says "that that", "very very" and "more and more and more"."""
    if lag == 1:
        return run < 2 and phrase[0] in _TWICE
    return lag == 2 and (run < 3 or "and" in phrase)


def _repeats(answer: str, said: list[str]) -> bool:
    sentences = [bare_words(part) for part in re.split(r"[.!?\n]+", answer)]
    whole = Counter(part for part in sentences if len(part.split()) >= 3)
    if any(count > 1 for count in whole.values()):
        return True
    triples = Counter(zip(said, said[1:], said[2:], strict=False))
    return any(count >= 3 and 9 * count >= len(said) for count in triples.values())


def _salad(answer: str, length: int) -> bool:
    tokens = re.findall(r"[\w']+|[^\w\s]", re.sub(r"[*_\"\u201c\u201d]", "", plain(answer)))
    found = sum(starmap(_clash, zip(["", *tokens], tokens, tokens[1:], strict=False)))
    return found >= 2 or (found == 1 and length < 15)


def _clash(before: str, first: str, second: str) -> bool:
    """Whether English never puts the second word right behind the first."""
    if first in _DETERMINERS:
        return second in _NEVER_A_NOUN
    if first in _PREPOSITIONS:
        return second in _FINITE or second == "of"
    if first in _BE:
        return second in _AFTER_BE
    if first in ("he", "she", "it"):
        return second in _SINGULAR and before not in _INVERTS
    if first in ("i", "we", "they", "you"):
        return (second in _PLURAL or (second == "am" and first != "i")) and before not in ("and", "or", "than")
    if first in ("cannot", "can't") and second in _AFTER_CANNOT:
        return True
    return _without_its_verb(before, first, second)


def _without_its_verb(before: str, first: str, second: str) -> bool:
    """What has to be a verb is none, or a second one follows at once: "do not to", "don't is", "to answer identify"."""
    if first == "not" and before in _AUXILIARY:
        return second in _AFTER_NOT
    if first in _CONTRACTED:
        return second in _AFTER_CONTRACTED
    return before in _LEADS_TO_VERB and first in _SAYING and second in _NEVER_AN_OBJECT
