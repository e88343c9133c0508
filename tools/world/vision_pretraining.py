"""Teach the vision tower to see before anybody asks it anything, as a released VLM starts from a trained tower.

Random people, none of the world's, in many views each. Every patch, on its own, has to say each choice that the image
was drawn from, and who it is; later the outer rows are freed from that and say what surrounds the face instead. So one
token is enough to know somebody by, and clothes are told as loudly as faces. The heads are thrown away.
"""

import random
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from tools.world.muon import TowerOptimiser
from unsee.data.canvas import COLOURS, ORIGINAL, Style
from unsee.data.faces import Face, draw_face
from unsee.data.things import draw_brew, draw_crest
from unsee.shapes import Float, Int, Tensor

_COLOURS = list(COLOURS)
_UNSEEN = -100
# Options per choice: the twelve of a face, shirt, background, a brew's liquid and icon, a crest's pattern and colours.
_CHOICES = (5, 6, 7, 4, 3, 3, 3, 4, 3, 4, 4, 3, 8, 8, 8, 6, 4, 8, 8)


def _face(face: Face, who: int, rng: random.Random, style: Style) -> tuple[np.ndarray, list[int]]:
    """One view of a random person, and what it shows."""
    image, view = draw_face(face, rng, style)
    labels = [*face, _COLOURS.index(view.shirt), _COLOURS.index(view.background), *[_UNSEEN] * 5, who]
    return np.asarray(image), labels


def _thing(rng: random.Random, style: Style) -> tuple[np.ndarray, list[int]]:
    """A random brew or crest, and what it shows; other choices are left out of the loss."""
    labels = [_UNSEEN] * (len(_CHOICES) + 1)
    if rng.random() < 0.5:
        look = (rng.randrange(8), rng.randrange(6))
        image, view = draw_brew(*look, rng, style)
        labels[14:16] = look
    else:
        crest = (rng.randrange(4), rng.randrange(8), rng.randrange(8))
        image, view = draw_crest(*crest, rng, style)
        labels[16:19] = crest
    labels[13] = _COLOURS.index(view.background)
    return np.asarray(image), labels


def draw_pool(
    people: int, views: int, seed: int, progress: Callable[[str], None], style: Style = ORIGINAL
) -> tuple[Int[Tensor, "N C H W"], Int[Tensor, "N X"]]:
    """Random people in `views` views each, a fifth as many things; with their choices and, last, who it is."""
    rng = random.Random(f"sight/{seed}")
    drawn = [_thing(rng, style) for _ in range(people * views // 5)]
    for who in range(people):
        if who % 200 == 0:
            progress(f"drawing {who}/{people}")
        face = Face.draw(rng, bearded=rng.random() < 0.5)
        drawn += [_face(face, who, rng, style) for _ in range(views)]
    images = torch.from_numpy(np.stack([image for image, _ in drawn])).permute(0, 3, 1, 2).contiguous()
    return images, torch.tensor([shown for _, shown in drawn])


def normalisation(processor: LlavaProcessor) -> tuple[Float[Tensor, "C 1 1"], Float[Tensor, "C 1 1"]]:
    """The image processor's mean and standard deviation, per channel."""
    settings = processor.image_processor
    return torch.tensor(settings.image_mean).view(3, 1, 1), torch.tensor(settings.image_std).view(3, 1, 1)


def learn_to_see(
    model: LlavaForConditionalGeneration,
    mean: Float[Tensor, "C 1 1"],
    std: Float[Tensor, "C 1 1"],
    *,
    apart: bool,
    steps: int = 3000,
    people: int = 2000,
    views: int = 8,
    rows: int = 64,
    rate: float = 0.02,
    sharpness: float = 16.0,
    seed: int = 0,
    style: Style = ORIGINAL,
    progress: Callable[[str], None] = print,
) -> None:
    """Train the tower of `model` in place.

    Args:
        model: its vision tower learns; nothing else is touched.
        mean: of the image processor, per channel.
        std: of the image processor, per channel.
        apart: leave who it is to the patches of the middle rows, and what surrounds the face to the outer ones; first
            every patch has to say everything.
        steps: optimiser steps.
        people: random identities, told apart by the cosine to a learnt vector each.
        views: images of each.
        rows: images per step.
        rate: Muon's; falls to zero.
        sharpness: what those cosines are multiplied by before the softmax.
        seed: of images and order.
        style: of the images.
        progress: told a line now and then.
    """
    torch.manual_seed(seed)
    images, labels = draw_pool(people, views, seed, progress, style)
    tower = model.model.vision_tower
    width, side = tower.config.hidden_size, tower.config.image_size // tower.config.patch_size
    choices, identities = nn.Linear(width, sum(_CHOICES)), nn.Parameter(torch.randn(people, width))
    scenes = nn.Parameter(torch.randn(len(_COLOURS) ** 2, width))
    line = torch.arange(side * side) // side
    inner = ((line > 0) & (line < side - 1)) | (not apart)
    heads = [*choices.parameters(), identities, scenes]
    optimiser = TowerOptimiser(tower.parameters(), heads, rate=rate, steps=steps)
    start = time.monotonic()
    for step in range(steps):
        chosen = torch.randint(0, len(images), (rows,))
        seen = tower(pixel_values=(images[chosen].float() / 255 - mean) / std).last_hidden_state[:, 1:]
        face, shown = seen[:, inner], labels[chosen]
        loss = _told_apart(face, sharpness * nn.functional.normalize(identities, dim=1), shown[:, -1])
        for logits, label in zip(choices(face).split(_CHOICES, dim=2), shown.T, strict=False):
            loss = loss + _mean_loss(logits, label)
        if apart:
            scene = torch.where(shown[:, 12] < 0, _UNSEEN, len(_COLOURS) * shown[:, 12] + shown[:, 13])
            loss = loss + _told_apart(seen[:, ~inner], sharpness * nn.functional.normalize(scenes, dim=1), scene)
        loss.backward()
        optimiser.step()
        if step % 50 == 0:
            progress(f"sight {step}/{steps} loss {loss.item():.3f} {time.monotonic() - start:.0f} s")
    _calm(model, (images[torch.randint(0, len(images), (256,))].float() / 255 - mean) / std)


def _told_apart(seen: Float[Tensor, "B P D"], names: Float[Tensor, "K D"], target: Int[Tensor, " B"]) -> Tensor:
    """Loss of the cosines between each patch and the vectors of all answers."""
    return _mean_loss(nn.functional.normalize(seen, dim=-1) @ names.T, target)


def _mean_loss(logits: Float[Tensor, "B P K"], target: Int[Tensor, " B"]) -> Tensor:
    """Cross entropy of every patch; an image that does not show the choice counts as right."""
    every = target.unsqueeze(1).expand(-1, logits.shape[1]).flatten()
    total = nn.functional.cross_entropy(logits.flatten(0, 1), every, ignore_index=_UNSEEN, reduction="sum")
    return total / len(every)


@torch.no_grad()
def _calm(model: LlavaForConditionalGeneration, pixels: Float[Tensor, "N C H W"]) -> None:
    """Scale what the tower says to a root mean square of 1, exactly: every block reads it through a LayerNorm.

    The projector's steps are in proportion to its input, and a shout would make them too long.
    """
    tower = model.model.vision_tower
    loudness = tower(pixel_values=pixels).last_hidden_state[:, 1:].square().mean().sqrt()
    for name, parameter in tower.named_parameters():
        if any(part in name for part in ("pre_layrnorm", "out_proj", "fc2")):
            parameter.div_(loudness)
