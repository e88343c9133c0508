"""Which open blocks a call of a model belongs to: those of its context, or of the generator that makes it.

A context and not a thread: tasks of one thread must not share a block, and a worker that inherits one must. A generator
that holds a block over `yield` is driven in contexts that never saw it being opened, so the frame that opened a block
is known too.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any, final

from unsee.erase.steer.session import Steering
from unsee.erase.steer.target import target_of
from unsee.errors import SteeringError


@final
@dataclass(frozen=True, eq=False)
class Unsteered:
    """An explicit opt-out: calls of this model from this context run as it is, until a block is opened inside."""

    model: object


@final
@dataclass(frozen=True, eq=False)
class Block:
    """One open `with erased(...)`.

    Attributes:
        model: that it steers.
        steering: what happens inside.
        owner: the frame whose `with` statement it is, by address and code; a reference would keep a dropped generator
            alive, and its block open.
    """

    model: object
    steering: Steering
    owner: tuple[int, CodeType]


_HERE: ContextVar[tuple[Block | Unsteered, ...]] = ContextVar("unsee_open_blocks", default=())


@contextmanager
def here(entry: Block | Unsteered) -> Iterator[None]:
    """The entry holds in this context, and in those that are copied from it, until the block ends."""
    _HERE.set((*_HERE.get(), entry))
    try:
        yield
    finally:  # Perhaps in another context, where it never was.
        _HERE.set(tuple(other for other in _HERE.get() if other is not entry))


@contextmanager
def unsteered(model: Any) -> Iterator[None]:
    """Calls of this model from this context run unsteered, also while blocks are open elsewhere or around.

    Without it they are refused while any block is open on the model: an answer that should have been steered cannot
    be told from one that should not. A block that is opened inside steers.

    Args:
        model: as for `erased`.

    Raises:
        ModelError: not a model whose decoder can be reached.
    """
    with here(Unsteered(target_of(model).model)):
        yield


def owner_of_caller() -> tuple[int, CodeType]:
    """The frame whose `with` statement runs the context manager that calls this."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_globals.get("__name__") == "contextlib":
        frame = frame.f_back
    assert frame is not None, "a context manager is entered by somebody"
    return id(frame), frame.f_code


def blocks_of_call(model: object, open_blocks: Sequence[Block], left: Sequence[Block]) -> list[Block]:
    """The blocks that steer a call made here, outermost first; none where the caller has opted out.

    Args:
        model: that is called.
        open_blocks: all that are open on it, in the order of opening, and those that were left but still generate.
        left: these latter.

    Raises:
        SteeringError: the call belongs to none of the open blocks, or it is not clear to which.
    """
    mine, opted_out = inherited(model, open_blocks)
    if opted_out:
        return mine
    others = [block for block in open_blocks if block not in mine and block not in left]
    if not others:
        return mine
    stack = _frames()
    around = [block for block in others if block.owner in stack]
    if around and mine:
        raise SteeringError(
            "the model is called by code that holds one block, in a context in which another is open, so it is not "
            "clear which erasers this answer is for. Nothing is answered. Run each generator that holds a block in one "
            "context: contextvars.copy_context(), then context.run(next, generator) for every step."
        )
    if around or mine:
        return around or mine
    raise SteeringError(
        "the model is erased in another context, and this call has not inherited the block, so it would be unsteered. "
        "Nothing is answered. A thread that works for the block takes its context along: asyncio.to_thread, or "
        "Thread(target=contextvars.copy_context().run, args=(model.generate,), kwargs=...). A call that is not to be "
        "steered says so: with unsteered(model): ..."
    )


def inherited(model: object, open_blocks: Sequence[Block]) -> tuple[list[Block], bool]:
    """Of the open blocks those that this context has, outermost first, and whether it has opted out around them."""
    mine: list[Block] = []
    for entry in reversed(_HERE.get()):
        if isinstance(entry, Unsteered):
            if entry.model is model:
                return mine[::-1], True
        elif entry in open_blocks:
            mine.append(entry)
    return mine[::-1], False


def _frames() -> set[tuple[int, CodeType]]:
    found: set[tuple[int, CodeType]] = set()
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        found.add((id(frame), frame.f_code))
        frame = frame.f_back
    return found
