"""What stands on a model while it is steered: hooks on every decoder block, and a stand-in for `model.generate`.

They hand each call to the blocks that it belongs to and write back what those add; a call that belongs to none while a
block is open, and has not opted out, is refused.
"""

import inspect
import threading
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from contextvars import ContextVar
from typing import Any, NoReturn, final

import torch
from torch import nn
from torch.utils.hooks import RemovableHandle
from transformers import Cache
from transformers.utils.generic import ModelOutput

from unsee.erase.eraser import Eraser
from unsee.erase.eraser_set import together
from unsee.erase.replies.base import FREE
from unsee.erase.steer.call import Call, columns_of, real_columns, refuse_packed
from unsee.erase.steer.eager import eagerly
from unsee.erase.steer.forcing import forced_logits, require_said
from unsee.erase.steer.opened import Block, blocks_of_call, inherited
from unsee.erase.steer.outer import Outer, ends_of, pad_tokens, picked, require_left_padding
from unsee.erase.steer.positions import added
from unsee.erase.steer.session import Parts, finish, forced, visit
from unsee.erase.steer.target import Target
from unsee.errors import SteeringError
from unsee.models import AbstractAdapter
from unsee.shapes import Tensor

_OUTER: ContextVar[Outer | None] = ContextVar("unsee_outer_call", default=None)
# Two threads that open their first block on one model at once must not both install hooks. Reentrant: a generator that
# is dropped closes its block wherever the collector happens to run.
_INSTALLING = threading.RLock()


@final
class Installed:
    """The hooks of one model, shared by all blocks open on it; stands in for `model.generate` meanwhile."""

    def __init__(self, target: Target, adapter: AbstractAdapter) -> None:
        model = target.model
        self._model = model
        self._open: list[Block] = []
        self._left: list[Block] = []
        self._raised: dict[tuple[Block, ...], list[Eraser]] = {}
        self._generate, self._pads = model.generate, pad_tokens(model)
        self._signature = inspect.signature(model.forward)
        decoder, blocks = adapter.text_model(model), adapter.layers(model)
        self._depth = len(blocks)
        outside = (*target.wrappers, model)  # PEFT calls the forward of its model, and not the model
        self._handles: list[RemovableHandle] = [
            *(module.register_forward_pre_hook(self._enter, with_kwargs=True) for module in outside),
            decoder.register_forward_pre_hook(self._begin, with_kwargs=True),
            *(block.register_forward_pre_hook(self._visit(i), with_kwargs=True) for i, block in enumerate(blocks)),
            decoder.register_forward_hook(self._finish, always_call=True),
            *(module.register_forward_hook(self._leave, always_call=True) for module in outside),
        ]
        shadows = {"generate": self, "init_continuous_batching": self._refuse_batching}
        self._undo = ExitStack()
        self._undo.enter_context(eagerly())
        for name, shadow in shadows.items():
            self._undo.callback(_restore, model.__dict__, name, model.__dict__.get(name))
            model.__dict__[name] = shadow

    @staticmethod
    def on(target: Target, adapter: AbstractAdapter, block: Block) -> "Installed":
        """The hooks of this model, set now if this is the first block on it."""
        with _INSTALLING:
            found = target.model.__dict__.get("generate")
            installed = found if isinstance(found, Installed) else Installed(target, adapter)
            installed._open.append(block)
            return installed

    def close(self, block: Block) -> None:
        """Take all hooks away with the last block, once no thread generates for it any more."""
        with _INSTALLING:
            if block.steering.generating:
                self._left.append(block)
            else:
                self._discard(block)

    def _end(self, block: Block) -> None:
        with _INSTALLING:
            block.steering.end_generation()
            if block in self._left:
                self._discard(block)

    def _discard(self, block: Block) -> None:
        self._open = [other for other in self._open if other is not block]
        self._left = [other for other in self._left if other is not block]
        self._raised.clear()
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
        if not self._open:
            raise SteeringError(
                "generate was taken from the model inside a block that has been left meanwhile, so it would not be "
                "steered. Nothing is answered. Keep the block open until the thread has ended (join it inside), or "
                "take model.generate again."
            )
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
        require_left_padding(mask)
        known = ids if ids is not None and ids.shape == prompt.shape[:2] else None
        with ExitStack() as ending:
            for block in blocks:
                block.steering.start_generation(mask.bool().cpu(), known)
                ending.callback(self._end, block)  # only of what was started: another thread's goes on
            result = self._generate(*args, **{**kwargs, "disable_compile": True})
            sequences = result if isinstance(result, Tensor) else result.sequences
            said = sequences[:, 0 if ids is None else ids.shape[1] :].cpu()
            for block in blocks:
                block.steering.require_fed(prompt.shape[1] + said.shape[1])
            self._require_said(blocks, said, prompt.shape, kwargs)
        return result

    def _here(self) -> list[Block]:
        return blocks_of_call(self._model, self._open, self._left)

    def _in_force(self, blocks: list[Block]) -> list[Eraser]:
        """The erasers of these blocks, one after another, with the thresholds that they have together."""
        key = tuple(blocks)
        if key not in self._raised:
            self._raised[key] = together([eraser for block in blocks for eraser in block.steering.erasers])
        return self._raised[key]

    # Hooks may be called without kwargs by a thread that runs while another one is removing them.

    def _enter(self, _: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any] | None = None) -> None:
        blocks = self._here()
        if not blocks:
            return
        given = self._signature.bind_partial(*args, **(kwargs or {})).arguments
        mask = given.get("attention_mask")
        _OUTER.set(Outer(mask if isinstance(mask, Tensor) else None, given.get("input_ids"), picked(given)))
        if mask is None and not blocks[0].steering.generating and columns_of(given.get("past_key_values")) == 0:
            self._require_no_pads(given.get("input_ids"))

    def _leave(self, _: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        del args
        outer = _OUTER.get()
        _OUTER.set(None)
        if output is None or outer is None or outer.forced is None:
            return None
        if outer.picked is not None or not isinstance(output, ModelOutput | tuple):
            raise SteeringError(
                f"a reply fixes tokens, but {outer.picked or 'the output has no logits'}. Nothing is answered."
            )
        logits = output["logits"] if isinstance(output, ModelOutput) else output[0]
        fixed, places = forced_logits(logits, outer.forced)
        for block in self._here():
            block.steering.forced += places
        if isinstance(output, ModelOutput):
            output["logits"] = fixed
            return output
        return (fixed, *output[1:])

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
        outer = _OUTER.get()
        whole, ids = (None, None) if outer is None else (outer.mask, outer.ids)
        if real is None and whole is not None:
            real = real_columns(whole, rows, width)
        ids = kwargs.get("input_ids") if ids is None else ids
        if ids is not None and ids.shape != (rows, width):
            ids = None
        recorded = bool(kwargs.get("output_hidden_states") or decoder.config.output_hidden_states)
        call = Call(rows, width, columns_of(cache), cache, real, kwargs.get("position_ids"), ids, recorded)
        raised = iter(self._in_force(blocks))
        for block in blocks:
            block.steering.begin(call, [next(raised) for _ in block.steering.erasers])

    def _visit(self, layer: int) -> Any:
        def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any] | None = None) -> Any:
            blocks = self._here()
            if not blocks:
                return None
            named = {} if kwargs is None else kwargs
            states = args[0] if args else named["hidden_states"]
            parts = visit([block.steering for block in blocks], layer, states)
            if not parts:
                return None
            steered = added(states, parts)
            return ((steered, *args[1:]), named) if args else ((), {**named, "hidden_states": steered})

        return hook

    def _finish(self, _: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        del args
        blocks = self._here() if output is not None else inherited(self._model, self._open)[0]
        returned = output.values() if isinstance(output, Mapping) else output or ()
        cache = next((part for part in returned if isinstance(part, Cache)), None)
        outer = _OUTER.get()
        moved = finish([block.steering for block in blocks], self._depth, cache, failed=output is None)
        if output is not None and blocks:
            table = forced([block.steering for block in blocks], *blocks[0].steering.window)
            if table is not None and bool((table != FREE).any()):
                if outer is None:
                    raise SteeringError(
                        "a reply fixes tokens, but the decoder was called alone, without the model that makes logits "
                        "of its states. Nothing is answered. Call the model as a whole."
                    )
                outer.forced = table
        return _truthful(output, moved) if output is not None and any(moved) else None

    def _require_said(self, blocks: list[Block], said: Tensor, prompt: torch.Size, kwargs: Mapping[str, Any]) -> None:
        """Refuse a generation in which something else than the reply had the last word."""
        table = forced([block.steering for block in blocks], prompt[1] - 1, said.shape[1])
        if table is None:
            return
        # Each prompt may have been run in many rows, of which some are returned; all of them have its decision.
        table = table[:: len(table) // prompt[0]].repeat_interleave(len(said) // prompt[0], 0)
        ends = ends_of(self._model, kwargs)
        require_said(said, table, torch.tensor(ends, dtype=said.dtype))

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
