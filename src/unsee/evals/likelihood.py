"""How likely a model finds given answers, token by token: the input of probability, truth ratio, rank and MIA measures.

The answer is fed behind the prompt as if the model had said it (teacher forcing). Rows are packed without pads between
prompt and answer, so that the figures of a batch are those of each row alone, whichever side the tokenizer pads.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt
import torch

from unsee.data.prompts import Style
from unsee.data.sample import Sample
from unsee.erase.eraser import Eraser
from unsee.erase.steer.hooks import erased
from unsee.errors import DataError, ModelError
from unsee.metrics.estimate import require_as_many
from unsee.models.generate import answer_tokens, batches_by_length, encode
from unsee.models.load import LoadedModel
from unsee.progress import Progress
from unsee.shapes import Float, Int, Tensor


@final
@dataclass(frozen=True, eq=False)
class AnswerScores:
    """What the model makes of each of the T tokens of one answer; log is natural.

    Attributes:
        ids: the tokens.
        log_p: `log p(y_t | y_<t, prompt)`, in nats, at most 0.
        vocabulary_mean: `mu_t = sum_v p(v) log p(v)` of the distribution that y_t was drawn from, in nats.
        vocabulary_variance: `sigma_t^2 = sum_v p(v) (log p(v) - mu_t)^2`, in nats squared.
        rank: 1 + how many tokens of the vocabulary are likelier than y_t.
    """

    ids: npt.NDArray[np.int64]
    log_p: npt.NDArray[np.float64]
    vocabulary_mean: npt.NDArray[np.float64]
    vocabulary_variance: npt.NDArray[np.float64]
    rank: npt.NDArray[np.int64]


def answer_scores(
    loaded: LoadedModel,
    samples: Sequence[Sample],
    answers: Sequence[str | None],
    *,
    erasers: Sequence[Eraser] = (),
    end: bool = False,
    batch_size: int = 16,
    style: Style = "plain",
    progress: Progress | None = None,
) -> list[AnswerScores | None]:
    """Scores of one given answer per sample, in order; None where there is none to score, which stays unscored.

    Under erasers the gate reads the prompt alone, and each answer token is steered as it would be when the model says
    it. For several answers to one question (perturbed ones, candidates) repeat its sample.

    Args:
        loaded: the model; its weights are only read.
        samples: one prompt each.
        answers: the text behind each prompt, begun as the model would begin it: with a space or without one.
        erasers: requests in force; none asks the model as it is.
        end: whether to score the end token behind the answer too; TOFU does, open-unlearning's MIA does not.
        batch_size: prompts per forward pass.
        style: as for `unsee.models.generate.encode`.
        progress: called with the number of answers that each batch has added.

    Raises:
        DataError: not one answer per sample, or an answer without tokens.
        ModelError: the end token is asked for and the tokenizer has none.
        OptionError: the batch size is below 1.
        SteeringError: steering did not happen as an eraser requires.
    """
    require_as_many("answers", answers, len(samples))
    given = [(sample, text) for sample, text in zip(samples, answers, strict=True) if text is not None]
    if not given:
        return [None] * len(samples)
    prompts, tail = [sample for sample, _ in given], _end(loaded) if end else []
    tokens = [ids + tail for ids in answer_tokens(loaded, [text for _, text in given])]
    found: dict[int, AnswerScores] = {}
    for indices in batches_by_length(loaded, prompts, batch_size, style):
        inputs = dict(encode(loaded, [prompts[i] for i in indices], style))
        batch = [tokens[i] for i in indices]
        found |= dict(zip(indices, _scores(loaded, inputs, batch, erasers), strict=True))
        if progress is not None:
            progress(len(indices))
    scored = iter(found[index] for index in range(len(given)))
    return [None if text is None else next(scored) for text in answers]


def packed(inputs: Mapping[str, Tensor], answers: Sequence[Sequence[int]], pad: int) -> dict[str, Tensor]:
    """Inputs with the answers directly behind the prompts' real tokens, padded on the left: all rows end alike.

    Whatever is given per token (token types and the like) is 0 at answers and pads; the images stay as they are.

    Args:
        inputs: `input_ids` and `attention_mask` [B T], padded on either side, and what else the model takes.
        answers: token ids per row.
        pad: the token for columns that are masked.
    """
    ids, mask = inputs["input_ids"], inputs["attention_mask"].bool()
    width = max(int(row.sum()) + len(answer) for row, answer in zip(mask, answers, strict=True))
    filled = {"input_ids": pad}
    out = dict(inputs)
    for name in (name for name, value in inputs.items() if value.shape == ids.shape):
        rows = ids.new_full((len(answers), width), filled.get(name, 0)).to(inputs[name].dtype)
        for row, answer in enumerate(answers):
            behind = ids.new_tensor(list(answer)) if name == "input_ids" else ids.new_zeros(len(answer))
            behind = torch.ones_like(behind) if name == "attention_mask" else behind
            real = torch.cat([inputs[name][row][mask[row]], behind.to(rows.dtype)])
            rows[row, width - len(real) :] = real
        out[name] = rows
    return out


def _scores(
    loaded: LoadedModel, inputs: Mapping[str, Tensor], answers: Sequence[Sequence[int]], erasers: Sequence[Eraser]
) -> list[AnswerScores]:
    longest = max(map(len, answers))
    full = packed(inputs, answers, loaded.processor.tokenizer.pad_token_id)
    prompt_tokens = inputs["attention_mask"].sum(1).tolist()
    steering: AbstractContextManager[object] = (
        erased(loaded.model, *erasers, prompt_tokens=prompt_tokens, adapter=loaded.adapter)
        if erasers
        else nullcontext()
    )
    with torch.no_grad(), steering:
        logits = loaded.model(**full, use_cache=False, logits_to_keep=longest + 1).logits
    # Row by row: the distributions of a whole batch in float32 would need twice the memory of the logits.
    return [
        _row(logits[row, -len(answer) - 1 : -1].float(), full["input_ids"][row, -len(answer) :])
        for row, answer in enumerate(answers)
    ]


def _row(logits: Float[Tensor, "T V"], ids: Int[Tensor, " T"]) -> AnswerScores:
    if not bool(logits.amax(-1).isfinite().all()):  # the maximum is NaN where any is
        raise DataError(
            "the model's logits hold NaN, infinity or no finite value at an answer token, expected numbers. Overflow "
            "in float16 is the usual cause: load the model in bfloat16 or float32."
        )
    log_p = logits.log_softmax(-1)
    p = log_p.exp()
    finite = log_p.masked_fill(p == 0, 0.0)  # 0 log 0 is 0, and 0 times -inf would be NaN
    mean = (p * finite).sum(-1)
    variance = (p * (finite - mean.unsqueeze(-1)).square()).sum(-1)
    chosen = ids.to(logits.device).unsqueeze(-1)
    rank = 1 + (logits > logits.gather(-1, chosen)).sum(-1)
    columns = (log_p.gather(-1, chosen).squeeze(-1), mean, variance)
    return AnswerScores(ids.cpu().numpy(), *(column.double().cpu().numpy() for column in columns), rank.cpu().numpy())


def _end(loaded: LoadedModel) -> list[int]:
    token = loaded.processor.tokenizer.eos_token_id
    if token is None:
        raise ModelError(f"the tokenizer of {loaded.name!r} has no end token, so it cannot be scored. Pass end=False.")
    return [int(token)]
