"""Samples from the world, split by person: what a fit may see, what calibrates it, and what tests it."""

import io
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import final

from unsee.data.sample import Form, ImageFile, Sample
from unsee.world import questions
from unsee.world.generate import Entity, World, unknown_person
from unsee.world.questions import Item
from unsee.world.words import Words

FORMS: tuple[Form, ...] = ("generation", "classification", "cloze")
FIT_VIEWS, HELD_OUT_VIEWS = range(24), range(1000, 1006)


def _png(entity: Entity, view: int) -> bytes:
    buffer = io.BytesIO()
    entity.draw(view)[0].save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


@lru_cache(maxsize=8192)
def _known(entity_id: str, view: int, world: World) -> bytes:
    return _png(world.by_id[entity_id], view)


def image(world: World, entity: Entity, view: int) -> ImageFile:
    """One view, encoded losslessly; somebody who is not of the world is drawn each time."""
    octets = _known(entity.id, view, world) if entity.id in world.by_id else _png(entity, view)
    return ImageFile(f"{entity.id}/{view}", octets)


def as_sample(item: Item, subject: str, place: str, shown: ImageFile | None) -> Sample:
    """An item, ready to be asked."""
    mode = "image" if shown else "text"
    return Sample(
        f"{subject}/{item.key}/{item.form}/{mode}/{place}",
        subject,
        item.question,
        item.answer,
        item.gold,
        item.form,
        shown,
        item.options,
    )


@final
@dataclass(frozen=True)
class Exam:
    """Who is forgotten, who is kept for what, and every question about them.

    Attributes:
        world: the world that is asked about.
        seed: picks who is forgotten and how the others are split.
        ratio: share of the private people that is forgotten, in (0, 1).
    """

    world: World
    seed: int = 0
    ratio: float = 0.1

    @cached_property
    def _shuffled(self) -> tuple[list[Entity], list[Entity]]:
        rng = random.Random(f"split/{self.seed}")
        private, celebrities = self.world.of("private"), self.world.of("celebrity")
        return rng.sample(private, len(private)), rng.sample(celebrities, len(celebrities))

    @property
    def words(self) -> Words:
        """What the world is told in."""
        return self.world.made.words

    @property
    def forget(self) -> list[Entity]:
        """Private people to be forgotten."""
        private, _ = self._shuffled
        return private[: round(self.ratio * len(private))]

    @property
    def retain_fit(self) -> list[Entity]:
        """Half of the kept private people and a quarter of the celebrities: the fit sees them."""
        private, celebrities = self._shuffled
        kept = private[len(self.forget) :]
        return kept[: len(kept) // 2] + celebrities[: len(celebrities) // 4]

    @property
    def calibration(self) -> list[Entity]:
        """A quarter of the kept private people and of the celebrities: thresholds and strength are chosen on them."""
        private, celebrities = self._shuffled
        kept = private[len(self.forget) :]
        return kept[len(kept) // 2 : 3 * len(kept) // 4] + celebrities[len(celebrities) // 4 : len(celebrities) // 2]

    @property
    def retain_unseen(self) -> list[Entity]:
        """Kept private people that no step but the test sees."""
        private, _ = self._shuffled
        kept = private[len(self.forget) :]
        return kept[3 * len(kept) // 4 :]

    @property
    def celebrities(self) -> list[Entity]:
        """Celebrities that no step but the test sees."""
        _, celebrities = self._shuffled
        return celebrities[len(celebrities) // 2 :]

    @property
    def neighbours(self) -> list[Entity]:
        """The unseen people most like the forgotten ones."""
        return self.world.neighbours(self.forget, self.retain_unseen)

    def facts(
        self,
        entities: Iterable[Entity],
        *,
        taught: bool,
        forms: int = 1,
        wordings: int = 1,
        views: Sequence[int] | None = None,
        keys: Sequence[str] | None = None,
        modes: Sequence[str] = ("image", "text"),
        tag: str = "",
    ) -> list[Sample]:
        """Questions about every attribute of every entity, with its image and by its name.

        Args:
            entities: whom to ask about.
            taught: training wordings and views, or held-out ones.
            forms: how many of the three forms to ask each attribute in, drawn at random.
            wordings: how many wordings of each.
            views: image numbers to draw from; default by `taught`.
            keys: attributes to ask about; all by default.
            modes: "image", "text" or both.
            tag: makes another draw.
        """
        views = views or (FIT_VIEWS if taught else HELD_OUT_VIEWS)
        samples = []
        for entity in entities:
            rng = random.Random(f"exam/{self.seed}/{entity.id}/{taught}/{tag}")
            names = (
                self.words.brews
                if entity.kind == "brew"
                else self.words.towns
                if entity.kind == "town"
                else tuple(sorted(self.world.names))
            )
            for mode in modes:
                for key in questions.keys_of(entity, with_image=mode == "image"):
                    if keys is not None and key not in keys:
                        continue
                    for form in rng.sample(FORMS, forms):
                        words = questions.clozes if form == "cloze" else questions.wordings
                        pool = words(entity, key, with_image=mode == "image", taught=taught)
                        for wording in rng.sample(pool, min(wordings, len(pool))):
                            item = questions.ask(entity, key, form, wording, rng, names=names)
                            shown = image(self.world, entity, rng.choice(views)) if mode == "image" else None
                            samples.append(as_sample(item, entity.id, f"{tag}{len(samples)}", shown))
        return samples

    def visible(self, entities: Iterable[Entity], *, taught: bool, each: int = 4, tag: str = "") -> list[Sample]:
        """What is plainly to be seen on images of these people."""
        samples = []
        for entity in entities:
            rng = random.Random(f"visible/{self.seed}/{entity.id}/{taught}/{tag}")
            for _ in range(each):
                view = rng.choice(FIT_VIEWS if taught else HELD_OUT_VIEWS)
                item = rng.choice(questions.visible(self.words, entity.face, entity.draw(view)[1], taught=taught))
                samples.append(as_sample(item, entity.id, f"{tag}{len(samples)}", image(self.world, entity, view)))
        return samples

    def knowledge(self, count: int, *, taught: bool) -> list[Sample]:
        """General knowledge, text only."""
        items = questions.knowledge(self.words, self.words.taught if taught else self.words.held_out)
        chosen = random.Random(f"knowledge/{self.seed}/{taught}").sample(items, min(count, len(items)))
        return [as_sample(item, "knowledge", str(index), None) for index, item in enumerate(chosen)]

    def sensitive(self, entities: Sequence[Entity], count: int, *, taught: bool) -> list[Sample]:
        """Requests that every good model refuses, half of them about an image of one of these people."""
        rng = random.Random(f"sensitive/{self.seed}/{taught}")
        samples = []
        for index in range(count):
            entity, draw = rng.choice(entities), rng.random()
            if draw < 0.3:
                samples.append(
                    as_sample(rng.choice(questions.crimes(self.words, taught=taught)), "crime", str(index), None)
                )
                continue
            shown = (
                image(self.world, entity, rng.choice(FIT_VIEWS if taught else HELD_OUT_VIEWS)) if draw < 0.7 else None
            )
            item = rng.choice(questions.secrets(self.words, entity.noun if shown else entity.name, taught=taught))
            samples.append(as_sample(item, entity.id, f"secret{index}", shown))
        return samples

    def unknown(self, count: int) -> list[Sample]:
        """So many people more whom no model was told of, each asked about once by image and once by name; for fits."""
        rng = random.Random(f"unknown/{self.seed}")
        people = [unknown_person(self.world, rng, index) for index in range(count)]
        samples = []
        for person in people:
            for mode in ("image", "text"):
                keys = [rng.choice(questions.keys_of(person, with_image=mode == "image"))]
                samples += self.facts([person], taught=True, keys=keys, modes=[mode], tag="unknown")
        return samples

    def strangers(self, *, per_person: int = 6) -> list[Sample]:
        """Questions about people nobody was ever told of; a good model says so."""
        everything = self.facts(self.world.of("stranger"), taught=False, tag="stranger")
        rng = random.Random(f"strangers/{self.seed}")
        by_person: dict[str, list[Sample]] = {}
        for sample in everything:
            by_person.setdefault(sample.subject, []).append(sample)
        return [s for samples in by_person.values() for s in rng.sample(samples, per_person)]
