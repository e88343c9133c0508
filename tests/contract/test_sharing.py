"""Several erasers, blocks, threads and tasks on one model do not see each other."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import ExitStack
from contextvars import copy_context
from dataclasses import replace

import torch
from torch import Tensor

from tiny_families import NEW, always, answer, logits, require_clean, samples, steered
from unsee.erase.eraser import Eraser
from unsee.erase.steer.hooks import unsteered
from unsee.errors import SteeringError
from unsee.models.generate import encode
from unsee.models.load import LoadedModel


def test_nested_blocks_are_one_block_with_both(loaded: LoadedModel, held: Eraser, published: Eraser) -> None:
    inputs = encode(loaded, samples(loaded))
    other = replace(held.with_random_direction(1), gate=always(held).gate)
    for first, second in ((held, other), (held, published)):
        with steered(loaded, first, second) as both:
            together, tokens = logits(loaded, inputs), answer(loaded, inputs)
        with steered(loaded, first) as outer:
            alone = logits(loaded, inputs)
            with steered(loaded, second) as inner:
                assert torch.equal(logits(loaded, inputs), together) and torch.equal(answer(loaded, inputs), tokens)
            assert torch.equal(logits(loaded, inputs), alone)
        with steered(loaded, second), steered(loaded, first):
            assert torch.equal(logits(loaded, inputs), together)
        assert outer.positions + inner.positions == both.positions + 2 * 2 * 2  # `alone` twice
        for one, two in zip(both.readings, (inner, inner), strict=True):
            assert one is not None and two.readings[0] is not None
    require_clean(loaded.model)


def test_threads_do_not_see_each_other(loaded: LoadedModel, held: Eraser, published: Eraser) -> None:
    inputs = encode(loaded, samples(loaded))
    drawn = [always(held).with_random_direction(seed) for seed in range(4)]
    erasers = [held, published, always(held), *drawn]
    expected = []
    for eraser in erasers:
        with steered(loaded, eraser):
            expected.append(answer(loaded, inputs))
    expected.append(answer(loaded, inputs))
    assert len({str(tokens) for tokens in expected}) == 8
    failures: list[str] = []
    start = threading.Barrier(8)

    def work(index: int) -> None:
        start.wait()
        for _ in range(2):
            try:
                if index == 7:
                    with unsteered(loaded.model):
                        got = answer(loaded, inputs)
                else:
                    with steered(loaded, erasers[index]):
                        got = answer(loaded, inputs)
            except Exception as error:  # noqa: BLE001 - a thread's error would be lost
                failures.append(repr(error))
                return
            if not torch.equal(got, expected[index]):
                failures.append(f"thread {index} got another's answer")

    threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    require_clean(loaded.model)


def test_tasks_of_one_thread_do_not_see_each_other(loaded: LoadedModel, held: Eraser, published: Eraser) -> None:
    inputs = encode(loaded, samples(loaded))

    async def ask(*erasers: Eraser) -> Tensor:
        with ExitStack() as blocks:
            if not erasers:
                blocks.enter_context(unsteered(loaded.model))
            for eraser in erasers:
                blocks.enter_context(steered(loaded, eraser))
            await asyncio.sleep(0)
            said = answer(loaded, inputs)
            await asyncio.sleep(0)
            assert torch.equal(answer(loaded, inputs), said)
        return said

    async def ask_all() -> list[Tensor]:
        return await asyncio.gather(ask(), ask(held), ask(published), ask(held, published))

    together = asyncio.run(ask_all())
    assert len({str(tokens) for tokens in together}) == 4
    for tokens, erasers in zip(together, ((), (held,), (published,), (held, published)), strict=True):
        assert torch.equal(tokens, asyncio.run(ask(*erasers)))
    require_clean(loaded.model)


def test_two_threads_cannot_share_one_block_at_once(loaded: LoadedModel, held: Eraser) -> None:
    inputs = encode(loaded, samples(loaded))
    errors: list[str] = []

    def intrude(act: Callable[..., Tensor]) -> None:
        try:
            act(loaded, inputs)
        except SteeringError as error:
            errors.append(str(error))

    def during(ids: Tensor, scores: Tensor) -> Tensor:
        for act in (answer, logits):  # the one must not open the door to the other
            thread = threading.Thread(target=copy_context().run, args=(intrude, act))
            thread.start()
            thread.join()
        return scores

    with steered(loaded, held):
        expected = answer(loaded, inputs)
        assert torch.equal(answer(loaded, inputs, logits_processor=[during]), expected)
        thread = threading.Thread(target=copy_context().run, args=(intrude, answer))  # one after the other is fine
        thread.start()
        thread.join()
    assert len(errors) == 2 * NEW and all("two threads" in error for error in errors)
