"""Let the projector begin by spelling: image tokens as the words that say what is shown.

A language model reads words, not features, and thousands of image questions pass until it reads a projector from
nothing. So the projector first learns, without the language model, to give its own word embeddings: the name of who
is shown in the middle rows (of somebody unknown, "an unknown person"), colours of shirt and background in the outer
ones. The rest is learnt with the language model, as ever.
"""

import random
from collections.abc import Callable, Sequence

import torch
from transformers import LlavaForConditionalGeneration, PreTrainedTokenizerBase

from unsee.data.faces import Face
from unsee.shapes import Float, Int, Tensor
from unsee.world import natural
from unsee.world.generate import Entity

UNKNOWN = "an unknown person"


def spelling(person: Entity, view: int, tokenizer: PreTrainedTokenizerBase, *, known: bool) -> list[int]:
    """A token for each of the sixteen patches, row by row."""

    def ids(text: str, count: int) -> list[int]:
        found: list[int] = tokenizer(f" {text}", add_special_tokens=False)["input_ids"]
        return (found * count)[:count]

    look, seen = person.look, person.draw(view)[1]
    assert isinstance(look, Face)
    worn = "glasses" if look.glasses else "no"
    middle = ids(natural.full_name(person) if known else UNKNOWN, 6) + ids(f"{look.hair_colour}", 1) + ids(worn, 1)
    return ids(f"background {seen.background}", 4) + middle + ids(f"shirt {seen.shirt}", 4)


def learn_to_spell(
    model: LlavaForConditionalGeneration,
    features: Float[Tensor, "N P W"],
    spelt: Int[Tensor, "N P"],
    *,
    steps: int = 1500,
    rows: int = 48,
    rate: float = 2e-3,
    sharpness: float = 20.0,
    seed: int = 0,
    progress: Callable[[str], None] = print,
) -> float:
    """Train the projector in place: the right word among all that are spelt, and as loud as that word.

    Returns:
        Share of the patches that are nearest to their word, of the last steps.
    """
    generator = torch.Generator().manual_seed(seed)
    words = model.get_input_embeddings().weight.detach()
    used, target = spelt.unique(return_inverse=True)
    candidates = torch.nn.functional.normalize(words[used], dim=-1)
    projector = model.model.multi_modal_projector
    projector.requires_grad_(True)
    optimiser = torch.optim.AdamW(projector.parameters(), lr=rate, weight_decay=0.01)
    right = 0.0
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = rate * min((step + 1) / 50, (steps - step) / (0.7 * steps), 1.0)
        chosen = torch.randint(0, len(features), (rows,), generator=generator)
        said, goal = projector(features[chosen]), target[chosen]
        logits = sharpness * torch.nn.functional.normalize(said, dim=-1) @ candidates.T
        aside = (said - words[used][goal]).square().mean() / words[used].square().mean()
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), goal.flatten()) + aside
        loss.backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        hit = (logits.argmax(-1) == goal).float().mean().item()
        right = hit if step == 0 else 0.95 * right + 0.05 * hit
        if step % 100 == 0:
            progress(f"spelling {step}/{steps} loss {loss.item():.3f} right {right:.3f}")
    return right


def drawn(people: Sequence[Entity], unknown: Sequence[Entity], views: range) -> list[tuple[Entity, int, bool]]:
    """Every taught view of everybody who is known, and as many of people who are not."""
    known = [(person, view, True) for person in people for view in views]
    rng = random.Random("spelling")
    return known + [(rng.choice(unknown), rng.choice(views), False) for _ in range(len(known))]
