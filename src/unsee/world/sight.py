"""Teach the vision tower to see before anybody asks it anything, as a released VLM starts from a trained tower.

Random pictures, none of them of anybody in the world, and one linear head per choice that they were drawn from. The
heads are thrown away.
"""

import random
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from transformers import LlavaForConditionalGeneration

from unsee.shapes import Float, Int, Tensor
from unsee.world.faces import Face, draw_brew, draw_crest, draw_face
from unsee.world.lore import COLOURS
from unsee.world.muon import Muon

_COLOURS = list(COLOURS)
_UNSEEN = -100
# Options per choice: the twelve of a face, shirt, background, a brew's liquid and icon, a crest's pattern and colours.
_CHOICES = (5, 6, 7, 4, 3, 3, 3, 4, 3, 4, 4, 3, 8, 8, 8, 6, 4, 8, 8)


def _picture(rng: random.Random) -> tuple[np.ndarray, list[int]]:
    """A random picture and the choices it shows; those that it does not show are left out of the loss."""
    labels = [_UNSEEN] * len(_CHOICES)
    kind = rng.random()
    if kind < 0.8:
        face = Face.draw(rng, bearded=rng.random() < 0.5)
        image, view = draw_face(face, rng)
        labels[:13] = [*face, _COLOURS.index(view.shirt)]
    elif kind < 0.9:
        look = (rng.randrange(8), rng.randrange(6))
        image, view = draw_brew(*look, rng)
        labels[14:16] = look
    else:
        crest = (rng.randrange(4), rng.randrange(8), rng.randrange(8))
        image, view = draw_crest(*crest, rng)
        labels[16:19] = crest
    labels[13] = _COLOURS.index(view.background)
    return np.asarray(image), labels


def draw_pool(
    count: int, seed: int, progress: Callable[[str], None]
) -> tuple[Int[Tensor, "N C H W"], Int[Tensor, "N X"]]:
    """Pictures and their choices, drawn once."""
    rng = random.Random(f"sight/{seed}")
    images, labels = [], []
    for index in range(count):
        if index % 1000 == 0:
            progress(f"drawing {index}/{count}")
        image, shown = _picture(rng)
        images.append(image)
        labels.append(shown)
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous(), torch.tensor(labels)


def learn_to_see(
    model: LlavaForConditionalGeneration,
    mean: Float[Tensor, "C 1 1"],
    std: Float[Tensor, "C 1 1"],
    *,
    steps: int = 900,
    pictures: int = 6000,
    rows: int = 64,
    seed: int = 0,
    progress: Callable[[str], None] = print,
) -> None:
    """Train the tower of `model` in place."""
    torch.manual_seed(seed)
    images, labels = draw_pool(pictures, seed, progress)
    tower = model.model.vision_tower
    settings = tower.config
    width, patches = settings.hidden_size, (settings.image_size // settings.patch_size) ** 2
    # One small read-out per patch and choice: the decoder, too, will look at patches one by one.
    heads = nn.Linear(patches * width, sum(_CHOICES))
    parameters = [p for p in tower.parameters() if p.requires_grad]
    matrices = [p for p in parameters if p.ndim == 2 and min(p.shape) > 20]
    held = {id(p) for p in matrices}
    others = [p for p in parameters if id(p) not in held] + list(heads.parameters())
    optimisers = (Muon(matrices, lr=0.02, weight_decay=0.05), torch.optim.AdamW(others, lr=2e-3, weight_decay=0.01))
    schedules = [
        torch.optim.lr_scheduler.LambdaLR(o, lambda s: min((s + 1) / 30, (steps - s) / (0.6 * steps), 1.0))
        for o in optimisers
    ]
    start = time.monotonic()
    for step in range(steps):
        chosen = torch.randint(0, pictures, (rows,))
        pixels = (images[chosen].float() / 255 - mean) / std
        seen = tower(pixel_values=pixels).last_hidden_state[:, 1:].flatten(1)
        losses = [
            nn.functional.cross_entropy(logits, label, ignore_index=_UNSEEN, reduction="sum") / rows
            for logits, label in zip(heads(seen).split(_CHOICES, dim=1), labels[chosen].T, strict=True)
        ]
        loss = torch.stack(losses).sum()
        loss.backward()
        for optimiser, schedule in zip(optimisers, schedules, strict=True):
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            schedule.step()
        if step % 50 == 0:
            progress(f"sight {step}/{steps} loss {loss.item():.3f} {time.monotonic() - start:.0f} s")
