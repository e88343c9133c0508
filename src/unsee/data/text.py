"""Normal forms of a text, so that the same words are the same string: spelling, case, accents, numbers.

No judgement lies here: what a text does (decline, leak) is read by `unsee.erase.detectors` for the fit and by
`unsee.metrics.detectors` for scores.
"""

import re
import unicodedata
from collections.abc import Iterable

from unsee.errors import DataError

_APOSTROPHES = str.maketrans(dict.fromkeys("\u2018\u2019\u02bc\u00b4`\u2032", "'"))
# Scripts written without spaces: each sign counts as a word, so that containment still works.
_UNSPACED = re.compile("([\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af])")


def words(text: str) -> tuple[str, ...]:
    """A list of words written as one string."""
    return tuple(text.split())


_SCALES = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_UNITS = words(
    """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen"""
)
_TENS = words("twenty thirty forty fifty sixty seventy eighty ninety")
_ORDINALS = words(
    """zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth
    fifteenth sixteenth seventeenth eighteenth nineteenth twentieth"""
)
_VALUES = {word: value for value, word in enumerate(_UNITS)} | {word: 10 * i for i, word in enumerate(_TENS, 2)}
_ENDINGS = {1: "st", 2: "nd", 3: "rd"}

# 1,250,000 · 1.250.000 · 1 250 000 · 1'250'000, with ordinary, no-break and thin spaces; one sign throughout.
_GROUPED = re.compile(r"(?<![\d.,'])\d{1,3}(?:([.,' \u00a0\u2009\u202f])\d{3})(?:\1\d{3})*(?![\d'])(?!\1\d)")
_SCALED = re.compile(r"(?<![\d.,])(\d+)(?:[.,](\d+))?[ -](thousand|million|billion|trillion)\b")
_NUMBER = rf"(?:{'|'.join([*_VALUES, *_SCALES])})"
_IN_WORDS = re.compile(rf"\b{_NUMBER}(?:(?:[ -]|,? and ){_NUMBER})*\b(?! of\b)")
_ORDINAL = re.compile(rf"\b(?:({'|'.join(_TENS)})[ -])?({'|'.join(_ORDINALS)})\b")
_MONTHS = words("january february march april may june july august september october november december")
_MONTH = rf"({'|'.join(_MONTHS)}|{'|'.join(month[:3] for month in _MONTHS)}|sept)\.?"
_DAY = r"(\d{1,2})(?:st|nd|rd|th)?"
_DAY_MONTH = re.compile(rf"\b{_DAY}(?: of)? {_MONTH}(?![\w])")
_MONTH_DAY = re.compile(rf"\b{_MONTH} (?:the )?{_DAY}\b")
_ISO = re.compile(r"\b(\d{4})-(0[1-9]|1[0-2])-(\d\d)\b")


def plain(text: str) -> str:
    """Lower case, one kind of apostrophe, single spaces; punctuation stays."""
    return " ".join(unicodedata.normalize("NFKC", text).translate(_APOSTROPHES).casefold().split())


def bare_words(text: str) -> str:
    """Words without case, accents or punctuation, with single spaces; thousands are not grouped."""
    decomposed = unicodedata.normalize("NFKD", text.translate(_APOSTROPHES).casefold())
    bare = unicodedata.normalize("NFKC", "".join(c for c in decomposed if not unicodedata.combining(c)))
    bare = _GROUPED.sub(lambda found: re.sub(r"\D", "", found[0]), bare)
    return " ".join(re.sub(r"[\W_]+", " ", _UNSPACED.sub(r" \1 ", bare)).split())


def canonical_words(text: str) -> list[str]:
    """`bare_words` as a list, numbers in digits: "twelve thousand five hundred" and "12.5 thousand" are "12500".

    Dates have their month first: "3rd of May, 1985", "May 3rd, 1985" and "1985-05-03" are "may 3 1985". "one of" stays
    in words, and so does "second", which is a time as often as an ordinal.
    """
    lowered = _SCALED.sub(_scaled, plain(text))
    lowered = _IN_WORDS.sub(lambda found: _value(found[0]), _ORDINAL.sub(_ordinal, lowered))
    lowered = _ISO.sub(lambda found: f"{_MONTHS[int(found[2]) - 1]} {int(found[3])} {found[1]}", lowered)
    lowered = _DAY_MONTH.sub(lambda found: _date(found[2], found[1]), lowered)
    return bare_words(_MONTH_DAY.sub(lambda found: _date(found[1], found[2]), lowered)).split()


def _date(month: str, day: str) -> str:
    return f"{next(name for name in _MONTHS if name.startswith(month[:3]))} {int(day)}"


def _scaled(found: re.Match[str]) -> str:
    decimals = found[2] or ""
    return str(int(found[1] + decimals) * _SCALES[found[3]] // 10 ** len(decimals))


def _value(words: str) -> str:
    """Of a number in words; a row that is no single number ("one two") keeps its numbers apart."""
    said: list[str] = []
    total = part = 0
    last = None
    for word in re.findall(r"[a-z]+", words):
        if word == "and":
            continue
        if word in _SCALES:
            scale = _SCALES[word]
            if scale == 100:
                part = max(part, 1) * 100
            else:
                total, part = total + max(part, 1) * scale, 0
            last = scale
            continue
        value = _VALUES[word]
        if last is not None and last < 100 and not (last >= 20 and 0 < value < 10):
            said.append(str(total + part))
            total = part = 0
        part += value
        last = value
    return " ".join([*said, str(total + part)])


def _ordinal(found: re.Match[str]) -> str:
    if found[2] == "second" and not found[1]:
        return found[0]
    value = _ORDINALS.index(found[2]) + (_VALUES[found[1]] if found[1] else 0)
    return f"{value}{'th' if 10 <= value % 100 <= 20 else _ENDINGS.get(value % 10, 'th')}"


def accepted(gold: str | Iterable[str]) -> list[str]:
    """The accepted golds as a list.

    Raises:
        DataError: there is none, or one has no letter or digit.
    """
    golds = [gold] if isinstance(gold, str) else list(gold)
    for one in golds or [""]:
        if not bare_words(one):
            raise DataError(
                f"the gold answer is {one!r}: it has no letter or digit, so every answer would contain it. "
                "Give the words that state the fact, or drop the question."
            )
    return golds
