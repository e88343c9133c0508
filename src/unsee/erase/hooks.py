"""The effect: `with erased(model, eraser): ...` steers a model and leaves no trace of it.

Hooks are set on the decoder blocks that the adapter names, all of them or none. They hand each call's tensors to the
arithmetic of `steer` and add what it returns. Positions are counted as they are steered and compared with what the
policy requires; where they differ, the call fails: an answer is never given silently unsteered.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, final

import torch
from torch import nn
from transformers import PreTrainedModel

from unsee.erase.eraser import Eraser, HeldGate, LayerGate
from unsee.erase.steer import Steps, along_trajectory, number_steps, pooled
from unsee.errors import MismatchError, OptionError, SteeringError
from unsee.models import adapter_for
from unsee.shapes import Bool, Float, Int, Tensor


@final
@dataclass(frozen=True, eq=False)
class Reading:
    """What one eraser's gate said to the prompts of one call.

    Attributes:
        margins: score less threshold, per row and subject; for a published gate its value per row and steered layer.
        fired: rows that are steered; a published gate always steers, in proportion.
    """

    margins: Float[Tensor, "B K"]
    fired: Bool[Tensor, " B"]


class _Policy(Protocol):
    """How one eraser acts within one prompt's calls."""

    def at(self, layer: int, states: Float[Tensor, "B T D"], steps: Steps) -> Float[Tensor, "B T D"] | None:
        """What to add to the input of this layer, or None."""
        ...

    def required(self, steps: Steps) -> int:
        """How many positions each steered layer must have steered in this call."""
        ...

    def reading(self) -> Reading | None:
        """What the gate said, once it has."""
        ...


@final
class _Held:
    """Read the prompt, decide once, steer every step from the last prompt token on."""

    def __init__(self, eraser: Eraser, gate: HeldGate) -> None:
        self._eraser, self._gate = eraser, gate
        self._features: Tensor | None = None
        self._fired: Tensor | None = None
        self.steered = 0

    def at(self, layer: int, states: Tensor, steps: Steps) -> Tensor | None:
        if layer == self._eraser.layers[0]:
            self.steered = 0
        if layer in self._gate.layers and bool(steps.in_prompt.any()):
            self._read(layer, states, steps)
        if layer not in self._eraser.layers or not bool(steps.answering.any()):
            return None
        if self._fired is None:
            raise SteeringError(
                f"layer {layer} is to be steered but the gate has not been decided: a read layer was skipped. "
                "Nothing is answered. Check that the model runs its decoder blocks in order."
            )
        trajectory = self._eraser.trajectory[self._eraser.layers.index(layer)].to(states.device, torch.float32)
        strength = self._fired.to(states.device) * self._eraser.strength
        self.steered += int((steps.answering & self._fired.to(states.device).unsqueeze(1)).sum())
        if not bool(self._fired.any()):
            return None
        return along_trajectory(strength, trajectory, steps)

    def _read(self, layer: int, states: Tensor, steps: Steps) -> None:
        gate = self._gate
        if self._features is None:
            self._features = torch.zeros(states.shape[0], len(gate.layers), 2, states.shape[-1])
        index = gate.layers.index(layer)
        part = pooled(states, steps).cpu()
        # A call that holds the whole prompt again (no cache) must not be counted twice.
        starts = (steps.in_prompt & (steps.step == 1 - steps.prompt_tokens.unsqueeze(1))).any(1).cpu()
        kept = torch.where(starts.view(-1, 1, 1), torch.zeros_like(part), self._features[:, index])
        self._features[:, index] = kept + part
        if layer == gate.layers[-1] and bool((steps.real & (steps.step == 0)).any()):
            self._fired = gate.fires(self._features)

    def required(self, steps: Steps) -> int:
        if self._fired is None:
            return 0
        rows = (steps.answering & self._fired.to(steps.step.device).unsqueeze(1)).sum()
        return int(rows) * len(self._eraser.layers)

    def reading(self) -> Reading | None:
        if self._fired is None or self._features is None:
            return None
        return Reading(self._gate.margins(self._features), self._fired)


@final
class _PerLayer:
    """The published policy: gate and addition at each layer, all prompt positions, prefill only."""

    def __init__(self, eraser: Eraser, gate: LayerGate) -> None:
        self._eraser, self._gate = eraser, gate
        self._values: dict[int, Tensor] = {}
        self.steered = 0

    def at(self, layer: int, states: Tensor, steps: Steps) -> Tensor | None:
        if layer not in self._eraser.layers:
            return None
        if layer == self._eraser.layers[0]:
            self.steered = 0
        if not bool(steps.in_prompt.any()):
            return None
        if not self._whole(steps):
            raise SteeringError(
                "the published gate adds to all prompt positions what it reads at the last one, so it needs the prompt "
                "in one call, and got a part of it. Switch chunked prefill off, or use the default method."
            )
        index = self._eraser.layers.index(layer)
        last = pooled(states, steps)[:, 0]
        value = last @ self._gate.weight[index].to(states.device, torch.float32)
        self._values[layer] = value.cpu()
        direction = self._eraser.trajectory[index, 0].to(states.device, torch.float32)
        self.steered += int(steps.in_prompt.sum())
        return self._eraser.strength * value.view(-1, 1, 1) * direction * steps.in_prompt.unsqueeze(-1)

    @staticmethod
    def _whole(steps: Steps) -> bool:
        return bool((steps.in_prompt.sum(1) == steps.prompt_tokens).all())

    def required(self, steps: Steps) -> int:
        return int(steps.in_prompt.sum()) * len(self._eraser.layers)

    def reading(self) -> Reading | None:
        if not self._values:
            return None
        values = torch.stack([self._values[layer] for layer in self._eraser.layers], dim=1)
        return Reading(values, torch.ones(values.shape[0], dtype=torch.bool))


def _policy(eraser: Eraser) -> _Held | _PerLayer:
    gate = eraser.gate
    return _Held(eraser, gate) if isinstance(gate, HeldGate) else _PerLayer(eraser, gate)


@dataclass
class _Prompt:
    """The prompt whose calls are under way."""

    mask: Bool[Tensor, "B C"]
    tokens: Int[Tensor, " B"]
    policies: list[_Held | _PerLayer]
    fed: int = 0


@final
@dataclass
class Steering:
    """What is happening inside a `with erased(...)` block; read it after a call.

    Attributes:
        erasers: the requests in force.
        positions: steered positions so far, over all rows, layers and calls of this block.
    """

    erasers: tuple[Eraser, ...]
    positions: int = 0
    _thread: int = field(default_factory=threading.get_ident)
    _announced: tuple[Tensor, Tensor] | None = None
    _prompt: _Prompt | None = None
    _steps: Steps | None = None
    _visited: list[int] = field(default_factory=list)

    @property
    def readings(self) -> list[Reading | None]:
        """What each gate said to the latest prompts, one entry per eraser."""
        return [policy.reading() for policy in self._prompt.policies] if self._prompt else [None] * len(self.erasers)

    @property
    def here(self) -> bool:
        """Whether this is the thread that opened the block; others use the model as if it were not there."""
        return threading.get_ident() == self._thread

    def announce(self, mask: Bool[Tensor, "B C"], tokens: Int[Tensor, " B"]) -> None:
        """The next calls belong to these prompts."""
        self._announced, self._prompt = (mask, tokens), None

    def begin(self, embeddings: Tensor, cached: int, mask: Tensor | None) -> None:
        """A call of the decoder starts."""
        rows, width = embeddings.shape[:2]
        if self._announced is not None:
            if self._prompt is None:
                self._prompt = self._expanded(rows, *self._announced)
        elif cached == 0:
            real = torch.ones(rows, width, dtype=torch.bool) if mask is None else mask.bool()
            self._prompt = _Prompt(real, real.sum(1), [_policy(e) for e in self.erasers])
        prompt = self._prompt
        if prompt is None or prompt.mask.shape[0] != rows:
            known = "none" if prompt is None else str(prompt.mask.shape[0])
            raise SteeringError(
                f"a call continues a cache of {rows} row(s), but prompts known to this block: {known}. The gate cannot be "
                "decided for rows whose prompt it has not read. Start the cache inside the block."
            )
        device = embeddings.device
        self._steps = number_steps(prompt.mask.to(device), prompt.tokens.to(device), cached, width)
        self._visited = []
        prompt.fed = max(prompt.fed, cached + width)

    def _expanded(self, rows: int, mask: Tensor, tokens: Tensor) -> _Prompt:
        times, rest = divmod(rows, mask.shape[0])
        if rest or not times:
            raise SteeringError(
                f"generate was called with {mask.shape[0]} prompt(s) but the decoder runs {rows} row(s): rows cannot be "
                "matched to prompts. Use greedy, sampling or beam search."
            )
        return _Prompt(mask.repeat_interleave(times, 0), tokens.repeat_interleave(times, 0), [_policy(e) for e in self.erasers])

    def visit(self, layer: int, states: Tensor) -> Tensor | None:
        """A named block is about to run; what it should see instead, or None."""
        if self._steps is None or self._prompt is None:
            raise SteeringError(f"decoder block {layer} ran outside a call of the decoder. Call the model as a whole.")
        self._visited.append(layer)
        added = [part for p in self._prompt.policies if (part := p.at(layer, states, self._steps)) is not None]
        if not added:
            return None
        return states + sum(added).to(states.dtype)  # type: ignore[union-attr]

    def finish(self, layers: Sequence[int]) -> None:
        """A call of the decoder has ended: was everything steered that had to be?"""
        steps, prompt = self._steps, self._prompt
        assert steps is not None and prompt is not None
        if self._visited != list(layers):
            raise SteeringError(
                f"expected decoder blocks {list(layers)} to be steered once each and in order, got {self._visited}. "
                "Nothing is answered. A compiled or fused model may bypass hooks; run it eagerly."
            )
        for policy in prompt.policies:
            required = policy.required(steps)
            if policy.steered != required:
                raise SteeringError(f"steered {policy.steered} positions where the policy requires {required}. Nothing is answered.")
            self.positions += policy.steered
        self._steps = None

    def conclude(self, columns: int) -> None:
        """A generation of so many columns has ended: did every token but the last pass through the hooks?"""
        fed = self._prompt.fed if self._prompt else 0
        self._announced = None
        if fed < columns - 1:
            raise SteeringError(
                f"{columns - 1} positions were to pass through the steered decoder, {fed} did. Nothing is answered. "
                "Run the model without graph capture or external engines, or use unsee's plugin for them."
            )


class _Generate:
    """Stands in for `model.generate` while blocks are open, to know where each prompt ends."""

    def __init__(self, model: PreTrainedModel) -> None:
        self._generate, self._pad = model.generate, model.config.get_text_config().pad_token_id
        self.active: list[Steering] = []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        mine = [steering for steering in self.active if steering.here]
        if not mine:
            return self._generate(*args, **kwargs)
        given = args[0] if args else kwargs.get("input_ids", kwargs.get("inputs", kwargs.get("inputs_embeds")))
        if given is None:
            raise SteeringError("generate was called without a prompt, so there is nothing to decide on. Pass input_ids.")
        mask = self._mask(given, kwargs.get("attention_mask"))
        for steering in mine:
            steering.announce(mask, mask.sum(1))
        result = self._generate(*args, **kwargs)
        sequences = result if isinstance(result, Tensor) else result.sequences
        embedded = given.shape[1] if given.ndim == 3 else 0  # then the prompt is not part of what is returned
        for steering in mine:
            steering.conclude(sequences.shape[1] + embedded)
        return result

    def _mask(self, given: Tensor, mask: Tensor | None) -> Tensor:
        if mask is not None:
            return mask.bool()
        if given.ndim == 2 and self._pad is not None and bool((given == self._pad).any()):
            raise SteeringError(
                "the prompts hold pad tokens but no attention_mask was passed, so pads would enter the gate. "
                "Pass attention_mask as the processor returns it."
            )
        return torch.ones(given.shape[:2], dtype=torch.bool, device=given.device)


@contextmanager
def erased(model: PreTrainedModel, *erasers: Eraser, prompt_tokens: Sequence[int] | None = None) -> Iterator[Steering]:
    """Steer a model inside the block; outside it is bit for bit what it was.

    `h <- h + lambda g d_t` at the input of each steered block, for the rows whose gate fires (`g` in {0, 1}; the
    published gate is proportional). A plain forward without cache counts as one whole prompt.

    Args:
        model: any model with an adapter; its weights are not touched.
        erasers: requests in force together; each decides for itself.
        prompt_tokens: real prompt tokens per row, for plain forwards that hold a prompt and an answer.

    Raises:
        OptionError: no eraser.
        MismatchError: an eraser was made for another width or depth.
        SteeringError: inside the block, whenever steering did not happen exactly as required.
    """
    if not erasers:
        raise OptionError("no eraser was given: expected at least one. To run the model as it is, leave the block out.")
    adapter = adapter_for(model)
    blocks, decoder = adapter.layers(model), adapter.text_model(model)
    for eraser in erasers:
        require_fits(eraser, len(blocks), adapter.hidden_size(model))
    layers = sorted({layer for e in erasers for layer in (*e.layers, *(e.gate.layers if isinstance(e.gate, HeldGate) else ()))})
    steering = Steering(erasers)
    tokens = None if prompt_tokens is None else torch.tensor(list(prompt_tokens))

    def begin(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not steering.here:
            return
        embeddings = kwargs["inputs_embeds"] if kwargs.get("inputs_embeds") is not None else args[0]
        cache, mask = kwargs.get("past_key_values"), kwargs.get("attention_mask")
        cached = int(cache.get_seq_length()) if cache is not None else 0
        if tokens is not None and cached == 0:
            real = torch.ones(embeddings.shape[:2], dtype=torch.bool) if mask is None else mask.bool()
            steering.announce(real, tokens)
        steering.begin(embeddings, cached, mask if mask is not None and mask.ndim == 2 else None)

    def visit(layer: int) -> Any:
        def hook(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
            states = steering.visit(layer, args[0]) if steering.here else None
            return None if states is None else (states, *args[1:])

        return hook

    def finish(*_: object) -> None:
        if steering.here:
            steering.finish(layers)

    wrapper = model.__dict__.get("generate") or _Generate(model)
    handles: list[Any] = []
    try:
        handles.append(decoder.register_forward_pre_hook(begin, with_kwargs=True))
        handles += [blocks[layer].register_forward_pre_hook(visit(layer)) for layer in layers]
        handles.append(decoder.register_forward_hook(finish))
        wrapper.active.append(steering)
        model.__dict__["generate"] = wrapper
        yield steering
    finally:
        for handle in handles:
            handle.remove()
        if steering in wrapper.active:
            wrapper.active.remove(steering)
        if not wrapper.active:
            model.__dict__.pop("generate", None)


def require_fits(eraser: Eraser, depth: int, width: int) -> None:
    """Refuse an eraser for another shape of model.

    Raises:
        MismatchError: names what differs.
    """
    got = eraser.trajectory.shape[-1]
    if got != width:
        raise MismatchError(
            f"the eraser was made for a residual stream {got} wide, this model's is {width}. It was made for "
            f"{eraser.model.get('id')!r}; fit one for this model."
        )
    read = eraser.gate.layers if isinstance(eraser.gate, HeldGate) else ()
    wrong = sorted(layer for layer in (*eraser.layers, *read) if not 0 <= layer < depth)
    if wrong:
        raise MismatchError(
            f"the eraser names decoder layers {wrong}, this model has layers 0 to {depth - 1}. It was made for "
            f"{eraser.model.get('id')!r}; fit one for this model."
        )
