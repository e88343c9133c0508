"""The effect: `with erased(model, eraser): ...` steers a model and leaves no trace of it.

Hooks are set on every decoder block that the adapter names, all of them or none. They hand each call to the blocks that
it belongs to and write back what those add. Where steering did not happen exactly as required, or nothing says to which
block a call belongs, it fails: an answer is never given silently unsteered.
"""

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import nn
from transformers import PreTrainedModel

from unsee.erase.eraser import Eraser
from unsee.erase.steer.installed import Installed
from unsee.erase.steer.opened import Block, here, owner_of_caller, unsteered
from unsee.erase.steer.policy import Reading
from unsee.erase.steer.session import Steering
from unsee.erase.steer.target import target_of
from unsee.errors import MismatchError, OptionError
from unsee.models import AbstractAdapter
from unsee.models.load import LoadedModel

__all__ = ["Reading", "Steering", "erased", "require_fits", "unsteered"]


@contextmanager
def erased(
    model: PreTrainedModel | LoadedModel | nn.Module,
    *erasers: Eraser,
    prompt_tokens: Sequence[int] | None = None,
    adapter: AbstractAdapter | None = None,
    other_weights: bool = False,
) -> Iterator[Steering]:
    """Steer a model inside the block; outside it is bit for bit what it was.

    `h <- h + lambda g d_t` at the input of each steered decoder block, for the rows whose gate fires (`g` in {0, 1};
    the published gate is proportional). A forward without cache counts as one whole prompt per row. Nested blocks act
    as one block with all their erasers.

    The block holds in its own context and in copies of it, and for the code of the `with` statement itself, also where
    that is a generator which a pool of threads drives. While it is open, other calls of the model are refused, unless
    they say `with unsteered(model)`: a thread that generates for this block, for a streamer say, takes the context
    along, as `asyncio.to_thread` does and `Thread(target=contextvars.copy_context().run, args=(model.generate,))`.
    What it has begun goes on steered to its end, also when the block is left before. Compiled code runs eagerly
    meanwhile, in all threads.

    Args:
        model: a loaded model, any model with an adapter, or one that PEFT or torch.compile has wrapped; its weights
            are not touched.
        erasers: requests in force together, with the thresholds of `together`; a row is steered once, by the gate that
            is furthest above its threshold.
        prompt_tokens: real prompt tokens per row, for calls whose rows hold a prompt and the start of an answer. The
            gate reads the prompt alone; `generate` begins to refuse after what was begun, a plain call at the prompt's
            end, as it scores the answer that is there.
        adapter: names the model's parts; None takes that of its family.
        other_weights: steer although an eraser was made for other weights of this shape.

    Raises:
        OptionError: no eraser.
        ModelError: there is no model that can be steered in what was passed.
        MismatchError: an eraser was made for another family, width or depth, or, where both are known, other weights.
        SteeringError: inside the block, where steering did not happen exactly as required.
    """
    if not erasers:
        raise OptionError("no eraser was given: expected at least one. To run the model as it is, leave the block out.")
    target = target_of(model)
    adapter = target.named(adapter)
    for eraser in erasers:
        require_fits(eraser, adapter.family, len(adapter.layers(target.model)), adapter.hidden_size(target.model))
        if not other_weights:
            _require_same_weights(eraser, target.digest)
    tokens = None if prompt_tokens is None else tuple(prompt_tokens)
    steering = Steering(erasers, tokens, functools.partial(adapter.image_index, target.model))
    block = Block(target.model, steering, owner_of_caller())
    installed = Installed.on(target, adapter, block)
    try:
        with here(block):
            yield steering
            installed.require_intact()
    finally:
        installed.close(block)


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


def _require_same_weights(eraser: Eraser, digest: str | None) -> None:
    made_on = eraser.model.get("digest")
    if None not in (made_on, digest) and made_on != digest:
        raise MismatchError(
            f"the eraser was made for the weights {made_on!s:.19}... of {eraser.model.get('id')!r}, this model has "
            f"{digest!s:.19}.... Activations of one model mean nothing in another: fit one for this model. If its "
            "weights were only tuned a little since and that is what you study, pass other_weights=True."
        )
