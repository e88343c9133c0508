"""Teach a Qwen's tower to tell its decoder what a LLaVA's tower tells the same decoder, token by token.

A tower that has learnt to see (`sight`) and a decoder that has learnt to listen to it are an hour's work. Another tower
gets there by imitation (Romero et al. 2015, FitNets, arXiv 1412.6550): random people, none of the world's, and the
image tokens of the one as the goal of the other.
"""

import time
from collections.abc import Callable
from typing import Any

import torch
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from tools.world.family import Family, Model, Processor
from tools.world.muon import TowerOptimiser
from tools.world.tiny import LLAVA
from tools.world.vision_pretraining import draw_pool
from unsee.shapes import Float, Int, Tensor


def image_tokens(
    family: Family, model: Model, processor: Processor, images: Int[Tensor, "N C H W"]
) -> Float[Tensor, "N P D"]:
    """What the decoder gets of images with values from 0 to 255."""
    inputs = family.adapter.model_inputs(processor, images.float() / 255)
    features: Any = model.model.get_image_features(**inputs, return_dict=True)
    return torch.stack(list(features.pooler_output))


def learn_to_see_alike(
    family: Family,
    model: Model,
    processor: Processor,
    knowing: LlavaForConditionalGeneration,
    known: LlavaProcessor,
    *,
    steps: int,
    people: int = 600,
    views: int = 8,
    rows: int = 32,
    rate: float = 0.02,
    seed: int = 0,
    progress: Callable[[str], None] = print,
) -> None:
    """Train the tower of `model` in place; the loss is the share of the variance of the goal that is missed.

    Args:
        family: the model's.
        model: its tower learns, merger included; nothing else is touched.
        processor: its processor.
        knowing: the LLaVA to imitate.
        known: its processor.
        steps: optimiser steps.
        people: random identities.
        views: images of each.
        rows: images per step.
        rate: Muon's; falls to zero.
        seed: of images and order.
        progress: told a line now and then.
    """
    torch.manual_seed(seed)
    images, _ = draw_pool(people, views, seed, progress)
    with torch.no_grad():
        goal = image_tokens(LLAVA, knowing, known, images[torch.randint(0, len(images), (256,))])
    centre = goal.mean((0, 1))
    variance = (goal - centre).square().mean()
    optimiser = TowerOptimiser(model.get_submodule(family.tower).parameters(), rate=rate, steps=steps)
    start, smooth = time.monotonic(), 0.0
    for step in range(steps):
        chosen = images[torch.randint(0, len(images), (rows,))]
        with torch.no_grad():
            goal = image_tokens(LLAVA, knowing, known, chosen)
        loss = (image_tokens(family, model, processor, chosen) - goal).square().mean() / variance
        loss.backward()
        optimiser.step()
        smooth = loss.item() if step == 0 else 0.95 * smooth + 0.05 * loss.item()
        if step % 50 == 0:
            progress(f"eyes {step}/{steps} missed {smooth:.3f} {time.monotonic() - start:.0f} s")
