"""The effect: `with erased(model, eraser): ...` steers a model and leaves no trace of it.

Hooks are set on every decoder block that the adapter names, all of them or none. They hand each call to the blocks that
are open in the caller's own context and write back what those add; what another thread or task has opened is not seen.
Where steering did not happen exactly as required the call fails: an answer is never given silently unsteered.
"""

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from transformers import PreTrainedModel

from unsee.erase.eraser import Eraser
from unsee.erase.steer.installed import OPEN, Installed
from unsee.erase.steer.policy import Reading
from unsee.erase.steer.session import Steering
from unsee.errors import MismatchError, OptionError
from unsee.models import AbstractAdapter, adapter_for

__all__ = ["Reading", "Steering", "erased", "require_fits"]


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
    tokens = None if prompt_tokens is None else tuple(prompt_tokens)
    steering = Steering(erasers, tokens, functools.partial(adapter.image_index, model))
    installed = Installed.on(model, adapter, steering)
    OPEN.set((*OPEN.get(), steering))
    try:
        yield steering
        installed.require_intact()
    finally:
        OPEN.set(tuple(other for other in OPEN.get() if other is not steering))
        installed.close(steering)


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
