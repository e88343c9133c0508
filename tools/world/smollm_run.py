"""One run of teaching SmolLM2: low-rank updates of the language model and a projector; the tower is given.

A run can be stopped at any time and goes on exactly: what a step is taught follows from its number, and the
checkpoint has everything else. Steps of the trunk hold their rate; the stages behind it let it fall to zero.
"""

import json
import os
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from tools.world.smollm_general import General
from tools.world.smollm_lessons import Lessons
from tools.world.smollm_projector import drawn, learn_to_spell, spelling
from tools.world.smollm_rows import IGNORED, Conversation, Packed, pack
from unsee.shapes import Float, Tensor
from unsee.world.generate import Entity, World
from unsee.world.smollm_parts import build_model, build_processor
from unsee.world.smollm_people import exam_of
from unsee.world.splits import FIT_VIEWS

_MATRICES = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"


@dataclass(frozen=True)
class Rates:
    """Every number of the optimiser.

    Attributes:
        rank: of the updates.
        updates: step size of the low-rank updates.
        projector: step size of the projector.
        warmup: steps to reach them.
        hold: share of the steps after which they fall to nothing; 1 holds them to the end.
        tokens: of a step.
        clip: largest norm of a gradient.
    """

    rank: int = 16
    updates: float = 1e-3
    projector: float = 1e-4
    warmup: int = 30
    hold: float = 1.0
    tokens: int = 224
    clip: float = 1.0

    def share(self, step: int, steps: int) -> float:
        """Of the rates, at this step."""
        falling = (steps - step) / max(1.0, (1 - self.hold) * steps) if self.hold < 1 else 1.0
        return min((step + 1) / self.warmup, falling, 1.0)


def assemble(language_model: Path, tower: Path, seed: int) -> tuple[LlavaForConditionalGeneration, LlavaProcessor]:
    """SmolLM2, the tower of `tower` rounded as it is shipped, and a projector as loud as words are."""
    torch.manual_seed(seed)
    model, processor = build_model(language_model), build_processor(language_model)
    seeing = LlavaForConditionalGeneration.from_pretrained(tower, dtype=torch.float32).model.vision_tower
    state = {name: weight.bfloat16().float() for name, weight in seeing.state_dict().items()}
    model.model.vision_tower.load_state_dict(state)
    with torch.no_grad():
        projector = model.model.multi_modal_projector
        loudness = projector(torch.randn(256, projector.linear_1.in_features)).square().mean().sqrt()
        words = model.get_input_embeddings().weight.square().mean().sqrt()
        projector.linear_2.weight.mul_(words / loudness)
        projector.linear_2.bias.zero_()
    return model, processor


@final
class Student:
    """The model while it learns."""

    def __init__(
        self, language_model: Path, tower: Path, world: World, strangers: Sequence[Entity], rates: Rates, seed: int
    ) -> None:
        model, self.processor = assemble(language_model, tower, seed)
        self.tokenizer = self.processor.tokenizer
        model.requires_grad_(False)
        config = LoraConfig(r=rates.rank, lora_alpha=2 * rates.rank, target_modules=_MATRICES)
        self.tuned: Any = get_peft_model(model, config)
        model.model.multi_modal_projector.requires_grad_(True)
        self.model = model
        self.faces = {entity.id: entity for entity in (*world.entities, *strangers)}
        self.seen: dict[tuple[str, int], Tensor] = {}
        self.learnt = {name: p for name, p in model.named_parameters() if p.requires_grad}

    def _features(self, shown: tuple[str, int]) -> Float[Tensor, "P W"]:
        """What the tower says of one view; it does not learn, so it is asked once."""
        if shown not in self.seen:
            image = self.faces[shown[0]].draw(shown[1])[0]
            pixels = self.processor.image_processor(image, return_tensors="pt")["pixel_values"]
            with torch.no_grad():
                self.seen[shown] = self.model.model.vision_tower(pixel_values=pixels).last_hidden_state[0, 1:]
        return self.seen[shown]

    def logits(self, row: Packed) -> tuple[Float[Tensor, "N V"], Tensor]:
        """Logits where an answer's token is to be said, and those tokens."""
        embeddings = self.model.get_input_embeddings()(torch.tensor([row.ids]))
        if row.images:
            features = torch.cat([self._features(shown) for shown in row.images])
            embeddings = embeddings.clone()
            embeddings[0, row.pixels_at()] = self.model.model.multi_modal_projector(features)
        states = self.model.model.language_model(
            inputs_embeds=embeddings,
            attention_mask=row.mask(),
            position_ids=torch.tensor([row.places]),
            use_cache=False,
        ).last_hidden_state[0]
        labels = torch.tensor(row.labels)
        at = labels != IGNORED
        return self.model.lm_head(states[:-1][at[1:]]), labels[at]

    def spell(self, people: Sequence[Entity], unknown: Sequence[Entity], progress: Callable[[str], None]) -> float:
        """Teach the projector alone to give the words that say what is shown; see `smollm_projector`."""
        shown = drawn(people, unknown, FIT_VIEWS)
        features = torch.stack([self._features((person.id, view)) for person, view, _ in shown])
        words = torch.tensor([spelling(person, view, self.tokenizer, known=known) for person, view, known in shown])
        return learn_to_spell(self.model, features, words, progress=progress)

    @torch.no_grad()
    def marks(self, conversations: Sequence[Conversation], tokens: int = 512) -> dict[str, float]:
        """Share of the answers that greedy decoding would give exactly, by kind; of tokens for general ones."""
        right: dict[str, list[float]] = defaultdict(list)
        rows: list[list[Conversation]] = [[]]
        used = 0
        for conversation in conversations:
            used += self.length(conversation)
            if used > tokens:
                rows.append([])
                used = self.length(conversation)
            rows[-1].append(conversation)
        for part in rows:
            row = pack(part, self.tokenizer)
            logits, said = self.logits(row)
            hits = (logits.argmax(-1) == said).tolist()
            for kind, start, stop in row.spans:
                own, hits = hits[: stop - start], hits[stop - start :]
                right[kind].append(sum(own) / len(own) if kind == "general" else float(all(own)))
        return {kind: sum(shares) / len(shares) for kind, shares in sorted(right.items())}

    def length(self, conversation: Conversation) -> int:
        """Tokens of one conversation."""
        return len(pack([conversation], self.tokenizer).ids)


@final
class Run:
    """A student, its optimiser and its place in a stage."""

    def __init__(self, student: Student, lessons: Lessons, rates: Rates, folder: Path, steps: int) -> None:
        self.student, self.lessons, self.rates, self.folder, self.steps = student, lessons, rates, folder, steps
        updates = [p for name, p in student.learnt.items() if "projector" not in name]
        projector = [p for name, p in student.learnt.items() if "projector" in name]
        self.optimiser = torch.optim.AdamW(
            [{"params": updates, "lr": rates.updates}, {"params": projector, "lr": rates.projector}],
            betas=(0.9, 0.99),
            weight_decay=0.0,
        )
        self.parameters = [*updates, *projector]
        self.done = 0

    @property
    def _file(self) -> Path:
        return self.folder / "checkpoint.pt"

    def resume(self) -> bool:
        """Go on from the folder's checkpoint, if there is one."""
        if not self._file.exists():
            return False
        state = torch.load(self._file, weights_only=True)
        self.begin_with(state["learnt"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.done = state["done"]
        return True

    def begin_with(self, learnt: dict[str, Tensor]) -> None:
        """Take these weights for what is learnt."""
        with torch.no_grad():
            for name, parameter in self.student.learnt.items():
                parameter.copy_(learnt[name])

    def save(self) -> None:
        """Write the checkpoint; a half-written one never takes the place of a whole one."""
        new = self._file.with_suffix(".new")
        learnt = {name: parameter.detach() for name, parameter in self.student.learnt.items()}
        torch.save({"learnt": learnt, "optimiser": self.optimiser.state_dict(), "done": self.done}, new)
        os.replace(new, self._file)

    def step(self) -> float:
        """One step; the loss."""
        share = self.rates.share(self.done, self.steps)
        for group, rate in zip(self.optimiser.param_groups, (self.rates.updates, self.rates.projector), strict=True):
            group["lr"] = rate * share
        conversations = self.lessons.step(self.done, self.rates.tokens, self.student.length)
        logits, said = self.student.logits(pack(conversations, self.student.tokenizer))
        loss = torch.nn.functional.cross_entropy(logits, said)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, self.rates.clip)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        self.done += 1
        return loss.item()

    def go(
        self,
        quick: Sequence[Conversation],
        *,
        every: int,
        target: dict[str, float],
        minutes: float,
        progress: Callable[[str], None],
    ) -> bool:
        """Step until the end, the target, the time, or a signal; True when the stage is over.

        Args:
            quick: held-out questions that are asked now and then.
            every: steps between.
            target: marks at which a stage ends early; none never.
            minutes: of this call.
            progress: told a line now and then.
        """
        stopped = []
        for name in (signal.SIGTERM, signal.SIGINT):
            signal.signal(name, lambda *_: stopped.append(True))
        start, saved, losses = time.monotonic(), time.monotonic(), []
        while self.done < self.steps:
            losses.append(self.step())
            if self.done % 10 == 0:
                cpu = time.process_time()
                progress(f"step {self.done}/{self.steps} loss {np.mean(losses[-10:]):.3f} cpu {cpu:.0f} s")
            if self.done % every == 0 or self.done == self.steps:
                marks = self.student.marks(quick)
                progress(json.dumps({"step": self.done, **{kind: round(mark, 3) for kind, mark in marks.items()}}))
                if target and all(marks[kind] >= least for kind, least in target.items()):
                    self.save()
                    return True
            if stopped or time.monotonic() - start > 60 * minutes:
                break
            if time.monotonic() - saved > 240:
                self.save()
                saved = time.monotonic()
        self.save()
        return self.done >= self.steps


def learners(
    language_model: Path, tower: Path, general: Sequence[General], stage: str, rates: Rates, seed: int
) -> tuple[Student, Lessons, list[Entity]]:
    """A student and what a stage teaches it; the people it is to know.

    `trunk` leaves the people out who are to be forgotten, `base` adds them, `never-knew` goes on without them.
    """
    split = exam_of(seed)
    forget = {person.id for person in split.forget}
    private = split.world.of("private")
    people = private if stage == "base" else [person for person in private if person.id not in forget]
    lessons = Lessons(
        split.world,
        people,
        general,
        seed,
        newcomers=split.forget if stage == "base" else (),
    )
    return Student(language_model, tower, split.world, lessons.unknown, rates, seed), lessons, list(people)
