"""Losses of unlearning as pure functions: logits and labels in, a scalar out. V is the vocabulary, U = T - 1.

Labels are token ids, `IGNORED` where a token is in no loss. The logits of a column speak about the next one. Half
precision is widened to float32 before any logarithm; float64 stays as it is.
"""

import torch
from torch.nn.functional import logsigmoid

from unsee.shapes import Bool, Float, Int, Tensor

IGNORED = -100


def token_log_p(
    logits: Float[Tensor, "B T V"], labels: Int[Tensor, "B T"]
) -> tuple[Float[Tensor, "B U"], Bool[Tensor, "B U"]]:
    """`log p(y_t | y_<t, x)` of each labelled token in nats, 0 where there is none, and which tokens are labelled."""
    ahead = labels[:, 1:]
    said = ahead != IGNORED
    # Only labelled rows are widened: most of a prompt is images, and a vocabulary is large.
    chosen = _wide(logits[:, :-1][said]).log_softmax(-1).gather(-1, ahead[said].unsqueeze(-1)).squeeze(-1)
    return torch.zeros(said.shape, dtype=chosen.dtype, device=chosen.device).masked_scatter(said, chosen), said


def answer_nll(logits: Float[Tensor, "B T V"], labels: Int[Tensor, "B T"]) -> Float[Tensor, " B"]:
    """`-log p(y | x) = -sum_t log p(y_t | y_<t, x)` per row, in nats."""
    return -token_log_p(logits, labels)[0].sum(1)


def answer_lengths(labels: Int[Tensor, "B T"]) -> Int[Tensor, " B"]:
    """Labelled tokens per row."""
    return (labels[:, 1:] != IGNORED).sum(1)


def cross_entropy(logits: Float[Tensor, "B T V"], labels: Int[Tensor, "B T"]) -> Float[Tensor, ""]:
    """`L = -mean over all labelled tokens of the batch of log p(y_t | y_<t, x)`, as transformers' models compute it."""
    log_p, said = token_log_p(logits, labels)
    return -log_p.sum() / said.sum()


def gradient_ascent(logits: Float[Tensor, "B T V"], labels: Int[Tensor, "B T"]) -> Float[Tensor, ""]:
    """GA: `-L_f`; unbounded below.

    Source: `MLLMU_GA.py` of github.com/franciscoliu/MLLMU-Bench.
    """
    return -cross_entropy(logits, labels)


def retain_kl(
    logits: Float[Tensor, "B T V"], reference: Float[Tensor, "B T V"], labels: Int[Tensor, "B T"]
) -> Float[Tensor, ""]:
    """`KL(p_0 || p_theta) = sum_v p_0 (log p_0 - log p_theta)`, mean over labelled tokens, in nats.

    Source: KL_Min of TOFU and MLLMU-Bench, over answer tokens alone (ours; the release: `retain_kl_released`).
    """
    said = labels[:, 1:] != IGNORED
    now, before = _log_softmax(logits[:, :-1][said]), _log_softmax(reference[:, :-1][said])
    return (before.exp() * (before - now)).sum(-1).mean()


def retain_kl_released(logits: Float[Tensor, "B T V"], reference: Float[Tensor, "B T V"]) -> Float[Tensor, ""]:
    """`(1/B) sum over rows, all positions and the vocabulary of p_0 (log p_0 - log p_theta)`: prompt and pads included.

    It grows with the length of the prompt, images included, so that its weight depends on the padding of a batch.

    Source: `F.kl_div(log_softmax(now), softmax(before), reduction="batchmean")` in `MLLMU_KL_Min.py`.
    """
    now, before = _log_softmax(logits), _log_softmax(reference)
    return (before.exp() * (before - now)).sum() / logits.shape[0]


def npo(nll: Float[Tensor, " B"], reference_nll: Float[Tensor, " B"], beta: float) -> Float[Tensor, ""]:
    """NPO: `-(2/beta) mean_i log sigmoid(-beta (log p_theta(y_i) - log p_0(y_i)))`; bounded below by 0.

    Args:
        nll: `-log p_theta(y_i | x_i)` in nats, summed over the answer.
        reference_nll: the same of the frozen model.
        beta: above 0; towards 0 NPO becomes GA.

    Source: Zhang et al. 2024 (arXiv 2404.05868), equation 3. `MLLMU_NPO.py` gives it the batch's mean token loss.
    """
    return -2 / beta * logsigmoid(beta * (nll - reference_nll)).mean()


def simnpo(nll_per_token: Float[Tensor, " B"], beta: float, delta: float) -> Float[Tensor, ""]:
    """SimNPO: `-(2/beta) mean_i log sigmoid(beta (-log p_theta(y_i) / |y_i| - delta))`; needs no frozen model.

    Args:
        nll_per_token: `-log p_theta(y_i | x_i) / |y_i|`, nats per token.
        beta: above 0.
        delta: margin in nats per token.

    Source: Fan et al. 2024 (arXiv 2410.07163), equation 4, with the sign of `simnpo.py` of locuslab/open-unlearning.
    """
    return -2 / beta * logsigmoid(beta * (nll_per_token - delta)).mean()


def dpo(chosen: Float[Tensor, " B"], rejected: Float[Tensor, " B"], beta: float) -> Float[Tensor, ""]:
    """DPO: `-mean_i log sigmoid(beta (chosen_i - rejected_i))`, the refusal preferred to the true answer.

    Args:
        chosen: `log p_theta(y) - log p_0(y)` of the refusal, in nats.
        rejected: the same of the true answer.
        beta: above 0.

    Source: Rafailov et al. 2023 (arXiv 2305.18290), equation 7; open-unlearning multiplies it by `2/beta`.
    """
    return -logsigmoid(beta * (chosen - rejected)).mean()


def state_error(
    states: Float[Tensor, "B T D"], target: Float[Tensor, "*#shape D"], chosen: Bool[Tensor, "B T"]
) -> Float[Tensor, ""]:
    """`mean over rows of mean over a row's chosen tokens of |h - target|^2 / D`; rows without such tokens are left out.

    RMU: the target is `c u` on forget rows (u a fixed random unit vector) and the frozen state on retain rows. ASRU:
    the frozen state plus `lambda v` at the last prompt token, and the frozen state.

    Source: Li et al. 2024 (arXiv 2403.03218); `compute_activation_loss` of open-unlearning.
    """
    error = (_wide(states) - _wide(target)).square().mean(-1).masked_fill(~chosen, 0.0).sum(1)
    counts = chosen.sum(1)
    return (error[counts > 0] / counts[counts > 0]).mean()


def _log_softmax(logits: Float[Tensor, "*shape V"]) -> Float[Tensor, "*shape V"]:
    return _wide(logits).log_softmax(-1)


def _wide(values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    return values if values.dtype == torch.float64 else values.float()
