"""Outside a block a model is bit for bit what it was, whatever has happened inside."""

import asyncio
import copy
import threading
from contextvars import copy_context
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers.generation import BaseStreamer

from tiny_families import FIRED, NEW, always, answer, fresh, hooks, logits, require_clean, samples, steered
from unsee import unsteered
from unsee.erase.eraser import Eraser
from unsee.errors import SteeringError
from unsee.models.digest import weights_digest
from unsee.models.generate import encode
from unsee.models.load import LoadedModel


def test_nothing_is_left_behind(loaded: LoadedModel, either: Eraser) -> None:
    inputs = encode(loaded, samples(loaded))
    before, said = logits(loaded, inputs), answer(loaded, inputs)
    with steered(loaded, either):
        assert not torch.equal(logits(loaded, inputs), before)
        assert not torch.equal(answer(loaded, inputs), said)
        assert weights_digest(loaded.model) == loaded.digest
    require_clean(loaded.model)
    assert torch.equal(logits(loaded, inputs), before) and torch.equal(answer(loaded, inputs), said)
    assert weights_digest(loaded.model) == loaded.digest


def test_nothing_is_left_behind_by_an_exception(loaded: LoadedModel, held: Eraser) -> None:
    inputs = encode(loaded, samples(loaded))
    before = logits(loaded, inputs)

    def interrupt(ids: Tensor, scores: Tensor) -> Tensor:
        if ids.shape[1] > inputs["input_ids"].shape[1]:  # after the first token, so in the middle of an answer
            raise KeyboardInterrupt
        return scores

    with pytest.raises(ZeroDivisionError), steered(loaded, held):
        raise ZeroDivisionError
    require_clean(loaded.model)
    with pytest.raises(KeyboardInterrupt), steered(loaded, held):
        answer(loaded, inputs, logits_processor=[interrupt])
    require_clean(loaded.model)
    assert torch.equal(logits(loaded, inputs), before)


def test_nothing_is_left_behind_by_a_cancelled_task(loaded: LoadedModel, held: Eraser) -> None:
    inputs = encode(loaded, samples(loaded)[:1])
    before = logits(loaded, inputs)

    async def serve() -> None:
        with steered(loaded, always(held)):
            assert not torch.equal(logits(loaded, inputs), before)
            await asyncio.Event().wait()

    async def cancel() -> None:
        task = asyncio.create_task(serve())
        await asyncio.sleep(0)
        assert hooks(loaded.model) > 0
        with pytest.raises(SteeringError):
            logits(loaded, inputs)  # another task's block is open, and this one has not opted out
        with unsteered(loaded.model):
            assert torch.equal(logits(loaded, inputs), before)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    require_clean(loaded.model)
    assert torch.equal(logits(loaded, inputs), before)


def test_a_block_goes_on_after_an_exception_inside_it(loaded: LoadedModel, held: Eraser) -> None:
    inputs, other = encode(loaded, samples(loaded)), encode(loaded, samples(loaded)[:2])

    def fail(ids: Tensor, scores: Tensor) -> Tensor:
        raise ArithmeticError

    with steered(loaded, held):
        expected, tokens = logits(loaded, other), answer(loaded, inputs)
    block = loaded.adapter.layers(loaded.model)[1]
    with steered(loaded, held):
        with pytest.raises(ArithmeticError):
            answer(loaded, inputs, logits_processor=[fail])
        assert torch.equal(logits(loaded, other), expected)  # not taken for a part of what generate was doing
        handle = block.register_forward_pre_hook(lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            logits(loaded, inputs)
        handle.remove()
        assert torch.equal(answer(loaded, inputs), tokens)


def test_a_foreign_generate_and_output_hooks_survive(loaded: LoadedModel, held: Eraser) -> None:
    calls = []
    own = loaded.model.generate
    loaded.model.__dict__["generate"] = lambda *args, **kwargs: calls.append(1) or own(*args, **kwargs)
    try:
        with steered(loaded, held), steered(loaded, held):
            answer(loaded, encode(loaded, samples(loaded)[:1]))
        assert calls == [1] and not isinstance(loaded.model.__dict__["generate"], type(own))
    finally:
        del loaded.model.__dict__["generate"]
    require_clean(loaded.model)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_kept(loaded: LoadedModel, held: Eraser, published: Eraser, dtype: torch.dtype) -> None:
    loaded = fresh(loaded)
    loaded.model.to(dtype)
    inputs = encode(loaded, samples(loaded))
    base, kept = logits(loaded, inputs), ~torch.tensor(FIRED)
    with steered(loaded, held):
        moved = logits(loaded, inputs)
    assert moved.dtype == dtype and torch.equal(moved[kept], base[kept])
    assert not torch.equal(moved[~kept], base[~kept])
    with steered(loaded, published):
        assert logits(loaded, inputs).dtype == dtype and answer(loaded, inputs).shape == (len(samples(loaded)), NEW)
    assert torch.equal(logits(loaded, inputs), base)


class Pausing(BaseStreamer):
    """Stops after its second token until it is told to go on."""

    def __init__(self) -> None:
        self.begun, self.resume, self.seen = threading.Event(), threading.Event(), 0

    def put(self, value: Tensor) -> None:
        del value
        self.seen += 1
        if self.seen == 3:  # the prompt comes first
            self.begun.set()
            assert self.resume.wait(60)

    def end(self) -> None:
        pass


def test_a_stream_goes_on_steered_when_its_block_is_left(loaded: LoadedModel, held: Eraser) -> None:
    inputs = encode(loaded, samples(loaded)[:1])
    before = logits(loaded, inputs)
    with steered(loaded, always(held)):
        expected = answer(loaded, inputs)
    stream, got = Pausing(), dict[str, Any]()

    def work() -> None:
        got["tokens"] = answer(loaded, inputs, streamer=stream)

    with steered(loaded, always(held)) as steering:
        worker = threading.Thread(target=copy_context().run, args=(work,))
        worker.start()
        assert stream.begun.wait(60)
    assert hooks(loaded.model) > 0 and torch.equal(logits(loaded, inputs), before)
    stream.resume.set()
    worker.join()
    assert torch.equal(got["tokens"], expected) and steering.positions == 2 * NEW
    require_clean(loaded.model)
    assert torch.equal(logits(loaded, inputs), before)


def test_a_copy_of_a_model_knows_nothing_of_its_blocks(loaded: LoadedModel, held: Eraser) -> None:
    inputs = encode(loaded, samples(loaded)[:1])
    before = logits(loaded, inputs)
    with steered(loaded, held):
        answer(loaded, inputs)
    twin = copy.deepcopy(loaded.model)
    require_clean(twin)
    with steered(loaded, always(held)), torch.no_grad():
        assert torch.equal(twin(**inputs).logits, before) and not torch.equal(logits(loaded, inputs), before)
