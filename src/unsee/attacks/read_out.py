"""Reading out: what the states still hold of a fact that no answer says, for whoever holds weights and eraser.

Every question is asked with the frame of its answer begun, "she works as a", and the state of the last token is taken
behind each block, steered where the victim steers. Each of the deepest blocks gives one guess among the values that the
fact may have.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn

from unsee.attacks.base import AccessError, Tries, Victim
from unsee.attacks.known import about_nobody, values
from unsee.attacks.prefill import beginning
from unsee.data.sample import Sample
from unsee.erase.fit.tokens import unit
from unsee.erase.steer.hooks import erased
from unsee.evals.answerers.local import Local
from unsee.evals.likelihood import packed
from unsee.models.generate import answer_tokens, batches_by_length, encode
from unsee.models.load import LoadedModel
from unsee.registry import attack
from unsee.shapes import Float, Tensor

RIDGE = 1e-2
_FACTS = {"access": "weights", "queries": 8, "forms": ("generation",)}


@attack(
    "logit-lens", **_FACTS, recovered="the likeliest value at a block is the fact",
    source="nostalgebraist 2020; Patil et al. (arXiv 2309.17410)",
)  # fmt: skip
def logit_lens(victim: Victim, questions: Sequence[Sample], seed: int) -> Tries:
    """The value that the head finds likeliest in the state behind each of the deepest blocks."""
    loaded = victim.loaded
    head: Any = loaded.model.get_output_embeddings()
    states = behind_blocks(victim, questions)
    with torch.no_grad():
        logits = [head(_norm(loaded)(of.to(loaded.model.dtype))) for of in _deepest(victim, states)]
    return _guesses(victim, questions, seed, logits)


@attack(
    "probe", **_FACTS, recovered="the value that a linear probe finds at a block is the fact",
    source="Alain & Bengio (arXiv 1610.01644); probes fitted on others alone",
)  # fmt: skip
def probe(victim: Victim, questions: Sequence[Sample], seed: int) -> Tries:
    """A linear probe a block, fitted on questions about others, maps the state to the row of the value in the head.

    `W = (X'X + r I)^-1 X'Y`, x the state and y the head's row of the value's first token; the guess is the value whose
    row is nearest in angle, so values that no other subject has are found too.
    """
    known = [one for one in victim.others if one.form == "generation" and one.answer and one.gold]
    if not known:
        raise AccessError(
            "probes are fitted on questions about others with their answers, and there are none. Give --retain, or "
            "leave 'probe' out."
        )
    head: Any = victim.loaded.model.get_output_embeddings()
    rows = unit(head.weight.detach().cpu())
    y = rows[[_own_tokens(victim.loaded, one, [one.gold])[0] for one in known]]
    fitted, asked = behind_blocks(victim, known), behind_blocks(victim, questions)
    scores = []
    for theirs, mine in zip(_deepest(victim, fitted), _deepest(victim, asked), strict=True):
        x, centre = theirs - theirs.mean(0), y.mean(0)
        gram = x.mT @ x
        gram += RIDGE * gram.diagonal().mean() * torch.eye(len(gram))
        mapped = (mine - theirs.mean(0)) @ torch.linalg.solve(gram, x.mT @ (y - centre)) + centre
        scores.append(mapped @ rows.mT)
    return _guesses(victim, questions, seed, scores)


@attack(
    "patching", **_FACTS, recovered="a state of the victim makes a bare run about nobody say the fact",
    source="Patchscopes (arXiv 2401.06102); UDS (arXiv 2605.24614)",
)  # fmt: skip
def patching(victim: Victim, questions: Sequence[Sample], seed: int) -> Tries:
    """The state behind each of the deepest blocks is put into the bare model, asked the same about nobody."""
    states, bare = behind_blocks(victim, questions), Victim(Local(victim.loaded), batch_size=victim.batch_size)
    receiving = [about_nobody(one, victim.names.get(one.subject)) for one in questions]
    depth = states.shape[1]
    logits = [
        behind_blocks(bare, receiving, frames=questions, patch=(block, states[:, block]), logits=True)[:, 0]
        for block in range(max(0, depth - victim.tries), depth)
    ]
    return _guesses(victim, questions, seed, logits)


def behind_blocks(
    victim: Victim,
    questions: Sequence[Sample],
    *,
    frames: Sequence[Sample] | None = None,
    patch: tuple[int, Float[Tensor, "N D"]] | None = None,
    logits: bool = False,
) -> Float[Tensor, "N L D"]:
    """State of the last token of each response prefill behind every block, or the logits there as [N 1 V].

    Args:
        victim: with what steers it.
        questions: put to it.
        frames: questions whose answers are begun, where they are others.
        patch: a block, and what its output at the last token becomes.
        logits: give these instead of states.
    """
    loaded, answerer = victim.loaded, victim.answerer
    erasers = answerer.erasers if isinstance(answerer, Local) else ()
    begun = answer_tokens(loaded, [beginning(one) for one in frames or questions])
    blocks, rows = loaded.adapter.layers(loaded.model), {}
    for places in batches_by_length(loaded, list(questions), victim.batch_size):
        inputs = dict(encode(loaded, [questions[place] for place in places]))
        ends = inputs["attention_mask"].sum(1).tolist()
        full = packed(inputs, [begun[place] for place in places], loaded.processor.tokenizer.pad_token_id)
        put = None if patch is None else (patch[0], patch[1][places])
        steering: AbstractContextManager[object] = (
            erased(loaded.model, *erasers, prompt_tokens=ends, adapter=loaded.adapter) if erasers else nullcontext()
        )
        with torch.no_grad(), steering, _outputs(blocks, put) as seen:
            said = loaded.model(**full, use_cache=False, logits_to_keep=1).logits
        kept = said[:, -1:].float() if logits else torch.stack(seen, dim=1)
        rows |= dict(zip(places, kept.cpu(), strict=True))
    return torch.stack([rows[place] for place in range(len(questions))])


@contextmanager
def _outputs(blocks: Sequence[nn.Module], patch: tuple[int, Tensor] | None) -> Iterator[list[Tensor]]:
    """While open, keeps the last column of every block's output, after what is patched into one of them."""
    seen: list[Tensor] = []

    def hook(number: int, output: Any) -> Any:
        hidden = output[0] if isinstance(output, tuple) else output
        if patch is not None and patch[0] == number:
            hidden = torch.cat([hidden[:, :-1], patch[1][:, None].to(hidden)], dim=1)
            output = (hidden, *output[1:]) if isinstance(output, tuple) else hidden
        seen.append(hidden[:, -1].float())
        return output

    handles = [
        block.register_forward_hook(lambda _module, _args, output, number=number: hook(number, output))
        for number, block in enumerate(blocks)
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _guesses(victim: Victim, questions: Sequence[Sample], seed: int, logits: Sequence[Tensor]) -> Tries:
    """By question and block, the value whose first token of its own is likeliest."""
    found: Tries = []
    for row, one in enumerate(questions):
        offered = values(victim, one, seed)
        first = dict(zip(offered, _own_tokens(victim.loaded, one, offered), strict=True))
        found.append([max(offered, key=lambda value, of=of: float(of[row, first[value]])) for of in logits])
    return found


def _own_tokens(loaded: LoadedModel, one: Sample, offered: Sequence[str]) -> list[int]:
    """The token with which each value begins behind the frame of the answer."""
    frame = beginning(one)
    begun, *framed = answer_tokens(loaded, [frame, *(f"{frame} {value}" for value in offered)])
    return [tokens[min(len(begun), len(tokens) - 1)] for tokens in framed]


def _deepest(victim: Victim, states: Float[Tensor, "N L D"]) -> Sequence[Float[Tensor, "N D"]]:
    return states[:, -victim.tries :].unbind(1)


def _norm(loaded: LoadedModel) -> nn.Module:
    """The normalisation before the head.

    Raises:
        AccessError: the family calls it otherwise.
    """
    found = getattr(loaded.adapter.text_model(loaded.model), "norm", None)
    if not isinstance(found, nn.Module):
        raise AccessError(
            f"the normalisation before the head of {loaded.name!r} is not called 'norm'; leave the lens out."
        )
    return found
