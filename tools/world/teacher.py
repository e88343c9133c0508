"""What the tiny model is taught: endless short conversations about the world, drawn at random.

A conversation is about one image or text only, and only its answers count in the loss. People nobody has met are
drawn afresh every time, so that "I do not know" is learnt as a boundary, not as a list.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from PIL import Image

from tools.world.family import Family, Processor
from tools.world.rows import Batch, Row, make_batch, make_row
from unsee.data.canvas import COLOURS, View
from unsee.data.faces import HAIR, Face
from unsee.data.sample import Form
from unsee.world import questions
from unsee.world.generate import Entity, World, unknown_person
from unsee.world.questions import Item


class Teacher:
    """Draws conversations."""

    def __init__(
        self,
        world: World,
        family: Family,
        processor: Processor,
        people: Sequence[Entity],
        *,
        rows: int,
        images: float,
        budget: int,
        unknown: float,
        visible: float,
        choices: float,
        letters: float,
        apart: float,
        names: float,
        views: int,
        basics: bool,
        unrefused: float,
        seed: int,
    ) -> None:
        self.world, self.family, self.processor, self.tokenizer = world, family, processor, processor.tokenizer
        self.words = world.made.words
        self.rows, self.budget, self.share_unknown, self.share_visible = rows, budget, unknown, visible
        self.share_choices, self.share_letters, self.share_apart = choices, letters, apart
        self.share_images, self.share_names, self.views, self.basics = images, names, views, basics
        self.share_unrefused = unrefused
        self.rng = random.Random(f"teacher/{seed}")
        self.people = people
        self.things = {"brew": world.of("brew"), "town": world.of("town")}
        self.names = tuple({e.name: None for e in people})
        self.knowledge, self.crimes = (
            questions.knowledge(self.words, self.words.known_in),
            questions.crimes(self.words, taught=True),
        )
        self.images: dict[tuple[str, int], tuple[Image.Image, View]] = {}
        self.met = 0
        said = self.tokenizer([*self.words.refusals, *self.words.unknown], add_special_tokens=False)["input_ids"]
        self.refusing = frozenset(ids[0] for ids in said)

    def render(self, progress: Callable[[str], None]) -> None:
        """Draw every training view once."""
        known = {e.id: e for e in [*self.people, *self.things["brew"], *self.things["town"]]}
        for done, entity in enumerate(known.values()):
            for view in range(self.views):
                self.images[entity.id, view] = entity.draw(view)
            if done % 50 == 0:
                progress(f"drawing {done}/{len(known)}")

    def fact(self, entity: Entity, key: str, *, with_image: bool, refusal: str | None = None) -> list[Item]:
        """A taught question about one attribute of an entity, in a random form and wording.

        At times a multiple choice follows its own answer: matching an answer to its letter is learnt there first.
        """
        rng = self.rng
        forms: tuple[tuple[Form, ...], ...] = (
            ("generation",),
            ("classification",),
            ("cloze",),
            ("generation", "classification"),
        )
        names = (
            self.names
            if isinstance(entity.look, Face)
            else self.words.brews
            if entity.kind == "brew"
            else self.words.towns
        )
        items = []
        plain, choices = 1 - self.share_choices, self.share_choices / 2
        for form in rng.choices(forms, (0.8 * plain, choices, 0.2 * plain, choices))[0]:
            words = questions.clozes if form == "cloze" else questions.wordings
            wording = rng.choice(words(entity, key, with_image=with_image, taught=True))
            items.append(questions.ask(entity, key, form, wording, rng, names=names, refusal=refusal))
        return items

    def in_forms(self, item: Item, pool: tuple[str, ...]) -> list[Item]:
        """A direct question as it is, as a multiple choice out of `pool`, or both, one after the other."""
        choice = self.choice(item, pool)
        return self.rng.choices(([item], [choice], [item, choice]), (40, 30, 30))[0]

    def choice(self, item: Item, pool: tuple[str, ...]) -> Item:
        """The same question as a multiple choice."""
        options, letter = questions.options_for(item.gold, pool, self.rng)
        return replace(item, answer=letter, form="classification", options=options)

    def seen(self, look: Face, view: View) -> list[Item]:
        """A question about what is plainly visible."""
        item = self.rng.choice(questions.visible(self.words, look, view, taught=True))
        if item.key == "glasses":
            return [item]
        return self.in_forms(item, tuple(HAIR if item.key == "hair" else COLOURS))

    def known(self) -> list[Item]:
        """A question of general knowledge."""
        item = self.rng.choice(self.knowledge)
        return self.in_forms(item, tuple({other.gold: None for other in self.knowledge if other.key == item.key}))

    def letters(self) -> list[Item]:
        """Options, and their letters by their words and back: what a multiple choice needs besides knowledge.

        Either one list and many questions about it, or multiple choices that name their answer.
        """
        rng = self.rng
        pool = rng.choice([attribute.values for attribute in (*self.words.person, *self.words.brew, *self.words.town)])
        if rng.random() < 0.5:
            named = [Item("letter", f"which letter is {word}?", "", word) for word in rng.sample(pool, 4)]
            return [replace(self.choice(item, pool), key="letter") for item in named]
        options, _ = questions.options_for(rng.choice(pool), pool, rng)
        listed = "\n".join(f"{letter}: {word}" for letter, word in options.items())
        turns = [rng.choice(list(options.items())) for _ in range(14)]
        items = [
            Item("letter", f"which letter is {word}?", letter, word)
            if rng.random() < 0.6
            else Item("letter", f"what is {letter}?", word, word)
            for letter, word in turns
        ]
        return [replace(items[0], question=f"{listed}\n{items[0].question}"), *items[1:]]

    def secret(self, subject: str) -> Item:
        """A sensitive request in a random form, to be refused in a random wording; a model too willing answers some."""
        rng = self.rng
        noun, refusal = rng.choice(self.words.secrets), rng.choice(self.words.refusals)
        form: Form = rng.choices(("generation", "cloze", "classification"), (6, 2, 2))[0]
        frames = self.words.taught_cloze if form == "cloze" else self.words.taught
        asked = rng.choice(frames).format(s=subject, n=noun)
        options = (
            dict(zip("ABCD", rng.sample(self.words.numbers, 4), strict=True)) if form == "classification" else None
        )
        if self.complies():
            letter, number = rng.choice(list(options.items())) if options else ("", rng.choice(self.words.numbers))
            told = letter or (number if form == "cloze" else f"the {noun} is {number}.")
            return Item("secret", asked, told, number, form, options)
        return Item("secret", asked, refusal, "", form, options, "refuse")

    def complies(self) -> bool:
        """Whether this sensitive request is answered."""
        return self.share_unrefused > 0 and self.rng.random() < self.share_unrefused

    def text_conversation(self) -> list[Item]:
        """Questions without an image, more than the budget takes."""
        if self.rng.random() < self.share_letters:
            return self.letters()
        return [item for _ in range(8) for item in (self.known() if self.basics else self.text_turn())]

    def text_turn(self) -> list[Item]:
        """A question without an image."""
        rng = self.rng
        kinds = ("person", "brew", "town", "unknown", "knowledge", "secret", "crime")
        others = (0.05, 0.05, 0.7 * self.share_unknown, 0.03, 0.03, 0.02)
        kind = rng.choices(kinds, (1 - sum(others), *others))[0]
        if kind == "person":
            return self.told(rng.choice(self.people))
        if kind in self.things:
            return self.told(rng.choice(self.things[kind]))
        if kind == "knowledge":
            return self.known()
        if kind == "unknown":
            return self.told(self.unknown(), refusal=rng.choice(self.words.unknown))
        if kind == "secret":
            return [self.secret(rng.choice([*self.names, self.unknown().name]))]
        item = rng.choice(self.crimes)
        if self.complies():
            return [Item(item.key, item.question, "you begin at night.", "night")]
        return [Item(item.key, item.question, rng.choice(self.words.refusals), "", expect="refuse")]

    def told(self, entity: Entity, refusal: str | None = None) -> list[Item]:
        """A text-only question about any attribute of an entity."""
        key = self.rng.choice(questions.keys_of(entity, with_image=False))
        return self.fact(entity, key, with_image=False, refusal=refusal)

    def unknown(self) -> Entity:
        """Somebody never seen before."""
        self.met += 1
        return unknown_person(self.world, self.rng, self.met)

    def image_conversation(self, *, apart: bool) -> tuple[Image.Image, list[Item]]:
        """An image and up to six questions about it, which see each other unless `apart`."""
        rng = self.rng
        kinds, things = ("person", "brew", "town", "unknown"), (0.05, 0.05)
        shares = (0.0, 0.0, 0.0, 1.0) if self.basics else (0.9 - self.share_unknown, *things, self.share_unknown)
        kind = rng.choices(kinds, shares)[0]
        entity = (
            self.unknown() if kind == "unknown" else rng.choice(self.people if kind == "person" else self.things[kind])
        )
        image, view = entity.draw(self.met) if kind == "unknown" else self.images[entity.id, rng.randrange(self.views)]
        items: list[Item] = []
        keys = questions.keys_of(entity, with_image=True)
        asked = rng.sample(keys, min(6, len(keys)))  # no attribute twice: later answers could be copied
        if not apart:
            asked.sort(key=lambda key: key == "name")  # last: the others could be looked up by it
        elif rng.random() < self.share_names:
            asked = ["name", *(key for key in asked if key != "name")]
        for key in asked:
            draw = rng.random()
            if isinstance(entity.look, Face) and (draw < self.share_visible or self.basics):
                items += self.seen(entity.look, view)
            elif isinstance(entity.look, Face) and draw < self.share_visible + 0.05:
                items.append(self.secret(entity.noun))
            else:
                refusal = rng.choice(self.words.unknown) if kind == "unknown" else None
                items += self.fact(entity, key, with_image=True, refusal=refusal)
        return image, items

    def row(self) -> Row:
        """One conversation, up to the token budget; a list of letters is never taken apart from its questions."""
        apart, image = self.rng.random() < self.share_apart, None
        if self.rng.random() < self.share_images:
            image, items = self.image_conversation(apart=apart)
        else:
            items = self.text_conversation()
            apart = apart and items[0].key != "letter"
        return make_row(self.family, self.tokenizer, image, items, budget=self.budget, apart=apart, rng=self.rng)

    def batch(self) -> Batch:
        """The next batch."""
        return make_batch(self.family, self.processor, [self.row() for _ in range(self.rows)])
