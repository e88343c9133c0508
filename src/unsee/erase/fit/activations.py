"""Hidden states at the input of named decoder blocks, read where steering will act: last prompt token, and mean.

Which prompts share a batch depends on the prompts alone, so states are the same whichever workers read them.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, final, get_args

import torch

from unsee.data.prompts import Style
from unsee.data.sample import Sample
from unsee.erase.fit.blocks import named_blocks, run_blocks
from unsee.errors import DataError, OptionError
from unsee.models.generate import answer_tokens, append_tokens, batches_by_length, encode
from unsee.models.load import LoadedModel
from unsee.progress import Progress
from unsee.shapes import Bool, Float, Tensor
from unsee.workers import Here, Workers

Pool = Literal["last", "mean"]


@final
@dataclass(frozen=True, eq=False)
class States:
    """Pooled states of N prompts at L layers, on the CPU.

    Attributes:
        layers: decoder blocks whose input was read, in the order of the layer axis.
        pooled: per kind of pooling that was asked for, states [N L D].
    """

    layers: tuple[int, ...]
    pooled: Mapping[Pool, Float[Tensor, "N L D"]]

    @property
    def last(self) -> Float[Tensor, "N L D"]:
        """States at the last prompt token, the one about to emit the first answer token."""
        return self._take("last")

    @property
    def mean(self) -> Float[Tensor, "N L D"]:
        """Mean over the real prompt tokens, image tokens included and pads left out."""
        return self._take("mean")

    def _take(self, pool: Pool) -> Float[Tensor, "N L D"]:
        if pool not in self.pooled:
            raise OptionError(
                f"these states were captured with pool={tuple(self.pooled)}, so there is no {pool!r}. "
                f"Capture them with {pool!r} in pool."
            )
        return self.pooled[pool]


@final
@dataclass(frozen=True, eq=False)
class AnswerStates:
    """States of N teacher-forced answers at S steps and L layers, float32 on the CPU.

    Attributes:
        layers: decoder blocks whose input was read, in the order of the layer axis.
        states: step 0 is the last prompt token, step t the position of the t-th answer token; zero where masked.
        mask: true where the answer has that step.
    """

    layers: tuple[int, ...]
    states: Float[Tensor, "N S L D"]
    mask: Bool[Tensor, "N S"]


def capture(
    loaded: LoadedModel,
    samples: Sequence[Sample],
    layers: Sequence[int],
    batch_size: int = 16,
    style: Style = "plain",
    pool: Sequence[Pool] = ("last", "mean"),
    progress: Progress | None = None,
    mean_at: Sequence[int] | None = None,
    workers: Workers[LoadedModel] | None = None,
    dtype: torch.dtype = torch.float32,
) -> States:
    """States of all prompts, in the order of the samples.

    Args:
        loaded: the model; it is only read.
        samples: one prompt each.
        layers: decoder blocks, counted from 0; block l receives `hidden_states[l]`.
        batch_size: prompts per forward pass.
        style: as for `unsee.models.generate.encode`.
        pool: which of "last" and "mean" to keep.
        progress: called with the number of prompts that each batch has added.
        mean_at: those of the layers at which the mean is kept, in this order; all of them if None.
        workers: that hold the same model and share the batches; this process alone if None.
        dtype: of the states that are kept; all are read in float32.

    Raises:
        OptionError: a layer, a pooling or the batch size is not legal.
        DataError: no sample.
        ModelError: a block did not run exactly once in a forward pass.

    Source: the position is that of MLLMEraser's extraction (last prompt token of the full template), the place
        is AlphaSteer's (block input, `hidden_states[l]`).
    """
    width, averaged = loaded.adapter.hidden_size(loaded.model), len(layers if mean_at is None else mean_at)
    pooled: dict[Pool, Tensor] = {
        name: torch.empty(len(samples), len(layers) if name == "last" else averaged, width, dtype=dtype)
        for name in pool
    }
    found = capture_batches(loaded, samples, layers, batch_size, style, pool, mean_at, workers, dtype)
    for indices, states in found:
        for name, rows in states.pooled.items():
            pooled[name][indices] = rows
        if progress is not None:
            progress(len(indices))
    return States(tuple(layers), pooled)


def capture_batches(
    loaded: LoadedModel,
    samples: Sequence[Sample],
    layers: Sequence[int],
    batch_size: int = 16,
    style: Style = "plain",
    pool: Sequence[Pool] = ("last", "mean"),
    mean_at: Sequence[int] | None = None,
    workers: Workers[LoadedModel] | None = None,
    dtype: torch.dtype = torch.float32,
) -> Iterator[tuple[list[int], States]]:
    """As `capture`, one batch at a time and in a fixed order: which samples it holds, and their states.

    For streaming into statistics: nothing is kept between batches, and no hook outlives one. Sums that are made in
    this order are the same to the last bit, whichever workers read the batches.

    Raises:
        OptionError, DataError, ModelError: as for `capture`, once the first batch is asked for.
    """
    named_blocks(loaded, layers)
    if not pool or not set(pool) <= set(get_args(Pool)):
        raise OptionError(f"pool is {tuple(pool)}, expected one or both of {get_args(Pool)}")
    batches = batches_by_length(loaded, samples, batch_size, style)
    kept: dict[Pool, Sequence[int]] = {"last": layers, "mean": layers if mean_at is None else mean_at}
    read = _Read(tuple(layers), style, {name: tuple(kept[name]) for name in pool}, dtype)
    parts = ((number == 0, [samples[i] for i in indices]) for number, indices in enumerate(batches))
    for number, states in (workers or Here(loaded)).map(read, parts, in_order=True):
        yield batches[number], states


@final
@dataclass(frozen=True)
class _Read:
    """How one batch is read: at the first of them, the pass goes to its end."""

    layers: tuple[int, ...]
    style: Style
    kept: Mapping[Pool, tuple[int, ...]]
    dtype: torch.dtype

    def __call__(self, loaded: LoadedModel, part: tuple[bool, list[Sample]]) -> States:
        inputs = encode(loaded, part[1], self.style)
        reduce = _pooling(inputs["attention_mask"].bool(), tuple(self.kept), self.kept.get("mean", ()))
        seen = run_blocks(loaded, self.layers, dict(inputs), reduce, to_the_end=part[0])
        reduced = dict(zip(self.layers, seen, strict=True))
        pooled: dict[Pool, Tensor] = {
            name: torch.stack([reduced[layer][name] for layer in at], dim=1).to(self.dtype)
            for name, at in self.kept.items()
        }
        return States(self.layers, pooled)


def capture_features(
    loaded: LoadedModel,
    samples: Sequence[Sample],
    layers: Sequence[int],
    batch_size: int = 16,
    progress: Progress | None = None,
    workers: Workers[LoadedModel] | None = None,
    dtype: torch.dtype = torch.float32,
) -> Float[Tensor, "N R 2 D"]:
    """What a latched prompt gate reads, per layer: last prompt token and mean; arguments as for `capture`."""
    states = capture(loaded, samples, layers, batch_size, progress=progress, workers=workers, dtype=dtype)
    return torch.stack([states.last, states.mean], dim=2)


def capture_answers(
    loaded: LoadedModel,
    samples: Sequence[Sample],
    answers: Sequence[str],
    layers: Sequence[int],
    steps: int,
    batch_size: int = 16,
    style: Style = "plain",
    progress: Progress | None = None,
) -> AnswerStates:
    """States along given answers, each fed to the model token by token as if it had said it (teacher forcing).

    Args:
        loaded: the model; it is only read.
        samples: one prompt each.
        answers: one answer per sample; tokens beyond `steps - 1` are cut.
        layers: decoder blocks, counted from 0.
        steps: S, the last prompt token included.
        batch_size: prompts per forward pass.
        style: as for `unsee.models.generate.encode`.
        progress: called with the number of prompts that each batch has added.

    Raises:
        OptionError: a layer, `steps` or the batch size is not legal.
        DataError: no sample, an answer without tokens, or not one answer per sample.
        ModelError: a block did not run exactly once in a forward pass.
    """
    if steps < 1:
        raise OptionError(f"steps is {steps}, expected at least 1 (step 0 is the last prompt token)")
    if len(answers) != len(samples):
        raise DataError(f"got {len(answers)} answers for {len(samples)} samples, expected one answer per sample")
    tokens = answer_tokens(loaded, answers)
    states = torch.zeros(len(samples), steps, len(layers), loaded.adapter.hidden_size(loaded.model))
    mask = torch.tensor([[step <= len(ids) for step in range(steps)] for ids in tokens], dtype=torch.bool)
    for number, indices in enumerate(batches_by_length(loaded, samples, batch_size, style)):
        prompts = encode(loaded, [samples[i] for i in indices], style)
        inputs = append_tokens(loaded, dict(prompts), [tokens[i] for i in indices], steps - 1)
        # Left padding puts step 0 in the same column of every row: the steps are the last S columns.
        reduced = run_blocks(
            loaded, layers, inputs, lambda _, hidden: hidden[:, -steps:].float().cpu(), to_the_end=number == 0
        )
        rows = torch.stack(reduced, dim=2)
        states[indices] = rows.masked_fill(~mask[indices][..., None, None], 0.0)
        if progress is not None:
            progress(len(indices))
    return AnswerStates(tuple(layers), states, mask)


def _pooling(
    mask: Bool[Tensor, "B T"], pool: Sequence[Pool], mean_at: Sequence[int]
) -> Callable[[int, Float[Tensor, "B T D"]], dict[Pool, Float[Tensor, "B D"]]]:
    assert bool(mask[:, -1].all()), "prompts are padded on the left"

    def reduce(layer: int, hidden: Float[Tensor, "B T D"]) -> dict[Pool, Float[Tensor, "B D"]]:
        pooled = {"last": lambda: hidden[:, -1], "mean": lambda: _mean(hidden, mask.to(hidden.device))}
        return {name: pooled[name]().float().cpu() for name in pool if layer in mean_at or name != "mean"}

    return reduce


def _mean(hidden: Float[Tensor, "B T D"], mask: Bool[Tensor, "B T"]) -> Float[Tensor, "B D"]:
    # Chosen and not multiplied: a pad may hold NaN, and 0 times NaN is NaN. One row at a time is in double precision.
    return torch.stack([row[real].double().mean(0) for row, real in zip(hidden, mask, strict=True)])
