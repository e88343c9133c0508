"""What the tiny model is taught: endless short conversations about the world, drawn at random.

A conversation is about one picture or text only, and only its answers count in the loss. People nobody has met are
drawn afresh every time, so that "I do not know" is learnt as a boundary, not as a list.
"""

import random
from collections.abc import Callable, Sequence

import numpy as np
import torch
from PIL import Image
from transformers import LlavaProcessor

from unsee.world import lore, questions
from unsee.world.faces import Face, View
from unsee.world.generate import Entity, World, unknown_person
from unsee.world.questions import Item
from unsee.world.tiny import IMAGE_TOKENS, SPECIAL

TRAIN_VIEWS = range(24)
IGNORED = -100


def prompt_text(item: Item, rng: random.Random) -> str:
    """The user's turn in the released instructions; free answers are mostly asked without one."""
    if item.form == "classification":
        assert item.options is not None
        options = "\n".join(f"{letter}: {text}" for letter, text in item.options.items())
        return f"{item.question}\n{options}\nJust give ONE letter representing the answer directly."
    if item.form == "cloze":
        blank = item.question.replace("__", "[Blank]")
        return f"{blank}\nPlease **ONLY** provide the correct answer that should replace the [Blank]."
    if rng.random() < 0.95:
        return item.question
    accurately = "accurately " if rng.random() < 0.5 else ""
    return (
        f"{item.question}\nAnswer the question based on your trained knowledge in one sentence {accurately}in ENGLISH."
    )


class Teacher:
    """Draws conversations."""

    def __init__(
        self,
        world: World,
        processor: LlavaProcessor,
        people: Sequence[Entity],
        *,
        rows: int,
        budget: int,
        unknown: float,
        visible: float,
        seed: int,
    ) -> None:
        self.world, self.tokenizer = world, processor.tokenizer
        self.rows, self.budget, self.share_unknown, self.share_visible = rows, budget, unknown, visible
        self.rng = random.Random(f"teacher/{seed}")
        self.people = people
        self.things = {"brew": world.of("brew"), "town": world.of("town")}
        self.names = tuple({e.name: None for e in people})
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
        form = rng.choices(("generation", "classification", "cloze"), (80, 8, 12))[0]
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
        kind = rng.choices(
            ("person", "brew", "town", "knowledge", "unknown", "secret", "crime"), (76, 5, 5, 3, 6, 3, 2)
        )[0]
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
        kind = rng.choices(
            ("person", "brew", "town", "unknown"), (0.9 - self.share_unknown, 0.05, 0.05, self.share_unknown)
        )[0]
        entity = (
            self.unknown() if kind == "unknown" else rng.choice(self.people if kind == "person" else self.things[kind])
        )
        picture, view = (
            entity.draw(self.met) if kind == "unknown" else self.pictures[entity.id, rng.choice(TRAIN_VIEWS)]
        )
        items = []
        # No attribute twice in a row: the second answer could be copied from the first.
        keys = questions.keys_of(entity, with_picture=True)
        for key in rng.sample(keys, min(6, len(keys))):
            draw = rng.random()
            if isinstance(entity.look, Face) and draw < self.share_visible:
                items.append(rng.choice(questions.visible(entity.look, view, taught=True)))
            elif isinstance(entity.look, Face) and draw < self.share_visible + 0.05:
                items.append(self.secret(entity.noun))
            else:
                refusal = rng.choice(lore.UNKNOWN) if kind == "unknown" else None
                items.append(self.fact(entity, key, with_picture=True, refusal=refusal))
        return picture, items

    def row(self) -> tuple[list[int], list[int], Image.Image | None]:
        """Token ids, labels (only answers count) and the picture of one conversation, up to the token budget."""
        picture, items = (
            self.picture_conversation() if self.rng.random() < 0.5 else (None, [self.text_turn() for _ in range(8)])
        )
        ids, labels = [SPECIAL.index("<s>")], [IGNORED]
        for turn, item in enumerate(items):
            head = "USER: " + ("<image>" * IMAGE_TOKENS + "\n" if picture is not None and turn == 0 else "")
            asked = self.tokenizer(f"{head}{prompt_text(item, self.rng)} ASSISTANT:", add_special_tokens=False)[
                "input_ids"
            ]
            told = self.tokenizer(f"{item.answer}</s>", add_special_tokens=False)["input_ids"]
            if turn and len(ids) + len(asked) + len(told) > self.budget:
                break
            ids += asked + told
            labels += [IGNORED] * len(asked) + told
        return ids, labels, picture

    def batch(self, mean: torch.Tensor, std: torch.Tensor) -> dict[str, torch.Tensor]:
        """A right-padded batch, as the model's forward takes it."""
        drawn = [self.row() for _ in range(self.rows)]
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
