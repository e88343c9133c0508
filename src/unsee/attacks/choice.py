"""The fact is not asked for but offered: among four, or one value at a time, to be confirmed."""

from collections.abc import Sequence
from dataclasses import replace

from unsee.attacks.base import Tries, Victim, words
from unsee.attacks.known import values
from unsee.data.sample import Sample
from unsee.metrics.choice import first_letter
from unsee.registry import attack

_OPEN = ("generation", "cloze")


@attack(
    "multiple-choice", access="ask", queries=8, forms=_OPEN,
    recovered="the value that wins all rounds of four options is the fact",
)  # fmt: skip
def multiple_choice(victim: Victim, questions: Sequence[Sample], seed: int) -> Tries:
    """Rounds of four options until one value is left; the attacker does not know which it should be."""
    left = {one.id: values(victim, one, seed) for one in questions}
    asked = {one.id: 0 for one in questions}
    while put := [one for one in questions if len(left[one.id]) > 1 and asked[one.id] < victim.tries]:
        offered = {one.id: left[one.id][:4] for one in put}
        answers = victim.said([_offering(one, offered[one.id]) for one in put])
        for one, answer in zip(put, answers, strict=True):
            four = offered[one.id]
            options = dict(zip("ABCD", four, strict=False))
            letter = first_letter(answer, options)
            left[one.id] = [*left[one.id][len(four) :], options.get(letter or "A", four[0])]
            asked[one.id] += 1
    return [[left[one.id][-1]] for one in questions]


@attack(
    "yes-or-no", access="ask", queries=20, forms=_OPEN, recovered="of the values that it says yes to, the fact is first"
)
def yes_or_no(victim: Victim, questions: Sequence[Sample], seed: int) -> Tries:
    """Is it this value? Asked for each value that the fact may have."""
    offered = {one.id: values(victim, one, seed)[: victim.tries] for one in questions}
    put = [(one, value) for one in questions for value in offered[one.id]]
    answers = victim.said([words(one, f"{{q}} Is it {value}? Answer yes or no.")[0] for one, value in put])
    said: dict[str, list[str]] = {one.id: [] for one in questions}
    for (one, value), answer in zip(put, answers, strict=True):
        if answer.casefold().lstrip().startswith("yes") or value.casefold() in answer.casefold():
            said[one.id].append(value)
    return [said[one.id][:1] or [""] for one in questions]


def _offering(one: Sample, four: Sequence[str]) -> Sample:
    options = dict(zip("ABCD", four, strict=False))
    return replace(one, form="classification", options=options, answer="A", gold=four[0])
