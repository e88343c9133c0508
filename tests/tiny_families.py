"""Every family that the contract holds for, and what its tests share: random erasers, oracles, one way of answering.

Thresholds of the held eraser are set so that some prompts of a batch fire and others do not.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tiny_foreign import tiny_idefics3, tiny_llama
from tiny_llava import WIDTH, mixed_questions, tiny_llava
from tiny_qwen import tiny_qwen2_5_vl, tiny_qwen3_vl
from unsee.data.sample import Sample
from unsee.erase.eraser import Eraser
from unsee.erase.gates.null_space import NullSpaceGate
from unsee.erase.gates.prompt_ridge import PromptRidgeGate
from unsee.erase.steer.hooks import Steering, erased
from unsee.errors import SteeringError
from unsee.models.generate import encode
from unsee.models.load import LoadedModel

FAMILIES: dict[str, Callable[[int], LoadedModel]] = {
    "llava": tiny_llava,
    "qwen2_5_vl": tiny_qwen2_5_vl,
    "qwen3_vl": tiny_qwen3_vl,
    "idefics3": tiny_idefics3,
    "llama": tiny_llama,
}
NEW = 5
READ, WRITTEN = (0, 1), (1, 2)
FIRED = [True, False, True, False, False]


def fresh(loaded: LoadedModel, seed: int = 0) -> LoadedModel:
    """Another model of the family."""
    return FAMILIES[loaded.adapter.family](seed)


def sees(loaded: LoadedModel) -> bool:
    """Whether the family takes images."""
    return loaded.adapter.image_token(loaded.processor) is not None


def samples(loaded: LoadedModel) -> list[Sample]:
    """Images and text-only prompts of unequal length; text alone where the family has no eyes."""
    mixed = mixed_questions()
    return mixed if sees(loaded) else [replace(sample, image=None) for sample in mixed]


def steered(loaded: LoadedModel, *erasers: Eraser, **options: Any) -> Any:
    """A block on the model, with the adapter that it was loaded with."""
    return erased(loaded.model, *erasers, adapter=loaded.adapter, **options)


def held_eraser(loaded: LoadedModel) -> Eraser:
    """Fires on two of the five mixed questions: a linear gate through features that an oracle has read."""
    generator = torch.Generator().manual_seed(3)
    rows = torch.stack([oracle_features(loaded, sample) for sample in samples(loaded)]).double()
    centre = rows.mean(0)
    target = torch.tensor([1.0 if fires else -1.0 for fires in FIRED], dtype=torch.float64)
    target -= target.mean()
    weight = (torch.linalg.pinv((rows - centre).flatten(1)) @ target).view(1, *centre.shape)
    bias = -float((weight * centre).sum())
    weight = torch.cat([weight, weight]).float()  # The second subject of the request asks for more and never gets it.
    gate = PromptRidgeGate(READ, weight, torch.tensor([bias, bias]), torch.tensor([0.0, 9.0]))
    trajectory = torch.randn(len(WRITTEN), 3, WIDTH, generator=generator)
    return Eraser({"id": "tiny"}, loaded.adapter.family, WRITTEN, gate, trajectory, 3.0, "held")


def published_eraser(loaded: LoadedModel) -> Eraser:
    """Steers every row, in proportion to what each layer reads."""
    generator = torch.Generator().manual_seed(4)
    weight = torch.randn(2, WIDTH, generator=generator) / WIDTH
    trajectory = torch.randn(2, 1, WIDTH, generator=generator)
    return Eraser({"id": "tiny"}, loaded.adapter.family, WRITTEN, NullSpaceGate(weight), trajectory, 2.0, "published")


def always(eraser: Eraser) -> Eraser:
    assert isinstance(eraser.gate, PromptRidgeGate)
    return replace(eraser, gate=replace(eraser.gate, threshold=torch.full((2,), -1e9)))


def never(eraser: Eraser) -> Eraser:
    assert isinstance(eraser.gate, PromptRidgeGate)
    return replace(eraser, gate=replace(eraser.gate, threshold=torch.full((2,), 1e9)))


def answer(loaded: LoadedModel, inputs: Any, **options: Any) -> Tensor:
    """New tokens of exactly `NEW` steps."""
    chosen = {"do_sample": False, "max_new_tokens": NEW, "min_new_tokens": NEW, "pad_token_id": 3} | options
    with torch.no_grad():
        return loaded.model.generate(**inputs, **chosen)[:, inputs["input_ids"].shape[1] :]


def logits(loaded: LoadedModel, inputs: Any, **options: Any) -> Tensor:
    with torch.no_grad():
        return loaded.model(**inputs, **options).logits


def hooks(model: nn.Module) -> int:
    """All hooks but the forward hooks that transformers keeps for itself from the first `output_hidden_states` on."""
    return sum(len(m._forward_pre_hooks) + len(m._forward_hooks_always_called) for m in model.modules())


def require_clean(model: nn.Module) -> None:
    assert hooks(model) == 0
    assert not {"generate", "init_continuous_batching"} & model.__dict__.keys()


def oracle_features(loaded: LoadedModel, sample: Sample) -> Tensor:
    """Last prompt token and mean over the prompt of one unpadded row, as the blocks read receive them, [R 2 D]."""
    received = block_inputs(loaded, lambda: logits(loaded, encode(loaded, [sample])))
    return torch.stack([torch.stack([received[i][0, -1], received[i][0].mean(0)]) for i in READ])


def block_inputs(loaded: LoadedModel, act: Callable[[], object]) -> list[Tensor]:
    """What each decoder block is given while `act` calls the model once; hooked last, so what others add is seen."""
    received: list[Tensor] = []
    with ExitStack() as handles:
        for block in loaded.adapter.layers(loaded.model):
            hook = block.register_forward_pre_hook(lambda _, args: received.append(args[0].clone()))
            handles.callback(hook.remove)
        act()
    return received


def longer(inputs: Any, tokens: Tensor) -> dict[str, Tensor]:
    """The inputs with more tokens of text behind them, all real."""
    added = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens), "mm_token_type_ids": 0 * tokens}
    return {k: torch.cat([v, added[k].to(v)], dim=1) if k in added else v for k, v in inputs.items()}


@contextmanager
def plainly_added(loaded: LoadedModel, eraser: Eraser, prompt: int) -> Iterator[None]:
    """Oracle: one unpadded row, whole sequence, token after token, nothing but torch's own hooks."""

    def hook(index: int) -> Callable[[nn.Module, tuple[Any, ...]], tuple[Any, ...]]:
        def add(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
            states = args[0].clone()
            for column in range(states.shape[1]):
                if isinstance(eraser.gate, NullSpaceGate) and column < prompt:
                    value = args[0][0, prompt - 1] @ eraser.gate.weight[index].to(states)
                    states[0, column] += eraser.strength * value * eraser.trajectory[index, 0].to(states)
                if isinstance(eraser.gate, PromptRidgeGate) and column >= prompt - 1:
                    step = min(column - prompt + 1, eraser.trajectory.shape[1] - 1)
                    states[0, column] += eraser.strength * eraser.trajectory[index, step].to(states)
            return (states, *args[1:])

        return add

    blocks = loaded.adapter.layers(loaded.model)
    handles = [blocks[layer].register_forward_pre_hook(hook(i)) for i, layer in enumerate(eraser.layers)]
    yield
    for handle in handles:
        handle.remove()


def oracle_answer(loaded: LoadedModel, inputs: Any, erasers: Sequence[Eraser]) -> tuple[Tensor, Tensor]:
    """Greedy tokens of one unpadded prompt and their logits, the whole sequence fed again for every token.

    At each layer the strongest of the gates that fire steers, and none beside it but published ones.
    """
    inputs = dict(inputs)
    prompt, end = inputs["input_ids"].shape[1], loaded.processor.tokenizer.eos_token_id
    received = block_inputs(loaded, lambda: logits(loaded, inputs))
    features = torch.stack([torch.stack([received[i][0, -1], received[i][0].mean(0)]) for i in READ]).double()
    active = [eraser for eraser in erasers if isinstance(eraser.gate, NullSpaceGate)]
    strongest: dict[int, tuple[float, Eraser]] = {}  # of the gates that fire, by layer
    for eraser in erasers:
        if isinstance(eraser.gate, NullSpaceGate):
            continue
        scores = (eraser.gate.weight.double() * features).sum((1, 2, 3)) + eraser.gate.bias
        margin = float((scores - eraser.gate.threshold).max())
        for layer in eraser.layers if margin >= 0 else ():
            if layer not in strongest or margin > strongest[layer][0]:
                strongest[layer] = margin, eraser
    for layer, (_, eraser) in strongest.items():
        place = eraser.layers.index(layer)
        active.append(replace(eraser, layers=(layer,), trajectory=eraser.trajectory[[place]]))
    said = []
    for _ in range(NEW):
        with torch.no_grad(), ExitStack() as stack:
            for eraser in active:
                stack.enter_context(plainly_added(loaded, eraser, prompt))
            said.append(loaded.model(**inputs, use_cache=False).logits[0, -1])
        scores = said[-1].clone()
        scores[end] = -torch.inf
        inputs = longer(inputs, scores.argmax().view(1, 1))
    return inputs["input_ids"][0, prompt:], torch.stack(said)


def refused(loaded: LoadedModel, match: str, act: Callable[[Steering], object], *erasers: Eraser) -> None:
    with steered(loaded, *erasers) as steering, pytest.raises(SteeringError, match=match):
        act(steering)
    require_clean(loaded.model)
