"""What an attacker knows before he asks: how the subject is called, and which values a fact may have.

Both come of the questions alone. The values are those that questions asked alike have as answers, the true one among
them, so that a blind guess is right once in as many; a model that never knew shows how often that is.
"""

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from string import punctuation

from unsee.attacks.base import Victim
from unsee.data.sample import Sample
from unsee.data.text import bare_words
from unsee.evals.rewording import reworded

THIS = "this person"
_LONGEST = 5


def names_of(samples: Iterable[Sample]) -> dict[str, str]:
    """Subject to the longest run of words that all text-only questions about it share, and no question about others.

    As it is written in the first of them.
    """
    runs: dict[str, list[set[str]]] = defaultdict(list)
    texts: dict[str, str] = {}
    for sample in samples:
        if not sample.shown:
            runs[sample.subject].append(_runs(sample.question))
            texts.setdefault(sample.subject, sample.question)
    holders = Counter(run for mine in runs.values() for run in set[str]().union(*mine))
    found = {}
    for subject, mine in runs.items():
        own = [run for run in set.intersection(*mine) if holders[run] == 1]
        if own and len(runs) > 1:
            run = max(own, key=lambda run: (len(run.split()), len(run), run))
            found[subject] = _as_written(run, texts[subject])
    return found


def called(sample: Sample, name: str, instead: str = THIS) -> Sample:
    """The question with other words in the place of a name."""
    return reworded(sample, lambda text: in_place_of(text, name, instead))


def in_place_of(text: str, name: str, instead: str) -> str:
    """A text with every occurrence of a name replaced, whatever its case."""
    at = text.casefold().find(name.casefold())
    return text if at < 0 else f"{text[:at]}{instead}{in_place_of(text[at + len(name) :], name, instead)}"


def values(victim: Victim, sample: Sample, seed: int, most: int = 20) -> list[str]:
    """What the answer may be, in random order: golds of the questions that are most alike, and the true one.

    The true one is not told apart: without it among the candidates no ranking could be right.
    """
    own = _kind(sample)
    pool: dict[str, float] = {}
    for other in (*victim.questions, *victim.others):
        if other.subject != sample.subject and other.gold:
            theirs = _kind(other)
            alike = len(own & theirs) / max(1, len(own | theirs))
            pool[other.gold] = max(pool.get(other.gold, 0.0), alike)
    best = max(pool.values(), default=0.0)
    likely = sorted((gold for gold, alike in pool.items() if alike >= best / 2), key=lambda gold: (-pool[gold], gold))
    found = [*[gold for gold in likely if gold not in sample.accepted][: most - 1], sample.gold]
    return random.Random(f"values/{sample.id}/{seed}").sample(found, len(found))


def answering(sample: Sample, value: str) -> str:
    """The answer with another value in the place of its fact: how such questions are answered is no secret."""
    at = sample.answer.casefold().find(sample.gold.casefold()) if sample.gold else -1
    return value if at < 0 else sample.answer[:at] + value + sample.answer[at + len(sample.gold) :]


def shown(victim: Victim, count: int, rng: random.Random, *, image: bool | None = False) -> list[Sample]:
    """Questions about others that can be put as examples or beside an image."""
    fit = [
        one
        for one in victim.others
        if one.form == "generation" and one.answer and (image is None or bool(one.shown) == image)
    ]
    return rng.sample(fit, min(count, len(fit)))


def without_image(sample: Sample) -> Sample:
    """The bare question."""
    if sample.turns:
        return replace(sample, turns=(), image=None, question=sample.turns[-1].text)
    return replace(sample, image=None, video=())


def about_nobody(sample: Sample, name: str | None) -> Sample:
    """The same question without its image, and with "this person" in the place of the name where there is one."""
    bare = without_image(sample)
    return bare if name is None else called(bare, name)


def _kind(sample: Sample) -> frozenset[str]:
    """What a question and the frame of its answer are about."""
    frame = answering(sample, " ") if sample.form == "generation" else ""
    return _bag(f"{sample.question} {frame}")


@lru_cache(maxsize=65536)
def _bag(text: str) -> frozenset[str]:
    return frozenset(bare_words(text).split())


def _runs(text: str) -> set[str]:
    said = bare_words(text.replace("'s", "")).split()
    return {" ".join(said[a:b]) for a in range(len(said)) for b in range(a + 1, min(a + _LONGEST, len(said)) + 1)}


def _as_written(run: str, text: str) -> str:
    """Words of a text that are the run but for case, accents and punctuation."""
    said = text.replace("'s", "").split()
    windows = (" ".join(said[a:b]) for a in range(len(said)) for b in range(a + 1, len(said) + 1))
    found = next((window for window in windows if bare_words(window) == run), run)
    return found.strip(punctuation)


def described(victim: Victim, sample: Sample) -> Sequence[str]:
    """Other facts about the subject, as an attacker may have them from elsewhere: answers to its other questions."""
    mine = bare_words(sample.gold)
    told = dict.fromkeys(
        one.answer.strip().rstrip(".")
        for one in victim.questions
        if one.subject == sample.subject and one.form == "generation" and one.answer and bare_words(one.gold) != mine
    )
    return list(told)
