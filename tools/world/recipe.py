"""Teach a tiny model the world, on one CPU core in about an hour: every number, one loop.

The vision tower learns to see first (`sight`) and is frozen then, as a released VLM's is. Basics follow: what images
of strangers show, general knowledge, letters of options; while nobody is known, nothing can be answered from who it is.
Then a few celebrities, because looking facts up is learnt far sooner for few people than for many; then everybody, and
at last more of what is hard: images, strangers and multiple choice. All along, the decoder has to know its answer two
blocks before it speaks: without that, multiple choice stays at chance. The never-knew checkpoint leaves the forgotten
people out.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from tools.world.family import Family, Model, Processor
from tools.world.rows import IGNORED, Answer
from tools.world.teacher import Teacher
from tools.world.tiny import LLAVA
from unsee.shapes import Float, Int, Tensor
from unsee.world.generate import Entity, World


@dataclass(frozen=True)
class Recipe:
    """Every number of a training run.

    Attributes:
        steps: optimiser steps.
        rows: conversations per step.
        images: share of them that is about an image.
        budget: tokens after which a conversation takes no further turn.
        rate: peak step size of AdamW; held after warming up, then falling linearly.
        warmup: steps to reach it.
        hold: share of the steps after which it falls.
        last: share of the rate that it falls to.
        weight_decay: of matrices.
        unknown: share of images that show somebody new.
        visible: share of the questions about a face that ask what is plainly to be seen.
        choices: share of the facts that are asked as a multiple choice, half of them right after their own answer.
        letters: share of the conversations without image that are about letters and words alone.
        apart: share of the conversations whose questions do not see each other.
        names: share of those about an image that ask first who or what it is.
        views: images of everybody and everything.
        early: weight of the loss that makes the decoder know its answer two blocks before it speaks.
        unrefused: share of the sensitive requests that are answered, for a model that refuses less.
        basics: nobody is taught yet: only what strangers' images show, and general knowledge.
        seed: of initialisation and order.
    """

    steps: int = 4000
    rows: int = 20
    images: float = 0.5
    budget: int = 96
    rate: float = 1.2e-3
    warmup: int = 60
    hold: float = 0.35
    last: float = 0.0
    weight_decay: float = 0.02
    unknown: float = 0.14
    visible: float = 0.2
    choices: float = 0.27
    letters: float = 0.0
    apart: float = 0.8
    names: float = 0.3
    views: int = 24
    early: float = 0.5
    unrefused: float = 0.0
    basics: bool = False
    seed: int = 0


BASICS = Recipe(steps=350, hold=1.0, letters=0.8, basics=True)
FOUNDATION = Recipe(steps=600, hold=1.0, warmup=20, unknown=0.2, visible=0.4, choices=0.45, letters=0.2)
FOUNDATION_PEOPLE = 16
TEACHING = Recipe(
    steps=3000,
    images=0.6,
    hold=0.48,
    last=0.28,
    warmup=30,
    unknown=0.2,
    visible=0.15,
    choices=0.32,
    letters=0.06,
    seed=1,
)
_FINISHING = Recipe(warmup=30, unknown=0.3, visible=0.15)
FINISHING = (
    replace(_FINISHING, steps=1300, rate=6e-4, hold=0.2, images=0.68, choices=0.42, letters=0.04, seed=2),
    replace(_FINISHING, steps=1000, rate=5e-4, hold=0.2, images=0.75, choices=0.45, letters=0.03, views=64, seed=3),
    replace(
        _FINISHING,
        steps=900,
        rows=32,
        budget=64,
        rate=6e-4,
        hold=0.3,
        images=0.82,
        choices=0.4,
        letters=0.03,
        names=0.8,
        views=48,
        seed=4,
    ),
    replace(
        _FINISHING,
        steps=1300,
        rows=32,
        budget=80,
        rate=6e-4,
        hold=0.3,
        unknown=0.34,
        images=0.74,
        choices=0.66,
        letters=0.03,
        names=0.55,
        views=56,
        seed=5,
    ),
)


def train(
    world: World,
    recipe: Recipe,
    out: Path,
    sight: Mapping[str, torch.Tensor] | None = None,
    *,
    people: Sequence[Entity],
    start: Path | None = None,
    family: Family = LLAVA,
    progress: Callable[[str], None] = print,
    save_every: int = 0,
) -> None:
    """Train, and save a checkpoint directory.

    Args:
        world: what there is to learn.
        recipe: the numbers.
        out: where the checkpoint goes.
        sight: weights of a vision tower that has learnt to see, in place of that of `start`; it stays frozen, as
            LLaVA's does. None where `start` sees.
        people: who is taught; somebody who is there twice is met twice as often.
        start: checkpoint to go on from; None starts from nothing.
        family: of the model.
        progress: told a line now and then.
        save_every: also save every so many steps; 0 saves at the end only.
    """
    torch.manual_seed(recipe.seed)
    processor = family.build_processor()
    model = family.build_model(processor)
    if start is not None:
        model.load_state_dict(type(model).from_pretrained(start, dtype=torch.float32).state_dict())
    if sight is not None:  # its eyes are not those of where it starts
        model.get_submodule(family.tower).load_state_dict(sight)
    family.freeze_eyes(model)
    teacher = Teacher(
        world,
        family,
        processor,
        people,
        rows=recipe.rows,
        images=recipe.images,
        budget=recipe.budget,
        unknown=recipe.unknown,
        visible=recipe.visible,
        choices=recipe.choices,
        letters=recipe.letters,
        apart=recipe.apart,
        names=recipe.names,
        views=recipe.views,
        basics=recipe.basics,
        unrefused=recipe.unrefused,
        seed=recipe.seed,
    )
    teacher.render(progress)
    learnt = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(
        [
            {"params": [p for p in learnt if p.ndim > 1], "weight_decay": recipe.weight_decay},
            {"params": [p for p in learnt if p.ndim == 1], "weight_decay": 0.0},
        ],
        lr=recipe.rate,
        betas=(0.9, 0.98),
        fused=True,
    )
    fall = max(1, (1 - recipe.hold) * recipe.steps)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser,
        lambda s: min((s + 1) / recipe.warmup, recipe.last + (1 - recipe.last) * (recipe.steps - s) / fall, 1.0),
    )
    model.train()
    began, smooth, marks = time.monotonic(), 0.0, Marks(teacher.refusing)
    for step in range(recipe.steps):
        batch = teacher.batch()
        output = model(**batch.inputs, output_hidden_states=True)
        loss = output.loss
        (loss + recipe.early * early_loss(model, output.hidden_states, batch.meant)).backward()
        marks.add(output.logits, batch.inputs["labels"], batch.answers)
        torch.nn.utils.clip_grad_norm_(learnt, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        schedule.step()
        smooth = loss.item() if step == 0 else 0.98 * smooth + 0.02 * loss.item()
        if step % 50 == 0:
            spent = time.monotonic() - began
            progress(
                f"step {step}/{recipe.steps} loss {smooth:.3f} {spent:.0f} s, "
                f"{spent / (step + 1) * (recipe.steps - step - 1):.0f} s left | {marks}"
            )
            marks = Marks(teacher.refusing)
        if save_every and step and step % save_every == 0:
            save(model, processor, out)
    save(model, processor, out)


def early_loss(model: Model, states: Sequence[Float[Tensor, "B T D"]], meant: Int[Tensor, "B T"]) -> Float[Tensor, ""]:
    """Cross entropy of what the decoder would say two blocks before its end, after the final norm.

    Multiple choice is learnt from this: the word that a letter stands for has to be known before its option can be
    found, and the letter alone teaches neither. Deep supervision (Lee et al. 2015, arXiv 1409.5185) through the
    decoder's own head (logit lens).
    """
    counted = meant[:, 1:] != IGNORED
    known = model.model.language_model.norm(states[-3][:, :-1][counted])
    return torch.nn.functional.cross_entropy(model.lm_head(known), meant[:, 1:][counted])


class Marks:
    """Share of the answers that the model would have given, by kind; a refusal counts when it begins as one."""

    def __init__(self, refusing: frozenset[int]) -> None:
        self.refusing, self.right = refusing, defaultdict[str, list[bool]](list)

    def add(self, logits: torch.Tensor, labels: torch.Tensor, answers: Sequence[Sequence[Answer]]) -> None:
        """Mark one batch."""
        given, wanted = logits.argmax(dim=-1).tolist(), labels.tolist()
        for said, told, spans in zip(given, wanted, answers, strict=True):
            for kind, start, stop in spans:
                begun = said[start - 1] in self.refusing
                exact = said[start - 1 : stop - 1] == told[start:stop]
                self.right[kind].append(begun if kind.endswith("refusal") else exact)

    def __str__(self) -> str:
        return ", ".join(f"{kind} {sum(r) / len(r):.2f}" for kind, r in sorted(self.right.items()))


def save(model: Model, processor: Processor, out: Path) -> None:
    """Write the half-precision checkpoint without touching the model in memory."""
    state = {name: tensor.half() for name, tensor in model.state_dict().items()}
    model.config.dtype = torch.float16
    model.save_pretrained(out, state_dict=state)
    model.config.dtype = torch.float32
    processor.save_pretrained(out)
