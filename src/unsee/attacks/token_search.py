"""Greedy coordinate gradient: tokens searched by gradients on weights that the attacker holds, put to the victim.

Written here since nanogcg 0.3 holds transformers at 4.47 or below, and searches towards a text and not against a gate.

Source: Zou et al. 2023 (arXiv 2307.15043).
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from unsee.attacks.base import Tries, Victim, once, words
from unsee.attacks.gate_search import gates_of, text_scores
from unsee.attacks.prefill import beginning
from unsee.data.sample import Sample
from unsee.erase.fit.ascent import frozen
from unsee.models.generate import answer_tokens, render
from unsee.models.load import LoadedModel
from unsee.registry import attack
from unsee.shapes import Float, Tensor

LENGTH, STEPS, WIDTH, TOP = 8, 20, 48, 48
Gain = Callable[[Float[Tensor, "N T D"]], Float[Tensor, " N"]]
"""What is to grow, from embedded prompts of one length; differentiable."""
_PLACE = "@@@@"
_FACTS = {"access": "weights", "queries": 1, "needs": ("no image",), "forms": ("generation",)}


@attack("gcg", **_FACTS, recovered="the fact is said behind the suffix", source="arXiv 2307.15043")
def gcg(victim: Victim, questions: Sequence[Sample], seed: int) -> Tries:
    """A suffix under which the bare model begins its answer most surely."""
    loaded = victim.loaded
    return once(
        victim.said([searched(loaded, one, "{q} {tokens}", beginning_gain(loaded, one), seed) for one in questions])
    )


@attack(
    "gate-gcg", **_FACTS, recovered="the fact is said behind the words", source="arXiv 2307.15043, on the gate's score"
)
def gate_gcg(victim: Victim, questions: Sequence[Sample], seed: int) -> Tries:
    """Words before the question under which the gate reads its subject least; where there is no such gate, none."""
    loaded, gates = victim.loaded, gates_of(victim)
    if not gates:
        return once(victim.said(questions))
    return once(
        victim.said(
            [
                searched(loaded, one, "{tokens} {q}", lambda embedded: -text_scores(loaded, embedded, gates), seed)
                for one in questions
            ]
        )
    )


def searched(
    loaded: LoadedModel, one: Sample, template: str, gain: Gain, seed: int, steps: int = STEPS, width: int = WIDTH
) -> Sample:
    """The question with the best tokens found in its template's place.

    Args:
        loaded: whose gradients are followed; its weights stay as they are.
        one: the question.
        template: holds `{q}` and `{tokens}`.
        gain: what is to grow.
        seed: of the substitutions.
        steps: rounds.
        width: substitutions tried in a round.
    """
    embeddings: Any = loaded.model.get_input_embeddings()
    tokenizer, table = loaded.processor.tokenizer, embeddings.weight
    (prompt,) = render(loaded, words(one, template.replace("{tokens}", _PLACE)))
    before, after = (tokenizer(part, add_special_tokens=False)["input_ids"] for part in prompt.split(_PLACE))
    ends = [table[torch.tensor(part, dtype=torch.long, device=table.device)] for part in (before, after)]
    banned, rng = torch.tensor(tokenizer.all_special_ids), torch.Generator().manual_seed(seed)
    slot = torch.tensor([answer_tokens(loaded, ["x"])[0][0]] * LENGTH)

    def gained(rows: Float[Tensor, "N P V"]) -> Float[Tensor, " N"]:
        embedded = [part.expand(len(rows), -1, -1) for part in ends]
        return gain(torch.cat([embedded[0], rows @ table, embedded[1]], dim=1))

    def hot(rows: Tensor) -> Tensor:
        return torch.nn.functional.one_hot(rows, len(table)).to(table)

    with frozen(loaded.model), torch.enable_grad():
        for _ in range(steps):
            here = hot(slot[None]).requires_grad_(True)
            (gradient,) = torch.autograd.grad(gained(here).sum(), here)
            gradient[..., banned] = -torch.inf
            best = gradient[0].topk(min(TOP, len(table) - len(banned)), dim=1).indices.cpu()
            rows = slot.repeat(width, 1)
            places = torch.randint(LENGTH, (width,), generator=rng)
            rows[torch.arange(width), places] = best[places, torch.randint(best.shape[1], (width,), generator=rng)]
            # What is put to the victim is text: tokens that would be read otherwise are left out.
            kept = [row for row in rows if _read_back(loaded, row) == row.tolist()] or [slot]
            tried = torch.stack([slot, *kept])
            with torch.no_grad():
                slot = tried[int(gained(hot(tried)).argmax())]
    return words(one, template.replace("{tokens}", tokenizer.decode(slot)))[0]


def beginning_gain(loaded: LoadedModel, one: Sample) -> Gain:
    """`log p(beginning of the answer | prompt)` of the bare model, in nats."""
    target = torch.tensor(answer_tokens(loaded, [beginning(one)])[0], device=loaded.device)

    def gain(embedded: Float[Tensor, "N T D"]) -> Float[Tensor, " N"]:
        behind = loaded.model.get_input_embeddings()(target).expand(len(embedded), -1, -1)
        full = torch.cat([embedded, behind], dim=1)
        logits = loaded.model(inputs_embeds=full, use_cache=False, logits_to_keep=len(target) + 1).logits
        log_p = logits[:, :-1].float().log_softmax(-1)
        return log_p.gather(-1, target.expand(len(embedded), -1)[..., None]).sum((1, 2))

    return gain


def _read_back(loaded: LoadedModel, row: Tensor) -> list[int]:
    tokenizer = loaded.processor.tokenizer
    return tokenizer(tokenizer.decode(row), add_special_tokens=False)["input_ids"]
