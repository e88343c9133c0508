"""Each loss against a slow float64 form, written out from its equation with loops and numpy alone."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from unsee.methods.losses import (
    IGNORED,
    answer_lengths,
    answer_nll,
    cross_entropy,
    dpo,
    gradient_ascent,
    npo,
    retain_kl,
    retain_kl_released,
    simnpo,
    state_error,
)

Array = NDArray[np.float64]
ROWS, TOKENS, WORDS = 3, 6, 5


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(ROWS, TOKENS, WORDS, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.fixture
def reference() -> torch.Tensor:
    return torch.randn(ROWS, TOKENS, WORDS, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.fixture
def labels() -> torch.Tensor:
    labels = torch.randint(0, WORDS, (ROWS, TOKENS), generator=torch.Generator().manual_seed(2))
    labels[:, :2] = IGNORED
    labels[0, 4:] = IGNORED
    labels[2, 5:] = IGNORED
    return labels


def probabilities(row: Array) -> Array:
    powers = np.array([math.exp(float(value)) for value in row])
    return powers / powers.sum()


def row_losses(logits: torch.Tensor, labels: torch.Tensor) -> list[list[float]]:
    """Minus the log-probability of every labelled token, row by row; the column before it speaks about it."""
    z, y = logits.numpy(), labels.numpy()
    return [
        [-math.log(probabilities(z[b, t - 1])[y[b, t]]) for t in range(1, TOKENS) if y[b, t] != IGNORED]
        for b in range(ROWS)
    ]


def kl(before: Array, now: Array) -> float:
    return sum(float(p) * (math.log(p) - math.log(q)) for p, q in zip(before, now, strict=True))


def minus_log_sigmoid(x: float) -> float:
    return math.log(1 + math.exp(-x))


def test_cross_entropy_is_the_mean_over_labelled_tokens(logits: torch.Tensor, labels: torch.Tensor) -> None:
    every = [loss for row in row_losses(logits, labels) for loss in row]
    assert float(cross_entropy(logits, labels)) == pytest.approx(sum(every) / len(every), rel=1e-12)
    assert float(gradient_ascent(logits, labels)) == pytest.approx(-sum(every) / len(every), rel=1e-12)


def test_answer_losses_are_sums_by_row(logits: torch.Tensor, labels: torch.Tensor) -> None:
    rows = row_losses(logits, labels)
    assert answer_nll(logits, labels).tolist() == pytest.approx([sum(row) for row in rows], rel=1e-12)
    assert answer_lengths(labels).tolist() == [2, 4, 3]


def test_kl_is_taken_from_the_frozen_model_over_answer_tokens(
    logits: torch.Tensor, reference: torch.Tensor, labels: torch.Tensor
) -> None:
    now, before = logits.numpy(), reference.numpy()
    wanted = [
        kl(probabilities(before[b, t - 1]), probabilities(now[b, t - 1]))
        for b in range(ROWS)
        for t in range(1, TOKENS)
        if labels[b, t] != IGNORED
    ]
    assert float(retain_kl(logits, reference, labels)) == pytest.approx(sum(wanted) / len(wanted), rel=1e-12)
    assert float(retain_kl(reference, reference, labels)) == pytest.approx(0.0, abs=1e-15)


def test_released_kl_sums_all_positions_and_divides_by_rows(logits: torch.Tensor, reference: torch.Tensor) -> None:
    now, before = logits.numpy(), reference.numpy()
    total = sum(kl(probabilities(before[b, t]), probabilities(now[b, t])) for b in range(ROWS) for t in range(TOKENS))
    assert float(retain_kl_released(logits, reference)) == pytest.approx(total / ROWS, rel=1e-12)


def test_npo_simnpo_and_dpo(logits: torch.Tensor, reference: torch.Tensor, labels: torch.Tensor) -> None:
    here = [sum(row) for row in row_losses(logits, labels)]
    then = [sum(row) for row in row_losses(reference, labels)]
    lengths = [2, 4, 3]
    beta, delta = 0.4, 0.3
    wanted = sum(2 / beta * minus_log_sigmoid(beta * (a - b)) for a, b in zip(here, then, strict=True)) / ROWS
    assert float(npo(answer_nll(logits, labels), answer_nll(reference, labels), beta)) == pytest.approx(
        wanted, rel=1e-12
    )
    wanted = (
        sum(2 / beta * minus_log_sigmoid(beta * (a / n - delta)) for a, n in zip(here, lengths, strict=True)) / ROWS
    )
    per_token = answer_nll(logits, labels) / answer_lengths(labels)
    assert float(simnpo(per_token, beta, delta)) == pytest.approx(wanted, rel=1e-12)
    chosen, rejected = torch.tensor([0.3, -1.0, 2.0]).double(), torch.tensor([-0.5, 0.2, 1.0]).double()
    wanted = sum(minus_log_sigmoid(beta * float(c - r)) for c, r in zip(chosen, rejected, strict=True)) / 3
    assert float(dpo(chosen, rejected, beta)) == pytest.approx(wanted, rel=1e-12)


def test_npo_moves_away_from_the_answer_and_dpo_towards_the_refusal() -> None:
    """The signs: forgetting makes each loss smaller."""
    assert npo(torch.tensor([5.0]), torch.tensor([1.0]), 0.1) < npo(torch.tensor([1.0]), torch.tensor([1.0]), 0.1)
    assert simnpo(torch.tensor([5.0]), 4.5, 0.0) < simnpo(torch.tensor([1.0]), 4.5, 0.0)
    assert dpo(torch.tensor([2.0]), torch.tensor([-2.0]), 0.1) < dpo(torch.tensor([0.0]), torch.tensor([0.0]), 0.1)


def test_state_error_is_a_mean_of_means() -> None:
    states = torch.arange(24, dtype=torch.float64).view(3, 4, 2)
    target = torch.tensor([1.0, -1.0], dtype=torch.float64)
    chosen = torch.tensor([[True, False, False, True], [False, True, True, True], [False] * 4])
    means = []
    for b in range(2):
        errors = [
            ((float(states[b, t, 0]) - 1) ** 2 + (float(states[b, t, 1]) + 1) ** 2) / 2
            for t in range(4)
            if chosen[b, t]
        ]
        means.append(sum(errors) / len(errors))
    assert float(state_error(states, target, chosen)) == pytest.approx(sum(means) / 2, rel=1e-12)


def test_half_precision_is_widened(logits: torch.Tensor, labels: torch.Tensor) -> None:
    assert cross_entropy(logits.bfloat16(), labels).dtype == torch.float32
