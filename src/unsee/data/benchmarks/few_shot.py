"""MLLMU-Bench's demonstrations, which stand before multiple choice and cloze questions in its released evaluation.

The release draws people, without a seed, from those under evaluation and shows every question of theirs with its
answer; on the forget set the forgotten people's own answers stand in the prompt. They are made here so that published
numbers can be compared with; nothing else in unsee uses them. Generation is asked without any.

Source: evaluate_classification and evaluate_fill_in_the_blank of eval.py, github.com/franciscoliu/MLLMU-Bench.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, final

from unsee.data.benchmarks.mllmu import Modality
from unsee.data.benchmarks.released_prompts import RELEASED
from unsee.data.sample import ImageFile, Sample, subjects
from unsee.errors import OptionError

Shown = Literal["classification", "cloze"]


@final
@dataclass(frozen=True)
class Demonstrations:
    """What stands before each question.

    Attributes:
        people: who was drawn; their own questions are not asked.
        text: what to put in front of the prompt of a question with image, and of one without.
        images: one for each "<image>" of the former, in order; the question's own comes after them.
    """

    people: tuple[str, ...]
    text: Mapping[Modality, str]
    images: tuple[ImageFile, ...]

    def rest(self, evaluated: Sequence[Sample]) -> list[Sample]:
        """The questions that are left to ask: those about nobody who was shown."""
        return [sample for sample in evaluated if sample.subject not in self.people]


def demonstrations(
    evaluated: Sequence[Sample], full: Sequence[Sample], form: Shown, people: int = 1, seed: int = 0
) -> Demonstrations:
    """Draw people from the evaluated set and show their questions as Full_Set has them.

    A person who is not in Full_Set, such as any of the celebrities, is drawn all the same and shows nothing.

    Args:
        evaluated: the set under evaluation, whose people are drawn from.
        full: Full_Set, where the demonstrations come from.
        form: which questions to show; the release shows each form before its own kind.
        people: how many; the release takes 1 for multiple choice and for cloze 2 on LLaVA, 1 on Idefics2.
        seed: of the draw, which the release leaves open.

    Raises:
        OptionError: more people than the evaluated set has.
    """
    order = subjects(evaluated)
    if not 1 <= people <= len(order):
        raise OptionError(f"people is {people}, expected 1 to {len(order)}, as many as the evaluated set has.")
    drawn = random.Random(f"few-shot/{seed}/{form}").sample(order, people)
    shown = [sample for sample in full if sample.subject in drawn and sample.form == form]
    images = tuple(sample.image for sample in shown if sample.image is not None)
    with_image = "".join(_shown(sample) for sample in shown if sample.image is not None)
    without = "".join(_shown(sample) for sample in shown if sample.image is None)
    return Demonstrations(tuple(drawn), {"image": with_image, "text": without}, images)


def _shown(sample: Sample) -> str:
    # The cloze has no space between "USER:" and "<image>" in the release.
    space = " " if sample.form == "classification" else ""
    head = f"USER:{space}<image>\n" if sample.image is not None else "USER:\n"
    if sample.form == "cloze":
        return f"{head}{RELEASED['mllmu'].user(sample)}\nCorrect Answer: {sample.answer}\n"
    options = "".join(f"{letter}: {text}\n" for letter, text in (sample.options or {}).items())
    return f"{head}Question: {sample.question}\n{options}Correct Answer: {sample.answer}\n"
