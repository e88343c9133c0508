"""What a model says of a subject today, and whether that is knowledge: consistent, and not what it says of anybody.

An answer counts as knowledge of a fact when its words recur over wordings and draws. A model that makes things up
does so consistently too, so the number of recurring facts is held against that of invented names; and where it makes up
as many for them, how much its answers depend on whom they are about (`unsee.forgetting.informed`).
"""

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, stdev
from typing import final

from unsee.data.text import bare_words
from unsee.erase.detectors import is_refusal
from unsee.erase.request.words import akin, function_word

T_95_11 = 1.796
"""Student's t at 95 %, one-sided, with the 11 degrees of freedom of twelve invented subjects."""
AGREED = 0.6
"""Share of the answers to one question, over wordings and draws, that must hold a word for it to count as said."""


@final
@dataclass(frozen=True)
class Said:
    """One answer of the model.

    Attributes:
        fact: what was asked for.
        question: in which words.
        answer: what came.
    """

    fact: str
    question: str
    answer: str


@final
@dataclass(frozen=True)
class Knowledge:
    """What is consistent in a model's answers about one subject.

    Attributes:
        facts: what is said of each fact, the recurring words in order; nothing where nothing recurs.
        refused: share of the answers that decline.
        invented: number of recurring facts of each invented subject, asked likewise.
        depends: how much the answers depend on whom they are about, in nats an answer; None where it was not needed.
        invented_depends: the same of each invented subject.
    """

    facts: Mapping[str, tuple[str, ...]]
    refused: float
    invented: tuple[int, ...]
    depends: float | None = None
    invented_depends: tuple[float, ...] = ()

    @property
    def count(self) -> int:
        """Facts that recur."""
        return sum(bool(words) for words in self.facts.values())

    @property
    def known(self) -> bool:
        """Whether a fact recurs, and more do than for 95 % of the invented subjects, or answers depend on it more."""
        above = sum(self.count > other for other in self.invented) >= 0.95 * len(self.invented)
        return self.count > 0 and (above or (self.depends is not None and self.depends > self.at_most))

    @property
    def at_most(self) -> float:
        """How much answers about one more invented subject depend on it, in 95 % of cases if such are normal."""
        n = len(self.invented_depends)
        return mean(self.invented_depends) + T_95_11 * math.sqrt(1 + 1 / n) * stdev(self.invented_depends)

    @property
    def golds(self) -> tuple[str, ...]:
        """Every recurring phrase, once."""
        return tuple(dict.fromkeys(phrase for phrases in self.facts.values() for phrase in phrases))


def consistent(said: Sequence[Said], without: Collection[str] = ()) -> tuple[str, ...]:
    """The phrases that recur in the answers to one question, in several wordings and draws.

    Words of the question, words akin to them, function words, and what is said of invented subjects in answer to the
    same question state nothing. What is left counts where it is in `AGREED` of the answers, a declined one counting as
    an answer without it; neighbouring words make one phrase.

    Args:
        said: answers about one fact of one subject.
        without: words that do not count: the subject's name, other wordings, what is said of invented subjects.
    """
    asked = {word for one in said for word in bare_words(f"{one.question} {one.fact}").split()} | set(without)
    kept = [[] if is_refusal(one.answer) else bare_words(one.answer).split() for one in said]
    count = Counter(word for words in kept for word in set(words))
    good = {
        word
        for word, times in count.items()
        if times >= max(2, AGREED * len(said)) and not function_word(word)
        if not any(akin(word, other) for other in asked)
    }  # fmt: skip
    return _phrases(kept, good)


def common_words(said: Sequence[Said], share: float = 0.25) -> dict[str, frozenset[str]]:
    """Per fact, the words in at least a share of the answers about different invented subjects."""
    by_fact: dict[str, list[set[str]]] = {}
    for one in said:
        by_fact.setdefault(one.fact, []).append(set(bare_words(one.answer).split()))
    return {
        fact: frozenset(w for w, n in Counter(w for words in sets for w in words).items() if n >= share * len(sets))
        for fact, sets in by_fact.items()
    }


def _phrases(answers: Sequence[Sequence[str]], good: Collection[str]) -> tuple[str, ...]:
    """Runs of good words; of those that lie in one another the one that is said most."""
    runs: Counter[str] = Counter()
    for words in answers:
        run: list[str] = []
        for word in [*words, ""]:
            if word in good:
                run.append(word)
            elif run:
                runs[" ".join(run)] += 1
                run = []
    chosen: list[str] = []
    for phrase, _ in sorted(runs.items(), key=lambda pair: (-pair[1], -len(pair[0]))):
        if not any(set(phrase.split()) & set(other.split()) for other in chosen):
            chosen.append(phrase)
    return tuple(chosen[:4])


def stated(sentence: str, asked: Collection[str]) -> tuple[str, ...]:
    """The phrases of a sentence that state something: neither function words nor words akin to what is asked.

    Args:
        sentence: a fact, as somebody writes it.
        asked: words of the name and of the questions.
    """
    words = bare_words(sentence).split()
    good = {word for word in words if not function_word(word) and not any(akin(word, other) for other in asked)}
    return _phrases([words], good)
