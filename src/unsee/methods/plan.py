"""In which order questions are learnt from: the whole run as one list, made once from a seed.

Nothing is drawn while training, so a run that was interrupted goes on with the very questions that were next.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Literal, final, get_args

from unsee.errors import OptionError

Order = Literal["forget", "joint", "phases", "alternate"]


@final
@dataclass(frozen=True)
class Item:
    """One place in a batch: indices into the forget set and the retain set, None where that set has no say."""

    forget: int | None
    retain: int | None


def plan(forget: int, retain: int, order: Order, batch_size: int, epochs: int, seed: int) -> list[Item]:
    """Every item of a run; each `batch_size` consecutive ones are an optimiser step.

    `forget`: the forget set alone. `joint`: each forget question beside a retain question, which go round.
    `phases`: per epoch all forget batches, then all retain batches (MLLMU-Bench's GA_Difference and KL_Min).
    `alternate`: a forget batch before every `floor(retain batches / forget batches)`-th retain batch, while there are
    any (MMUnlearner, ASRU and its baselines). A short last batch is filled from the beginning of its set.

    Args:
        forget: questions in the forget set.
        retain: questions in the retain set.
        order: see above.
        batch_size: items of one step, over all processes.
        epochs: times that the forget set (`phases`, `alternate`: both sets) is gone through.
        seed: of every shuffle.

    Raises:
        OptionError: unknown order, a number below 1, or no retain question where the order needs some.
    """
    if order not in get_args(Order):
        raise OptionError(f"order is {order!r}, expected one of {list(get_args(Order))}. Pass one of these.")
    for name, value in (("forget", forget), ("batch_size", batch_size), ("epochs", epochs)):
        if value < 1:
            raise OptionError(f"{name} is {value}, expected at least 1")
    if order != "forget" and retain < 1:
        raise OptionError(f"order is {order!r} but there is no retain question. Pass a retain set, or order='forget'.")
    rng = random.Random(f"plan/{seed}")
    kept = _rounds(retain, rng)
    items: list[Item] = []
    for _ in range(epochs):
        asked = [Item(i, None) for i in _filled(_shuffled(forget, rng), batch_size)]
        if order == "forget":
            items += asked
        elif order == "joint":
            items += [Item(item.forget, next(kept)) for item in asked]
        else:
            rest = [Item(None, i) for i in _filled(_shuffled(retain, rng), batch_size)]
            items += [*asked, *rest] if order == "phases" else _alternating(asked, rest, batch_size)
    return items


def _alternating(asked: list[Item], rest: list[Item], size: int) -> list[Item]:
    forget, retain = _batches(asked, size), _batches(rest, size)
    every = max(1, len(retain) // len(forget))
    turns = iter(forget)
    return list(
        chain.from_iterable(
            [*(next(turns, []) if step % every == 0 else []), *batch] for step, batch in enumerate(retain)
        )
    )


def _batches(items: list[Item], size: int) -> list[list[Item]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def _shuffled(count: int, rng: random.Random) -> list[int]:
    return rng.sample(range(count), count)


def _filled(indices: list[int], size: int) -> list[int]:
    short = -len(indices) % size
    return indices + [indices[i % len(indices)] for i in range(short)]


def _rounds(count: int, rng: random.Random) -> Iterator[int]:
    while True:
        yield from _shuffled(count, rng)
