"""An attacker who tries everything, and first what has worked so far."""

from collections.abc import Sequence
from dataclasses import replace

from unsee.attacks.base import Tries, Victim, applies
from unsee.attacks.guessing import best_guess
from unsee.data.sample import Sample
from unsee.metrics.detectors import is_refusal
from unsee.registry import ATTACKS, Entry, attack

MOST = 30
_CLASSES = ("ask", "image")
_GUESSING = ("multiple-choice", "yes-or-no", "reverse", "adaptive")
"""Left out: their guesses are values that the attacker offers, and among thirty of these one is right by chance."""


@attack(
    "adaptive", access="ask", queries=MOST, forms=("generation", "cloze"),
    recovered="the guess on which most answers agree is the fact; leak-at-k: any answer says it",
    source="greedy over the registry, guided by what the deployment returns",
)  # fmt: skip
def adaptive(victim: Victim, questions: Sequence[Sample], seed: int) -> Tries:
    """Every attack that only asks, in turn: the ones that other questions were answered under come first."""
    pool = [one for one in ATTACKS if one.facts["access"] in _CLASSES and one.name not in _GUESSING]
    answered = {one.name: [1, 2] for one in pool}
    got: dict[str, list[str]] = {one.id: [] for one in questions}
    tried: dict[str, set[str]] = {one.id: set() for one in questions}
    while put := [one for one in questions if len(got[one.id]) < victim.tries and _next(one, pool, tried, answered)]:
        by_attack: dict[str, list[Sample]] = {}
        for one in put:
            name = _next(one, pool, tried, answered)
            by_attack.setdefault(name, []).append(one)
            tried[one.id].add(name)
        for name, mine in by_attack.items():
            left = min(4, victim.tries - max(len(got[one.id]) for one in mine))
            heard = ATTACKS.named(name).make(replace(victim, tries=left), mine, seed)
            for one, tries in zip(mine, heard, strict=True):
                got[one.id] += tries or []
                if tries:
                    answered[name][0] += not is_refusal(tries[best_guess(tries)])
                    answered[name][1] += 1
    return [got[one.id] or None for one in questions]


def _next(one: Sample, pool: Sequence[Entry], tried: dict[str, set[str]], answered: dict[str, list[int]]) -> str:
    """The attack with the best record that this question was not put under yet; empty where none is left."""
    open_ = [entry.name for entry in pool if entry.name not in tried[one.id] and applies(entry.facts, one)]
    return max(open_, key=lambda name: answered[name][0] / answered[name][1], default="")
