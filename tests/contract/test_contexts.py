"""While a block is open every call is steered, refused or opted out, in the patterns of web servers too."""

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import replace
from typing import Any

import anyio
import pytest
import torch
from torch import Tensor, nn
from transformers import TextIteratorStreamer

from tiny_families import FAMILIES, always, answer, held_eraser, logits, require_clean, samples
from unsee.erase.eraser import Eraser
from unsee.erase.steer.hooks import erased, unsteered
from unsee.errors import MismatchError, ModelError, SteeringError
from unsee.models.generate import encode
from unsee.models.load import LoadedModel


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return FAMILIES["llama"](0)


@pytest.fixture(scope="module")
def eraser(loaded: LoadedModel) -> Eraser:
    return always(held_eraser(loaded))


@pytest.fixture(scope="module")
def inputs(loaded: LoadedModel) -> Any:
    return encode(loaded, samples(loaded)[:1])


@pytest.fixture(scope="module")
def steered(loaded: LoadedModel, eraser: Eraser, inputs: Any) -> Tensor:
    with erased(loaded, eraser):
        tokens = answer(loaded, inputs)
    assert not torch.equal(tokens, answer(loaded, inputs))
    return tokens


@pytest.fixture(autouse=True)
def clean(loaded: LoadedModel) -> Iterator[None]:
    before = answer(loaded, encode(loaded, samples(loaded)[:1]))
    yield
    require_clean(loaded.model)
    assert torch.equal(answer(loaded, encode(loaded, samples(loaded)[:1])), before)


def caught(act: Callable[[], Any]) -> Any:
    """What a worker returns or raises."""
    try:
        return act()
    except Exception as error:  # noqa: BLE001 - a thread's error would be lost
        return error


def in_thread(act: Callable[[], Any]) -> Any:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(caught(act)))
    thread.start()
    thread.join()
    return found[0]


def test_a_worker_without_the_context_is_refused(loaded: LoadedModel, eraser: Eraser, inputs: Any) -> None:
    def generates() -> Tensor:
        return answer(loaded, inputs)

    def scores() -> Tensor:
        return logits(loaded, inputs)

    async def in_executor(act: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(None, lambda: caught(act))

    with ThreadPoolExecutor(1) as before, erased(loaded, eraser), ThreadPoolExecutor(1) as inside:
        for act in (generates, scores):
            got = [in_thread(act), asyncio.run(in_executor(act))]
            got += [pool.submit(caught, act).result() for pool in (before, inside)]
            assert [type(one) for one in got] == [SteeringError] * 4
            assert "not inherited the block" in str(got[0])


def test_a_worker_with_the_context_is_steered(
    loaded: LoadedModel, eraser: Eraser, inputs: Any, steered: Tensor
) -> None:
    def act() -> Tensor:
        return answer(loaded, inputs)

    async def by_anyio() -> Tensor:
        return await anyio.to_thread.run_sync(act)

    async def by_asyncio() -> Tensor:
        return await asyncio.to_thread(act)

    with erased(loaded, eraser), ThreadPoolExecutor(1) as pool:
        context = copy_context()
        for got in (
            in_thread(lambda: context.run(act)),
            asyncio.run(by_asyncio()),
            anyio.run(by_anyio),
            pool.submit(copy_context().run, act).result(),
        ):
            assert torch.equal(got, steered)


@pytest.mark.parametrize("along", [True, False], ids=["with context", "plain"])
def test_a_streamer(loaded: LoadedModel, eraser: Eraser, inputs: Any, steered: Tensor, along: bool) -> None:
    streamer = TextIteratorStreamer(loaded.processor.tokenizer, skip_prompt=True, timeout=60)
    failed: list[Exception] = []

    def work() -> None:
        try:
            answer(loaded, inputs, streamer=streamer)
        except SteeringError as error:
            failed.append(error)
            streamer.end()

    with erased(loaded, eraser):
        thread = threading.Thread(target=copy_context().run if along else work, args=(work,) if along else ())
        thread.start()
        text = "".join(streamer)
        thread.join()
    assert (text == loaded.processor.decode(steered[0]) and not failed) if along else (not text and len(failed) == 1)


def test_a_generator_that_holds_a_block_is_steered_by_whoever_drives_it(
    loaded: LoadedModel, eraser: Eraser, inputs: Any, steered: Tensor
) -> None:
    def stream() -> Iterator[Tensor]:
        with erased(loaded, eraser):
            for _ in range(3):
                yield answer(loaded, inputs)

    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as two:
        parts = stream()
        got = [pool.submit(next, parts).result() for pool in (one, two, one)]
        assert all(torch.equal(part, steered) for part in got)
        assert isinstance(in_thread(lambda: answer(loaded, inputs)), SteeringError), "not the generator's own call"
        assert two.submit(next, parts, None).result() is None
    parts = stream()
    assert all(torch.equal(copy_context().run(next, parts), steered) for _ in range(3))
    parts.close()


def test_an_asynchronous_generator(loaded: LoadedModel, eraser: Eraser, inputs: Any, steered: Tensor) -> None:
    async def stream() -> AsyncIterator[Any]:
        with erased(loaded, eraser):
            yield answer(loaded, inputs)
            yield await asyncio.to_thread(caught, lambda: answer(loaded, inputs))
            yield answer(loaded, inputs)

    async def each_step_in_a_task(parts: Any) -> list[Any]:
        async def step() -> Any:
            return await anext(parts)

        got = [await asyncio.create_task(step()) for _ in range(3)]
        await parts.aclose()
        return got

    first, threaded, last = asyncio.run(each_step_in_a_task(stream()))
    assert torch.equal(first, steered) and torch.equal(last, steered)
    assert isinstance(threaded, SteeringError), "the second task has not inherited the first one's block"

    async def in_one_task() -> list[Any]:
        return [part async for part in stream()]

    assert all(torch.equal(part, steered) for part in asyncio.run(in_one_task()))


def test_two_generators_on_the_same_workers_do_not_mix(loaded: LoadedModel, eraser: Eraser, inputs: Any) -> None:
    other = eraser.with_random_direction(1)

    def stream(with_: Eraser) -> Iterator[Any]:
        with erased(loaded, with_):
            while True:
                yield caught(lambda: answer(loaded, inputs))

    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as two:
        first, second = stream(eraser), stream(other)
        own = one.submit(next, first).result(), two.submit(next, second).result()
        assert not torch.equal(*own)
        crossed = two.submit(next, first).result()
        assert isinstance(crossed, SteeringError) and "not clear which erasers" in str(crossed)
        assert torch.equal(one.submit(next, first).result(), own[0])
        one.submit(first.close).result()
        two.submit(second.close).result()


def test_a_generator_that_is_dropped_closes_its_block(loaded: LoadedModel, eraser: Eraser, inputs: Any) -> None:
    def stream() -> Iterator[Tensor]:
        with erased(loaded, eraser):
            yield answer(loaded, inputs)
            yield answer(loaded, inputs)

    parts = stream()
    in_thread(parts.__next__)
    assert "generate" in loaded.model.__dict__
    del parts
    gc.collect()
    require_clean(loaded.model)


def test_whoever_opts_out_is_not_steered(loaded: LoadedModel, eraser: Eraser, inputs: Any, steered: Tensor) -> None:
    base = answer(loaded, inputs)

    def plainly() -> Tensor:
        with unsteered(loaded):
            return answer(loaded, inputs)

    with erased(loaded, eraser):
        assert torch.equal(in_thread(plainly), base) and torch.equal(plainly(), base)
        with unsteered(loaded.model), erased(loaded, eraser):
            assert torch.equal(answer(loaded, inputs), steered)
        assert torch.equal(answer(loaded, inputs), steered)
    with unsteered(FAMILIES["llama"](1)), erased(loaded, eraser):
        assert torch.equal(answer(loaded, inputs), steered)


def test_generate_taken_inside_and_called_after_is_refused(loaded: LoadedModel, eraser: Eraser, inputs: Any) -> None:
    with erased(loaded, eraser):
        taken = loaded.model.generate
    with pytest.raises(SteeringError, match="left meanwhile"):
        taken(**inputs)


def test_another_checkpoint_is_refused(loaded: LoadedModel, eraser: Eraser, inputs: Any, steered: Tensor) -> None:
    own = replace(eraser, model={"id": "tiny", "digest": loaded.digest})
    foreign = replace(eraser, model={"id": "tiny", "digest": "sha256:0"})
    for model in (loaded, loaded.model):
        with erased(model, own):
            assert torch.equal(answer(loaded, inputs), steered)
        with pytest.raises(MismatchError, match="other_weights=True"), erased(model, own, foreign):
            pass
        with erased(model, foreign, other_weights=True):
            assert torch.equal(answer(loaded, inputs), steered)


def test_what_wraps_a_model_is_unwrapped_or_named(loaded: LoadedModel, eraser: Eraser, inputs: Any) -> None:
    from peft import LoraConfig, PromptTuningConfig, get_peft_model

    inner = FAMILIES["llama"](0)
    lora = LoraConfig(target_modules=["q_proj"], r=2, init_lora_weights=True)
    tuned: Any = get_peft_model(inner.model, lora)  # pyright: ignore[reportArgumentType]
    with erased(loaded, eraser):
        expected, tokens = logits(loaded, inputs), answer(loaded, inputs)
    wrapped = replace(loaded, model=tuned)
    two = encode(loaded, samples(loaded)[:2])
    unmarked = {"input_ids": two["input_ids"]}
    with erased(tuned, eraser) as steering, torch.no_grad():
        assert torch.equal(tuned(**inputs).logits, expected) and torch.equal(answer(wrapped, inputs), tokens)
        assert steering.positions > 0
        with pytest.raises(SteeringError, match="hold pad tokens"):
            tuned(**unmarked)
    prompted = get_peft_model(
        FAMILIES["llama"](0).model, PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
    )  # pyright: ignore
    for model, text in (
        (nn.DataParallel(loaded.model), "Pass its .module"),
        (prompted, "virtual tokens"),
        (object(), "got a object"),
    ):
        with pytest.raises(ModelError, match=text), erased(model, eraser):  # pyright: ignore[reportArgumentType]
            pass


def test_pads_behind_a_prompt(loaded: LoadedModel, eraser: Eraser) -> None:
    some = samples(loaded)[:2]
    left = encode(loaded, some)
    tokenizer = loaded.processor.tokenizer
    tokenizer.padding_side = "right"
    try:
        assert torch.equal(encode(loaded, some)["input_ids"], left["input_ids"])
        texts = tokenizer.batch_decode(left["input_ids"], skip_special_tokens=True)
        right = tokenizer(texts, padding=True, return_tensors="pt")
    finally:
        tokenizer.padding_side = "left"
    assert not bool(right["attention_mask"][:, -1].all())
    with erased(loaded, eraser), pytest.raises(SteeringError, match="padding_side = 'left'"):
        answer(loaded, {name: right[name] for name in ("input_ids", "attention_mask")})
