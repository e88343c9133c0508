"""How well the detectors agree with replies that were read by hand: `python -m tools.detectors.agreement`.

detector_labels.jsonl holds replies of a real language model (SmolLM2-135M-Instruct: plain, with forced opening words,
steered, steered too far, drawn too hot), of the built-in world's checkpoints, and written ones. One rater, a language
model, labelled each by reading it, before it saw what a detector says. Whole families of replies are in one half:
rules and first weights saw the development half alone, and the held-out half was measured once they were finished. The
second weights, in use, learnt from both halves; the fresh replies were labelled after that, and were in nothing.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, final, get_args

from unsee.erase import detectors as choosing
from unsee.evals.stats import wilson
from unsee.metrics import detectors as scoring

Half = Literal["development", "held out", "fresh"]
HALVES = get_args(Half)
Label = Literal["refused", "partial", "answered", "garbled"]


@final
@dataclass(frozen=True)
class Reply:
    """One reply read by hand.

    Attributes:
        family: where it comes from; a family is in one half.
        half: "development", "held out", or "fresh": labelled after both had been looked at.
        question: as put to the model.
        gold: accepted golds; empty where a leak is not defined.
        answer: the reply.
        label: refused; partial: declines and yet answers; answered, evasions among it; garbled: no language.
        leak: whether it gives the gold away; None without one.
        fluent: whether its language is sound; a cut end is no fault, a loop is.
    """

    family: str
    half: Half
    question: str
    gold: tuple[str, ...]
    answer: str
    label: Label
    leak: bool | None
    fluent: bool

    @property
    def declines(self) -> bool:
        """Refused, in whole or in part."""
        return self.label in ("refused", "partial")


@final
@dataclass(frozen=True)
class Agreement:
    """Precision and recall of one detector.

    Attributes:
        right: found and labelled so.
        false: found, but not labelled so.
        missed: labelled so, but not found.
        n: replies.
    """

    right: int
    false: int
    missed: int
    n: int

    @property
    def precision(self) -> float:
        """`right / (right + false)`, 1 where nothing was found."""
        return self.right / (self.right + self.false) if self.right + self.false else 1.0

    @property
    def recall(self) -> float:
        """`right / (right + missed)`, 1 where there was nothing to find."""
        return self.right / (self.right + self.missed) if self.right + self.missed else 1.0


def replies(half: Half) -> list[Reply]:
    """The labelled replies of one half, in the order of the file."""
    text = (Path(__file__).parent / "detector_labels.jsonl").read_text(encoding="utf-8")
    every = [json.loads(line) for line in text.splitlines()]
    return [Reply(**(one | {"gold": tuple(one["gold"])})) for one in every if one["half"] == half]


Detect = Callable[[Reply], bool]
DETECTORS: dict[str, tuple[Callable[[Reply], bool | None], dict[str, Detect]]] = {
    "declines": (
        lambda one: None if one.label == "garbled" else one.declines,
        {
            "choosing": lambda one: choosing.is_refusal(one.answer),
            "scoring": lambda one: scoring.is_refusal(one.answer),
        },
    ),
    "fluent": (
        lambda one: one.fluent,
        {"choosing": lambda one: choosing.is_fluent(one.answer), "scoring": lambda one: scoring.is_fluent(one.answer)},
    ),
    "leaks": (
        lambda one: one.leak,
        {
            "choosing": lambda one: choosing.leaks(one.answer, one.gold, one.question),
            "scoring": lambda one: scoring.leaks(one.answer, one.gold, one.question),
        },
    ),
}
"""What is detected, to the label (None where a reply is not counted) and the detector of each use."""


SEEN = (
    {("choosing", what, "development") for what in DETECTORS}
    | {("scoring", what, half) for what in DETECTORS for half in ("development", "held out") if what != "leaks"}
    | {("scoring", "leaks", "development")}
)
"""Use, what and half of replies that a detector was made with: agreement on them is in sample."""


def agreement(what: str, use: str, among: Sequence[Reply]) -> Agreement:
    """One detector against the hand; replies without that label are left out."""
    label, ways = DETECTORS[what]
    pairs = [(hand, ways[use](one)) for one in among if (hand := label(one)) is not None]
    right = sum(hand and found for hand, found in pairs)
    false = sum(found and not hand for hand, found in pairs)
    return Agreement(right, false, sum(hand and not found for hand, found in pairs), len(pairs))


def disagreements(what: str, use: str, among: Sequence[Reply]) -> list[Reply]:
    """The replies that a detector reads otherwise than the hand."""
    label, ways = DETECTORS[what]
    return [one for one in among if (hand := label(one)) is not None and ways[use](one) != hand]


def table() -> str:
    """Precision and recall in percent with 95 % Wilson intervals, as a table in Markdown."""
    lines = ["| replies | what | detector | seen | n | precision | recall | both agree |", "|---" * 8 + "|"]
    for half in HALVES:
        among = replies(half)
        for what, (label, ways) in DETECTORS.items():
            counted = [one for one in among if label(one) is not None]
            same = sum(ways["choosing"](one) == ways["scoring"](one) for one in counted) / len(counted)
            for use in ways:
                found = agreement(what, use, among)
                precision = _percent(found.right, found.right + found.false)
                recall = _percent(found.right, found.right + found.missed)
                seen = "yes" if (use, what, half) in SEEN else "no"
                lines.append(f"| {half} | {what} | {use} | {seen} | {found.n} | {precision} | {recall} | {same:.1%} |")
    return "\n".join(lines)


def _percent(hits: int, n: int) -> str:
    low, high = wilson(hits / n, n) if n else (0.0, 1.0)
    return f"{100 * hits / max(n, 1):.1f} [{100 * low:.1f}, {100 * high:.1f}]"


if __name__ == "__main__":
    print(table())
