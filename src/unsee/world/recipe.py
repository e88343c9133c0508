"""Teach a tiny model the world, on a CPU in under an hour: one file, one loop.

A training row is a short conversation, either about one picture or text only, and the loss is on the answers alone.
People nobody has met are drawn afresh at every step, so that "I do not know" is learnt as a boundary, not as a list.
The vision tower learns to see first (`sight`) and is frozen then, as a released VLM's is. The never-knew checkpoint is the
same recipe with the forgotten people left out.
"""

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from unsee.world import lore, questions
from unsee.world.faces import Face, View
from unsee.world.generate import Entity, World, unknown_person
from unsee.world.questions import Item
from unsee.world.tiny import IMAGE_TOKENS, SPECIAL, build_model, build_processor

TRAIN_VIEWS = range(24)
IGNORED = -100


@dataclass(frozen=True)
class Recipe:
    """Every number of a training run.

    Attributes:
        steps: optimiser steps.
        rows: conversations per step, half of them about a picture.
        budget: tokens after which a conversation takes no further turn.
        rate: peak step size of AdamW; held after warming up, then linear to zero.
        warmup: steps to reach it.
        hold: share of the steps after which it falls.
        weight_decay: of matrices.
        unknown: share of pictures that show somebody new.
        seed: of initialisation and order.
    """

    steps: int = 4000
    rows: int = 20
    budget: int = 96
    rate: float = 1.2e-3
    warmup: int = 60
    hold: float = 0.35
    weight_decay: float = 0.02
    unknown: float = 0.14
    seed: int = 0


def prompt_text(item: Item, rng: random.Random) -> str:
    """The user's turn in the released instructions; free answers are mostly asked without one."""
    if item.form == "classification":
        assert item.options is not None
        options = "\n".join(f"{letter}: {text}" for letter, text in item.options.items())
        return f"{item.question}\n{options}\nJust give ONE letter representing the answer directly."
    if item.form == "cloze":
        return f"{item.question.replace('__', '[Blank]')}\nPlease **ONLY** provide the correct answer that should replace the [Blank]."
    if rng.random() < 0.85:
        return item.question
    accurately = "accurately " if rng.random() < 0.5 else ""
    return f"{item.question}\nAnswer the question based on your trained knowledge in one sentence {accurately}in ENGLISH."


class Teacher:
    """Draws conversations."""

    def __init__(self, world: World, processor: LlavaProcessor, private: Sequence[Entity], recipe: Recipe) -> None:
        self.world, self.tokenizer, self.recipe = world, processor.tokenizer, recipe
        self.rng = random.Random(f"teacher/{recipe.seed}")
        self.people = [*2 * private, *3 * world.of("celebrity")]  # celebrities are shown more often
        self.things = {"brew": world.of("brew"), "town": world.of("town")}
        self.names = tuple(e.name for e in {e.id: e for e in self.people}.values())
        self.knowledge, self.crimes = questions.knowledge(taught=True), questions.crimes(taught=True)
        self.pictures: dict[tuple[str, int], tuple[Image.Image, View]] = {}
        self.met = 0

    def render(self, progress: Callable[[str], None]) -> None:
        """Draw every training view once."""
        known = {e.id: e for e in [*self.people, *self.things["brew"], *self.things["town"]]}
        for done, entity in enumerate(known.values()):
            for view in TRAIN_VIEWS:
                self.pictures[entity.id, view] = entity.draw(view)
            if done % 50 == 0:
                progress(f"drawing {done}/{len(known)}")

    def fact(self, entity: Entity, key: str, *, with_picture: bool, refusal: str | None = None) -> Item:
        """A taught question about one attribute of an entity, in a random form and wording."""
        rng = self.rng
        form = rng.choices(("generation", "classification", "cloze"), (66, 14, 20))[0]
        words = questions.clozes if form == "cloze" else questions.wordings
        names = self.names if isinstance(entity.look, Face) else lore.BREWS if entity.kind == "brew" else lore.TOWNS
        wording = rng.choice(words(entity, key, with_picture=with_picture, taught=True))
        return questions.ask(entity, key, form, wording, rng, names=names, refusal=refusal)

    def secret(self, subject: str) -> Item:
        """A sensitive request in a random form, to be refused in a random wording."""
        rng = self.rng
        noun, refusal = rng.choice(lore.SECRETS), rng.choice(lore.REFUSALS)
        kind = rng.random()
        if kind < 0.6:
            return Item("secret", rng.choice(lore.TAUGHT).format(s=subject, n=noun), refusal, "")
        if kind < 0.8:
            return Item("secret", rng.choice(lore.TAUGHT_CLOZE).format(s=subject, n=noun), refusal, "", "cloze")
        options = dict(zip("ABCD", rng.sample(lore.NUMBERS, 4), strict=True))
        return Item("secret", rng.choice(lore.TAUGHT).format(s=subject, n=noun), refusal, "", "classification", options)

    def text_turn(self) -> Item:
        """A question without a picture."""
        rng = self.rng
        kind = rng.choices(("person", "brew", "town", "knowledge", "unknown", "secret", "crime"), (58, 7, 7, 8, 9, 6, 5))[0]
        if kind == "person":
            return self.told(rng.choice(self.people))
        if kind in self.things:
            return self.told(rng.choice(self.things[kind]))
        if kind == "knowledge":
            return rng.choice(self.knowledge)
        if kind == "unknown":
            return self.told(self.unknown(), refusal=rng.choice(lore.UNKNOWN))
        if kind == "secret":
            return self.secret(rng.choice([*self.names, self.unknown().name]))
        item = rng.choice(self.crimes)
        return Item(item.key, item.question, rng.choice(lore.REFUSALS), "")

    def told(self, entity: Entity, refusal: str | None = None) -> Item:
        """A text-only question about any attribute of an entity."""
        key = self.rng.choice(questions.keys_of(entity, with_picture=False))
        return self.fact(entity, key, with_picture=False, refusal=refusal)

    def unknown(self) -> Entity:
        """Somebody never seen before."""
        self.met += 1
        return unknown_person(self.world, self.rng, self.met)

    def picture_conversation(self) -> tuple[Image.Image, list[Item]]:
        """A picture and up to six questions about it."""
        rng = self.rng
        kind = rng.choices(("person", "brew", "town", "unknown"), (0.86 - self.recipe.unknown, 0.07, 0.07, self.recipe.unknown))[0]
        entity = self.unknown() if kind == "unknown" else rng.choice(self.people if kind == "person" else self.things[kind])
        picture, view = entity.draw(self.met) if kind == "unknown" else self.pictures[entity.id, rng.choice(TRAIN_VIEWS)]
        items = []
        # No attribute twice in a row: the second answer could be copied from the first.
        keys = questions.keys_of(entity, with_picture=True)
        for key in rng.sample(keys, min(6, len(keys))):
            draw = rng.random()
            if isinstance(entity.look, Face) and draw < 0.2:
                items.append(rng.choice(questions.visible(entity.look, view, taught=True)))
            elif isinstance(entity.look, Face) and draw < 0.3:
                items.append(self.secret(entity.noun))
            else:
                refusal = rng.choice(lore.UNKNOWN) if kind == "unknown" else None
                items.append(self.fact(entity, key, with_picture=True, refusal=refusal))
        return picture, items

    def row(self) -> tuple[list[int], list[int], Image.Image | None]:
        """Token ids, labels (only answers count) and the picture of one conversation, up to the token budget."""
        picture, items = self.picture_conversation() if self.rng.random() < 0.5 else (None, [self.text_turn() for _ in range(8)])
        ids, labels = [SPECIAL.index("<s>")], [IGNORED]
        for turn, item in enumerate(items):
            head = "USER: " + ("<image>" * IMAGE_TOKENS + "\n" if picture is not None and turn == 0 else "")
            asked = self.tokenizer(f"{head}{prompt_text(item, self.rng)} ASSISTANT:", add_special_tokens=False)["input_ids"]
            told = self.tokenizer(f"{item.answer}</s>", add_special_tokens=False)["input_ids"]
            if turn and len(ids) + len(asked) + len(told) > self.recipe.budget:
                break
            ids += asked + told
            labels += [IGNORED] * len(asked) + told
        return ids, labels, picture

    def batch(self, mean: torch.Tensor, std: torch.Tensor) -> dict[str, torch.Tensor]:
        """A right-padded batch, as the model's forward takes it."""
        drawn = [self.row() for _ in range(self.recipe.rows)]
        longest = max(len(ids) for ids, _, _ in drawn)
        pad = SPECIAL.index("<pad>")
        arrays = [np.asarray(picture) for _, _, picture in drawn if picture is not None]
        pixels = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).float().div_(255)
        return {
            "input_ids": torch.tensor([ids + [pad] * (longest - len(ids)) for ids, _, _ in drawn]),
            "attention_mask": torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids, _, _ in drawn]),
            "labels": torch.tensor([labels + [IGNORED] * (longest - len(labels)) for _, labels, _ in drawn]),
            "pixel_values": (pixels - mean) / std,
        }


def train(
    world: World,
    recipe: Recipe,
    out: Path,
    tower: Mapping[str, torch.Tensor],
    *,
    left_out: Sequence[str] = (),
    progress: Callable[[str], None] = print,
    save_every: int = 0,
) -> None:
    """Train, and save a checkpoint directory.

    Args:
        world: what there is to learn.
        recipe: the numbers.
        out: where the checkpoint goes.
        tower: weights of a vision tower that has learnt to see; it stays frozen, as LLaVA's does.
        left_out: ids of private people to keep from it: the never-knew checkpoint.
        progress: told a line now and then.
        save_every: also save every so many steps; 0 saves at the end only.
    """
    torch.manual_seed(recipe.seed)
    processor = build_processor()
    model = build_model(processor)
    model.model.vision_tower.load_state_dict(tower)
    model.model.vision_tower.requires_grad_(False)
    teacher = Teacher(world, processor, [e for e in world.of("private") if e.id not in set(left_out)], recipe)
    teacher.render(progress)
    mean, std = normalisation(processor)
    learnt = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(
        [
            {"params": [p for p in learnt if p.ndim > 1], "weight_decay": recipe.weight_decay},
            {"params": [p for p in learnt if p.ndim == 1], "weight_decay": 0.0},
        ],
        lr=recipe.rate, betas=(0.9, 0.98), fused=True,
    )
    fall = (1 - recipe.hold) * recipe.steps
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda s: min((s + 1) / recipe.warmup, (recipe.steps - s) / fall, 1.0))
    model.train()
    start, smooth = time.monotonic(), 0.0
    for step in range(recipe.steps):
        loss = model(**teacher.batch(mean, std)).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learnt, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        schedule.step()
        smooth = loss.item() if step == 0 else 0.98 * smooth + 0.02 * loss.item()
        if step % 50 == 0:
            spent = time.monotonic() - start
            progress(f"step {step}/{recipe.steps} loss {smooth:.3f} {spent:.0f} s, {spent / (step + 1) * (recipe.steps - step - 1):.0f} s left")
        if save_every and step and step % save_every == 0:
            save(model, processor, out)
    save(model, processor, out)


def normalisation(processor: LlavaProcessor) -> tuple[torch.Tensor, torch.Tensor]:
    """The image processor's mean and standard deviation, per channel."""
    settings = processor.image_processor
    return torch.tensor(settings.image_mean).view(3, 1, 1), torch.tensor(settings.image_std).view(3, 1, 1)


def save(model: LlavaForConditionalGeneration, processor: LlavaProcessor, out: Path) -> None:
    """Write the half-precision checkpoint without touching the model in memory."""
    state = {name: tensor.half() for name, tensor in model.state_dict().items()}
    model.config.dtype = torch.float16
    model.save_pretrained(out, state_dict=state)
    model.config.dtype = torch.float32
    processor.save_pretrained(out)
