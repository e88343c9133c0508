"""Compiled, offloaded and quantised models are steered as the plain one is, and come back as they were.

torchao and bitsandbytes are installed beside the other libraries, not among them (see the Makefile): transformers
imports what it finds, and they are slow and noisy to import.
"""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate import cpu_offload, disk_offload
from torch import nn
from transformers import PreTrainedModel

from tiny_families import (
    FAMILIES,
    NEW,
    always,
    answer,
    hooks,
    logits,
    never,
    published_eraser,
    require_clean,
    samples,
    steered,
)
from unsee.erase.eraser import Eraser
from unsee.models.generate import encode
from unsee.models.load import LoadedModel


def test_compiled_code_runs_as_it_was_written(loaded: LoadedModel, either: Eraser) -> None:
    """A graph that was made without hooks would run without them."""
    traced = torch.compile(lambda number: number + float(torch.compiler.is_compiling()), backend="eager")
    zero = torch.zeros(1)
    assert traced(zero) == 1
    with steered(loaded, either), steered(loaded, either):
        assert traced(zero) == 0
    assert traced(zero) == 1


def test_a_model_compiled_before_is_steered() -> None:
    """One whole model, since tracing it takes seconds: this one gave its unsteered answer to a steered prompt."""
    loaded = FAMILIES["llama"](0)
    inputs, eraser = encode(loaded, samples(loaded)[:2]), published_eraser(loaded)
    with steered(loaded, eraser):
        expected = logits(loaded, inputs)
    wrapped = torch.compile(loaded.model, backend="eager")
    before = logits(replace(loaded, model=wrapped), inputs)
    for model in (loaded.model, wrapped):
        with steered(replace(loaded, model=model), eraser) as steering:
            assert torch.equal(logits(replace(loaded, model=wrapped), inputs), expected) and steering.positions > 0
        assert torch.equal(logits(replace(loaded, model=wrapped), inputs), before)
    require_clean(loaded.model)


def test_weights_that_wait_elsewhere(loaded: LoadedModel, either: Eraser) -> None:
    inputs = encode(loaded, samples(loaded))
    with steered(loaded, either):
        expected, tokens = logits(loaded, inputs), answer(loaded, inputs)
    away = replace(loaded, model=copy.deepcopy(loaded.model))
    if loaded.adapter.family == "idefics3":  # reads its embeddings itself, so transformers needs them in place
        for block in loaded.adapter.layers(away.model):
            cpu_offload(block, execution_device=torch.device("cpu"))
    else:
        cpu_offload(away.model, execution_device=torch.device("cpu"))
        assert away.model.device.type == "meta"
    assert away.device.type == "cpu"
    before = logits(away, encode(away, samples(away)))
    with steered(away, either):
        assert torch.equal(logits(away, inputs), expected) and torch.equal(answer(away, inputs), tokens)
    assert hooks(away.model) == 0 and torch.equal(logits(away, inputs), before)
    assert torch.equal(before, logits(loaded, inputs))


def test_weights_split_over_memory_and_disk(loaded: LoadedModel, either: Eraser, tmp_path: Path) -> None:
    """Every other block waits on the disk between calls, as a `device_map` splits a model that is too large."""
    inputs = encode(loaded, samples(loaded))
    with steered(loaded, either):
        expected, tokens = logits(loaded, inputs), answer(loaded, inputs)
    split = replace(loaded, model=copy.deepcopy(loaded.model))
    for number, block in enumerate(loaded.adapter.layers(split.model)):
        if number % 2:
            disk_offload(block, str(tmp_path / str(number)), execution_device=torch.device("cpu"))
            assert all(parameter.device.type == "meta" for parameter in block.parameters())
    with steered(split, either) as steering:
        assert torch.equal(logits(split, inputs), expected) and torch.equal(answer(split, inputs), tokens)
        assert steering.positions > 0
    assert hooks(split.model) == 0 and torch.equal(logits(split, inputs), logits(loaded, inputs))


def by_torch(model: nn.Module) -> nn.Module:
    """Activations share one scale over the batch, so rows do reach each other, with or without steering."""
    return torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)


def by_torchao(model: nn.Module) -> nn.Module:
    """Weights alone."""
    torchao, small = pytest.importorskip("torchao.quantization"), copy.deepcopy(model)
    torchao.quantize_(small, torchao.Int8WeightOnlyConfig())
    return small


def by_bitsandbytes(model: nn.Module) -> nn.Module:
    """LLM.int8, in every block of the decoder."""
    eight, small = pytest.importorskip("bitsandbytes.nn").Linear8bitLt, copy.deepcopy(model)
    for name, old in [*small.named_modules()]:
        if isinstance(old, nn.Linear) and "_proj" in name and "layers" in name:
            new = eight(old.in_features, old.out_features, old.bias is not None, has_fp16_weights=False)
            new.load_state_dict(old.state_dict())
            small.set_submodule(name, new.to("cpu"))
    assert any(isinstance(module, eight) for module in small.modules())
    return small


@pytest.mark.parametrize("quantised", [by_torch, by_torchao, by_bitsandbytes])
def test_eight_bit_weights(
    loaded: LoadedModel, held: Eraser, quantised: Callable[[nn.Module], PreTrainedModel]
) -> None:
    small = replace(loaded, model=quantised(loaded.model))
    inputs = encode(small, samples(small))
    before = logits(small, inputs)
    assert not torch.equal(before, logits(loaded, inputs))
    with steered(small, always(held)) as steering:
        assert not torch.equal(logits(small, inputs), before) and steering.positions == 2 * len(before)
        assert answer(small, inputs).shape == (len(before), NEW)
    with steered(small, never(held)):
        assert torch.equal(logits(small, inputs), before)
    assert torch.equal(logits(small, inputs), before)


def test_eight_bit_weights_are_steered_as_their_values_are(loaded: LoadedModel, either: Eraser) -> None:
    small = replace(loaded, model=by_torchao(loaded.model))
    plain, rounded = copy.deepcopy(loaded.model), dict(small.model.named_parameters())
    with torch.no_grad():
        for name, parameter in plain.named_parameters():
            stored = rounded[name]
            parameter.copy_(stored.dequantize() if "torchao" in type(stored).__module__ else stored)
    inputs = encode(loaded, samples(loaded))
    before = logits(small, inputs)
    with steered(replace(loaded, model=plain), either):
        expected = logits(replace(loaded, model=plain), inputs)
    with steered(small, either):
        torch.testing.assert_close(logits(small, inputs), expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(logits(small, inputs), before)
