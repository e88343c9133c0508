"""The effect: `with erased(model, eraser): ...` steers a model and leaves no trace of it.

Hooks are set on every decoder block that the adapter names, all of them or none. They hand each call to the blocks that
are open in the caller's own context and write back what those add; what another thread or task has opened is not seen.
Where steering did not happen exactly as required the call fails: an answer is never given silently unsteered.
"""

import inspect
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any, NoReturn, final

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle
from transformers import Cache, PreTrainedModel
from transformers.utils.generic import ModelOutput

from unsee.erase.eraser import Eraser
from unsee.erase.gates.base import Reading
from unsee.erase.steer.eager import eagerly
from unsee.erase.steer.positions import added
from unsee.erase.steer.session import Call, Parts, Steering, columns_of, finish, real_columns, refuse_packed, visit
from unsee.errors import MismatchError, OptionError, SteeringError
from unsee.models import AbstractAdapter, adapter_for
from unsee.shapes import Tensor

__all__ = ["Reading", "Steering", "erased", "require_fits"]

# A context and not a thread: tasks of one thread must not share a block, and a worker that inherits one must.
_OPEN: ContextVar[tuple[Steering, ...]] = ContextVar("unsee_open_blocks", default=())
# The mask that the model as a whole was called with; some hand their decoder another, of four dimensions.
_MASK: ContextVar[Tensor | None] = ContextVar("unsee_mask", default=None)
# Two threads that open their first block on one model at once must not both install hooks.
_INSTALLING = threading.Lock()


@contextmanager
def erased(
    model: PreTrainedModel,
    *erasers: Eraser,
    prompt_tokens: Sequence[int] | None = None,
    adapter: AbstractAdapter | None = None,
) -> Iterator[Steering]:
    """Steer a model inside the block; outside it is bit for bit what it was.

    `h <- h + lambda g d_t` at the input of each steered decoder block, for the rows whose gate fires (`g` in {0, 1};
    the published gate is proportional). A forward without cache counts as one whole prompt per row. Nested blocks act
    as one block with all their erasers.

    The block holds in its own context: other threads use the model as if it were not there. A thread that generates
    for this block, for a streamer say, must take the context along: `asyncio.to_thread` does, and so does
    `Thread(target=contextvars.copy_context().run, args=(model.generate,), kwargs=...)`. What it has begun goes on
    steered to its end, also when the block is left before. Compiled code runs eagerly meanwhile, in all threads.

    Args:
        model: any model with an adapter; its weights are not touched.
        erasers: requests in force together; a row is steered once, by the gate that is furthest above its threshold.
        prompt_tokens: real prompt tokens per row, for calls whose rows hold a prompt and the start of an answer. The
            gate reads the prompt alone; `generate` begins to refuse after what was begun, a plain call at the prompt's
            end, as it scores the answer that is there.
        adapter: names the model's parts; None takes that of its family.

    Raises:
        OptionError: no eraser.
        MismatchError: an eraser was made for another family, width or depth.
        SteeringError: inside the block, where steering did not happen exactly as required.
    """
    if not erasers:
        raise OptionError("no eraser was given: expected at least one. To run the model as it is, leave the block out.")
    model = getattr(model, "_orig_mod", model)  # that of a model which torch.compile has wrapped
    adapter = adapter or adapter_for(model)
    for eraser in erasers:
        require_fits(eraser, adapter.family, len(adapter.layers(model)), adapter.hidden_size(model))
    steering = Steering(erasers, None if prompt_tokens is None else tuple(prompt_tokens))
    installed = _Installed.on(model, adapter, steering)
    _OPEN.set((*_OPEN.get(), steering))
    try:
        yield steering
        installed.require_intact()
    finally:
        _OPEN.set(tuple(other for other in _OPEN.get() if other is not steering))
        installed.close(steering)


@final
class _Installed:
    """The hooks of one model, shared by all blocks open on it; stands in for `model.generate` meanwhile."""

    def __init__(self, model: PreTrainedModel, adapter: AbstractAdapter) -> None:
        self._open: set[Steering] = set()
        self._left: set[Steering] = set()
        self._generate, self._pads = model.generate, _pad_tokens(model)
        self._signature = inspect.signature(model.forward)
        decoder, blocks = adapter.text_model(model), adapter.layers(model)
        self._depth = len(blocks)
        self._handles: list[RemovableHandle] = [
            model.register_forward_pre_hook(self._enter, with_kwargs=True),
            decoder.register_forward_pre_hook(self._begin, with_kwargs=True),
            *(block.register_forward_pre_hook(self._visit(i), with_kwargs=True) for i, block in enumerate(blocks)),
            decoder.register_forward_hook(self._finish, always_call=True),
            model.register_forward_hook(self._leave, always_call=True),
        ]
        shadows = {"generate": self, "init_continuous_batching": self._refuse_batching}
        self._undo = ExitStack()
        self._undo.enter_context(eagerly())
        for name, shadow in shadows.items():
            self._undo.callback(_restore, model.__dict__, name, model.__dict__.get(name))
            model.__dict__[name] = shadow

    @staticmethod
    def on(model: PreTrainedModel, adapter: AbstractAdapter, steering: Steering) -> "_Installed":
        """The hooks of this model, set now if this is the first block on it."""
        with _INSTALLING:
            found = model.__dict__.get("generate")
            installed = found if isinstance(found, _Installed) else _Installed(model, adapter)
            installed._open.add(steering)
            return installed

    def close(self, steering: Steering) -> None:
        """Take all hooks away with the last block, once no thread generates for it any more."""
        with _INSTALLING:
            if steering.generating:
                self._left.add(steering)
            else:
                self._discard(steering)

    def _end(self, steering: Steering) -> None:
        with _INSTALLING:
            steering.end_generation()
            if steering in self._left:
                self._discard(steering)

    def _discard(self, steering: Steering) -> None:
        self._open.discard(steering)
        if not self._open:
            for handle in self._handles:
                handle.remove()
            self._undo.close()

    def require_intact(self) -> None:
        """Refuse to end a block whose hooks were taken away inside it."""
        if any(handle.id not in (handle.hooks_dict_ref() or {}) for handle in self._handles):
            raise SteeringError(
                "a hook was removed from the model inside the block, so what it has answered since may be unsteered. "
                "Discard those answers."
            )

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise SteeringError("the model cannot be copied or pickled while it is erased. Do that outside the block.")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Generate, with every prompt and its end known to the open blocks."""
        blocks = self._here()
        if not blocks:
            return self._generate(*args, **kwargs)
        ids = next((x for x in (*args[:1], kwargs.get("inputs"), kwargs.get("input_ids")) if x is not None), None)
        prompt = kwargs.get("inputs_embeds") if kwargs.get("inputs_embeds") is not None else ids
        if prompt is None:
            raise SteeringError(
                "generate was called without a prompt, so there is nothing to decide on: pass input_ids."
            )
        mask = kwargs.get("attention_mask")
        if mask is None:
            self._require_no_pads(ids)
            mask = torch.ones(prompt.shape[:2])
        with ExitStack() as ending:
            for block in blocks:
                block.start_generation(mask.bool().cpu())
                ending.callback(self._end, block)  # only of what was started: another thread's goes on
            result = self._generate(*args, **{**kwargs, "disable_compile": True})
            sequences = result if isinstance(result, Tensor) else result.sequences
            for block in blocks:
                block.require_fed(prompt.shape[1] + sequences.shape[1] - (0 if ids is None else ids.shape[1]))
        return result

    def _here(self) -> list[Steering]:
        return [steering for steering in _OPEN.get() if steering in self._open]

    # Hooks may be called without kwargs by a thread that runs while another one is removing them.

    def _enter(self, _: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any] | None = None) -> None:
        blocks = self._here()
        if not blocks:
            return
        given = self._signature.bind_partial(*args, **(kwargs or {})).arguments
        mask = given.get("attention_mask")
        _MASK.set(mask if isinstance(mask, Tensor) else None)
        if mask is None and not blocks[0].generating and columns_of(given.get("past_key_values")) == 0:
            self._require_no_pads(given.get("input_ids"))

    def _leave(self, *_: Any) -> None:
        _MASK.set(None)

    def _begin(self, decoder: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any] | None = None) -> None:
        blocks = self._here()
        if not blocks:
            return
        kwargs = kwargs or {}
        tokens = next(x for x in (kwargs.get("inputs_embeds"), kwargs.get("input_ids"), *args) if x is not None)
        if kwargs.get("cu_seq_lens_q") is not None:
            refuse_packed()
        cache = kwargs.get("past_key_values")
        rows, width = tokens.shape[:2]
        real = real_columns(kwargs.get("attention_mask"), rows, width)
        if real is None and (whole := _MASK.get()) is not None:
            real = real_columns(whole, rows, width)
        recorded = bool(kwargs.get("output_hidden_states") or decoder.config.output_hidden_states)
        call = Call(rows, width, columns_of(cache), cache, real, kwargs.get("position_ids"), recorded)
        for block in blocks:
            block.begin(call)

    def _visit(self, layer: int) -> Any:
        def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any] | None = None) -> Any:
            blocks = self._here()
            if not blocks:
                return None
            named = {} if kwargs is None else kwargs
            states = args[0] if args else named["hidden_states"]
            parts = visit(blocks, layer, states)
            if not parts:
                return None
            steered = added(states, parts)
            return ((steered, *args[1:]), named) if args else ((), {**named, "hidden_states": steered})

        return hook

    def _finish(self, _: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        del args
        blocks = self._here()
        returned = output.values() if isinstance(output, Mapping) else output or ()
        cache = next((part for part in returned if isinstance(part, Cache)), None)
        moved = finish(blocks, self._depth, cache, failed=output is None)
        return _truthful(output, moved) if output is not None and any(moved) else None

    def _refuse_batching(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise SteeringError(
            "continuous batching packs prompts into one row and runs in a thread of its own, so hooks cannot steer it. "
            "Use generate inside the block, or unsee's plugin for serving engines."
        )

    def _require_no_pads(self, ids: Tensor | None) -> None:
        if ids is not None and bool(torch.isin(ids.cpu(), torch.tensor(self._pads, dtype=ids.dtype)).any()):
            raise SteeringError(
                "the prompts hold pad tokens but no attention_mask was passed, so pads would enter the gate. "
                "Pass attention_mask as the processor returns it."
            )


def require_fits(eraser: Eraser, family: str, depth: int, width: int) -> None:
    """Refuse an eraser for another kind of model.

    Raises:
        MismatchError: it was made for another family, width or depth.
    """
    read = eraser.gate.layers
    wrong = sorted({layer for layer in (*eraser.layers, *read) if not 0 <= layer < depth})
    own = eraser.trajectory.shape[-1]
    if eraser.family != family:
        problem = f"for a model of family {eraser.family!r}, this one's is {family!r}"
    elif own != width:
        problem = f"for a residual stream {own} wide, this model's is {width}"
    elif wrong:
        problem = f"for decoder layers {wrong} among others, this model has layers 0 to {depth - 1}"
    else:
        return
    raise MismatchError(
        f"the eraser was made {problem}: it came of {eraser.model.get('id')!r}. Fit one for this model."
    )


def _truthful(output: Any, moved: Sequence[Mapping[int, Parts]]) -> Any:
    """The decoder's output, with steering in its `hidden_states`: transformers records them before it is added."""
    states = output.hidden_states if isinstance(output, ModelOutput) else None
    if states is None:
        return None
    parts = {layer: [part for block in moved for part in block.get(layer, ())] for layer in range(len(states))}
    output["hidden_states"] = tuple(
        added(state, parts[layer]) if state is not None and parts[layer] else state
        for layer, state in enumerate(states)
    )
    return output


def _restore(attributes: dict[str, Any], name: str, before: Any) -> None:
    attributes.pop(name)
    if before is not None:
        attributes[name] = before


def _pad_tokens(model: PreTrainedModel) -> list[int]:
    generation = model.generation_config
    named = (
        model.config.to_dict().get("pad_token_id"),
        model.config.get_text_config().pad_token_id,
        None if generation is None else generation.pad_token_id,
    )
    return sorted({token for token in named if token is not None})
