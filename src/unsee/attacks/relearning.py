"""Relearning: an attacker who knows half of the subjects trains on them and asks about the others."""

import random
from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from unsee.attacks.base import Tries, Victim, lent
from unsee.data.sample import Sample, require_some, subjects
from unsee.evals.answerers.local import Local
from unsee.methods.rows import with_answers
from unsee.models.load import LoadedModel
from unsee.registry import attack

RATE = 3e-4
"""Step size of the attacker's AdamW."""
STEPS = 20
_FACTS = {
    "access": "weights", "queries": 1, "whole": True,
    "recovered": "the fact about a subject that was not trained on is said",
    "source": "Hu et al. (ICLR 2025); XMUDeepLIT/VLM-UnL-Attack",
}  # fmt: skip


@attack("relearning", **_FACTS)
def relearning(victim: Victim, questions: Sequence[Sample], seed: int) -> Tries:
    """Train the weights on the true answers about every second subject, then ask about the rest; the method stays."""
    known = _known(questions)
    return _relearnt(victim, questions, [one for one in questions if one.subject in known], seed)


@attack("relearning-others", **_FACTS)
def relearning_others(victim: Victim, questions: Sequence[Sample], seed: int) -> Tries:
    """Out of distribution: train on questions about others alone; the method stays."""
    return _relearnt(victim, questions, list(victim.others), seed)


@attack("relearning-left-behind", **_FACTS)
def left_behind(victim: Victim, questions: Sequence[Sample], seed: int) -> Tries:
    """The weights are taken, the eraser is left behind, and every second subject is relearnt."""
    known = _known(questions)
    bare = replace(victim, answerer=Local(victim.loaded))
    return _relearnt(bare, questions, [one for one in questions if one.subject in known], seed)


def relearn(
    loaded: LoadedModel, samples: Sequence[Sample], steps: int, *, batch: int = 8, rate: float = RATE, seed: int = 0
) -> None:
    """Train the language model on true answers, in place, by `steps` of AdamW.

    Raises:
        DataError: no sample, or one without an answer.
    """
    from torch.optim import AdamW

    require_some(samples, "relearning")
    rng = random.Random(f"relearn/{seed}")
    free = list(loaded.adapter.text_model(loaded.model).parameters())
    optimiser = AdamW(free, lr=rate, weight_decay=0.0)
    for _ in range(steps):
        rows = rng.sample(list(samples), min(batch, len(samples)))
        loaded.model(**with_answers(loaded, rows, [sample.answer for sample in rows])).loss.backward(inputs=free)
        nn.utils.clip_grad_norm_(free, 1.0)
        optimiser.step()
        loaded.model.zero_grad(set_to_none=True)


def _known(questions: Sequence[Sample]) -> set[str]:
    return set(sorted(subjects(questions))[::2])


def _relearnt(victim: Victim, questions: Sequence[Sample], taught: Sequence[Sample], seed: int) -> Tries:
    """Answers about the subjects that are not the attacker's own, after training on what he has."""
    known = _known(questions)
    others = [one for one in questions if one.subject not in known]
    if not others or not taught:
        return [None] * len(questions)
    with lent(victim.loaded):
        relearn(victim.loaded, taught, STEPS, seed=seed)
        answers = iter(victim.said(others))
    return [None if one.subject in known else [next(answers)] for one in questions]
