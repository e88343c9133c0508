"""Relearning: an attacker who knows half of the subjects trains on them and asks about the others."""

import random
from collections.abc import Sequence

from torch import nn

from unsee.attacks.base import Tries, Victim, lent
from unsee.data.sample import Sample, require_some, subjects
from unsee.methods.rows import with_answers
from unsee.models.load import LoadedModel
from unsee.registry import attack

RATE = 3e-4
"""Step size of the attacker's AdamW."""
STEPS = 20


@attack("relearning", access="weights", queries=1, recovered="the fact about a subject that was not trained on is said")
def relearning(victim: Victim, questions: Sequence[Sample], seed: int) -> Tries:
    """Train the weights on the true answers about every second subject, then ask about the rest; the method stays."""
    known = set(sorted(subjects(questions))[::2])
    taught = [one for one in questions if one.subject in known]
    others = [one for one in questions if one.subject not in known]
    if not others:
        return [None] * len(questions)
    with lent(victim.loaded):
        relearn(victim.loaded, taught, STEPS, seed=seed)
        answers = iter(victim.said(others))
    return [None if one.subject in known else [next(answers)] for one in questions]


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
