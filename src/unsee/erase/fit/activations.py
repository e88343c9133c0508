"""Hidden states at the input of named decoder blocks, read where steering will act.

States are taken inside a forward pre-hook and not from `output_hidden_states`: what a block really
receives, steered or not, is only visible there. Every hook lives for one forward pass.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, final, get_args

import torch
from torch import nn

from unsee.data.prompts import Style
from unsee.data.sample import Sample
from unsee.errors import DataError, ModelError, OptionError
from unsee.models.generate import answer_tokens, append_tokens, batches_by_length, encode
from unsee.models.load import LoadedModel
from unsee.progress import Progress
from unsee.shapes import Bool, Float, Tensor

Pool = Literal["last", "mean"]
R = TypeVar("R")


@final
@dataclass(frozen=True, eq=False)
class States:
    """Pooled states of N prompts at L layers, float32 on the CPU.

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

    Raises:
        OptionError: a layer, a pooling or the batch size is not legal.
        DataError: no sample.
        ModelError: a block did not run exactly once in a forward pass.

    Source: the position is that of MLLMEraser's extraction (last prompt token of the full template), the place
        is AlphaSteer's (block input, `hidden_states[l]`).
    """
    width, averaged = loaded.adapter.hidden_size(loaded.model), len(layers if mean_at is None else mean_at)
    pooled: dict[Pool, Tensor] = {
        name: torch.empty(len(samples), len(layers) if name == "last" else averaged, width) for name in pool
    }
    for indices, states in capture_batches(loaded, samples, layers, batch_size, style, pool, mean_at):
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
) -> Iterator[tuple[list[int], States]]:
    """As `capture`, one batch at a time: which samples it holds, and their states.

    For streaming into statistics: nothing is kept between batches, and no hook outlives one.

    Raises:
        OptionError, DataError, ModelError: as for `capture`, once the first batch is asked for.
    """
    _named_blocks(loaded, layers)
    if not pool or not set(pool) <= set(get_args(Pool)):
        raise OptionError(f"pool is {tuple(pool)}, expected one or both of {get_args(Pool)}")
    for number, indices in enumerate(batches_by_length(loaded, samples, batch_size, style)):
        inputs = encode(loaded, [samples[i] for i in indices], style)
        kept = {"last": layers, "mean": layers if mean_at is None else mean_at}
        reduce = _pooling(inputs["attention_mask"].bool(), pool, kept["mean"])
        seen = run_blocks(loaded, layers, dict(inputs), reduce, to_the_end=number == 0)
        reduced = dict(zip(layers, seen, strict=True))
        pooled: dict[Pool, Tensor] = {
            name: torch.stack([reduced[layer][name] for layer in kept[name]], dim=1) for name in pool
        }
        yield indices, States(tuple(layers), pooled)


def capture_features(
    loaded: LoadedModel,
    samples: Sequence[Sample],
    layers: Sequence[int],
    batch_size: int = 16,
    progress: Progress | None = None,
) -> Float[Tensor, "N R 2 D"]:
    """What a held gate reads, per layer: last prompt token and mean over the prompt; raises as `capture` does."""
    states = capture(loaded, samples, layers, batch_size, progress=progress)
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


def _named_blocks(loaded: LoadedModel, layers: Sequence[int]) -> dict[int, nn.Module]:
    blocks = loaded.adapter.layers(loaded.model)
    if not layers or len(set(layers)) != len(layers) or not all(0 <= layer < len(blocks) for layer in layers):
        raise OptionError(
            f"layers are {list(layers)}, expected one or more different numbers from 0 to {len(blocks) - 1} "
            f"for the {len(blocks)} decoder blocks of {loaded.name!r}"
        )
    return {layer: blocks[layer] for layer in layers}


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


class _Enough(Exception):
    """What was to be seen has been seen."""


def run_blocks(
    loaded: LoadedModel,
    layers: Sequence[int],
    inputs: Mapping[str, Tensor],
    reduce: Callable[[int, Float[Tensor, "B T D"]], R],
    *,
    to_the_end: bool = True,
) -> list[R]:
    """One forward pass; what `reduce` makes of the input of each block, in the order of the blocks.

    Only a pass to the end shows that no block runs twice. One such pass is enough to know it of a model; the others
    stop at the last input that is wanted, which spares what lies behind it.

    Raises:
        OptionError: a layer is not legal.
        ModelError: a block did not run exactly once.
    """
    blocks = _named_blocks(loaded, layers)
    with torch.no_grad(), suppress(_Enough), _recording(blocks, reduce, stop=not to_the_end) as seen:
        loaded.model(**inputs, use_cache=False, logits_to_keep=1)
    for layer, records in seen.items():
        if len(records) != 1:
            raise ModelError(
                f"decoder block {layer} of {loaded.name!r} ran {len(records)} times in one forward pass, expected "
                "once. Its states would not be those of the prompt; load the model without wrappers that skip or "
                "repeat blocks."
            )
    return [records[0] for records in seen.values()]


@contextmanager
def _recording(
    blocks: Mapping[int, nn.Module], reduce: Callable[[int, Float[Tensor, "B T D"]], R], stop: bool
) -> Iterator[dict[int, list[R]]]:
    """While open, keeps `reduce(input)` of every call of every block; leaves no hook behind.

    With `stop`, raises `_Enough` at the last of them.
    """
    seen: dict[int, list[R]] = {layer: [] for layer in blocks}
    last = max(blocks)

    def keep(layer: int) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], None]:
        def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            seen[layer].append(reduce(layer, args[0] if args else kwargs["hidden_states"]))
            if stop and layer == last:
                raise _Enough

        return hook

    with ExitStack() as handles:
        for layer, block in blocks.items():
            handles.callback(block.register_forward_pre_hook(keep(layer), with_kwargs=True).remove)
        yield seen
