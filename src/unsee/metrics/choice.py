"""Multiple choice: which option a reply names, as each benchmark's released parser reads it, and strictly.

Accuracy is `mean[parsed letter = right letter]`, in [0, 1] (the papers print percent). Lower is better on what must be
forgotten, higher on what is kept, and it is weak evidence alone: a refusal, gibberish and a wrong letter all lower it.
"""

import re
import unicodedata
from collections.abc import Callable, Container, Mapping
from difflib import SequenceMatcher

from unsee.data.text import bare_words
from unsee.erase.detectors import is_refusal
from unsee.errors import OptionError
from unsee.metrics.estimate import Card

Options = Mapping[str, str]
Parser = Callable[[str, Options], str | None]

_NEGATED = re.compile(r"\b(?:not|never|neither|nor|except|wrong|incorrect|false|unlikely|rule[sd]? out)\b|n't\b", re.I)
_LETTER = re.compile(r"(?<![\w'])([A-Z])(?![\w'])")
_ARTICLE = re.compile(r"(?<![\w'])A\s+(?!(?:or|and|nor|is|was|because|since|as|would|seems)\b)[a-z]\w+")
_ALONE = re.compile(r"[\W_]*([A-Za-z])[\W_]*")
# A letter in either case behind a word that announces it, or first in the reply; nothing but a sign or the end follows,
# so that "a dog" and "the answer is a city" name no option. An "a" at a cut end may be an article.
_ANNOUNCED = re.compile(
    r"(?:^|\b(?:answer|option|choice|choose|chose|pick|picked|select|selected|go with|it is|it's)\b"
    r"(?: is| be)?(?: option| choice| answer)?)[^\w\n]*([a-z])(?<! is a(?=$))(?=\s*(?:[:.,;)\]*_`!]|$))",
    re.I,
)


def announced_letter(answer: str, options: Options) -> str | None:
    """The option whose letter a reply announces, in either case ("Answer: b", "**B**", "(b) Lisbon"), or None."""
    found = _ANNOUNCED.search(" ".join(unicodedata.normalize("NFKC", answer).split()))
    letter = found[1].upper() if found else ""
    return letter if letter in options else None


def first_letter(answer: str, options: Container[str] = "ABCD") -> str | None:
    """The option that MLLMU-Bench's parser reads: the first character, in upper case, or None.

    It takes "Actually not" for A and finds nothing in "(A)" or "The answer is A".
    Source: eval.py of github.com/franciscoliu/MLLMU-Bench.
    """
    letter = answer.strip()[:1].upper()
    return letter if letter and letter in options else None


def mmunlearner_first_alphanumeric(answer: str, options: Options) -> str | None:
    """MMUnlearner's CLEAR variant: the first letter or digit of the reply, in upper case.

    Reads "(A)" as A; of "The answer is A" it sees the T. Source: the CLEAR evaluation of github.com/Z1zs/MMUnlearner;
    MLLMEraser's release reads MLLMU-Bench so.
    """
    letters = re.sub(r"[^a-zA-Z0-9]", "", answer)
    return first_letter(letters, options)


def umu_closest_option(answer: str, options: Options) -> str | None:
    """UMU-Bench: the option whose text is most like the whole reply (difflib ratio), the first of equals.

    It always picks one, also for a refusal or an empty reply, so a refusal rate must stand beside it.
    Source: `select_answer` in eval.py of github.com/QDRhhhh/UMU-bench.
    """
    ratios = {letter: SequenceMatcher(None, answer, text).ratio() for letter, text in options.items()}
    return max(ratios, key=ratios.__getitem__) if ratios else None


def offside_pattern(answer: str, options: Options) -> str | None:
    """OFFSIDE: the letter of "The answer is X", else a reply that is one letter from A to D, in capitals.

    Source: `extract_answer` in eval/eval_classi.py of github.com/zh121800/OFFSIDE.
    """
    del options
    found = re.search(r"[Tt]he answer is ([A-D])", answer) or re.search(r"^([A-D])$", answer)
    return found[1] if found else None


def strict_letter(answer: str, options: Options) -> str | None:
    """The one option that a reply commits itself to, by letter, by text or by both in agreement; else None.

    "(b)", "B. Lisbon", "The answer is b.", "option b", "It is Lisbon" are read; "A or B", "not A", "A dog", letter and
    text that contradict each other, and a refusal with a letter are not.
    """
    reply = " ".join(unicodedata.normalize("NFKC", answer).split())
    alone = _ALONE.fullmatch(reply)
    if alone:
        letter = alone[1].upper()
        return letter if letter in options else None
    named, rest = set[str](), reply
    # Longest first: "New York" must not be found inside "New York City".
    for letter, text in sorted(options.items(), key=lambda option: -len(option[1])):
        pattern = rf"(?<!\w){re.escape(' '.join(text.split()))}(?!\w)"
        if bare_words(text) and re.search(pattern, rest, re.I):
            named.add(letter)
            rest = re.sub(pattern, "", rest, flags=re.I)
    pronoun = {"I"}
    announced = announced_letter(rest, options)
    named |= {announced} if announced else set()
    named |= {letter for letter in _LETTER.findall(_ARTICLE.sub("", rest)) if letter in options} - pronoun
    # By the rules: the learnt detector of scores has seen no reply that is a letter, and declines "I choose b.".
    if len(named) != 1 or _NEGATED.search(rest) or is_refusal(rest):
        return None
    return named.pop()


PARSERS: dict[str, Parser] = {
    "mllmu-first-char": first_letter,
    "mmunlearner-first-alphanumeric": mmunlearner_first_alphanumeric,
    "umu-closest-option": umu_closest_option,
    "offside-pattern": offside_pattern,
    "strict": strict_letter,
}
"""Name of a parser, as result files give it, to the parser. All but `strict` behave as released."""

CARDS = (
    *(Card(f"accuracy-{name}", forget="lower", keep="higher") for name in PARSERS),
    Card("unparsed", forget="same", keep="lower"),
)


def choice_correct(parser: str, answer: str | None, options: Options, right: str) -> bool | None:
    """Whether a reply is right, or None where it is unscored.

    Released parsers count a reply in which they find nothing as wrong, and so does this under their names; `strict`
    leaves it unscored. A reply that never came is unscored under every name, except that OFFSIDE also drops an empty
    one from its denominator.

    Raises:
        OptionError: no such parser.
    """
    if answer is None or (parser == "offside-pattern" and not answer):
        return None
    letter = parser_named(parser)(answer, options)
    return None if letter is None and parser == "strict" else letter == right


def parser_named(name: str) -> Parser:
    """The parser of that name.

    Raises:
        OptionError: there is none.
    """
    if name not in PARSERS:
        raise OptionError(
            f"the multiple-choice parser is {name!r}, expected one of {list(PARSERS)}. Pass one of these."
        )
    return PARSERS[name]
