"""One split with its default profile, and answers of what a sweep varies: nothing is done again that stays as it is.

The default gate decides once per prompt and is held. So the answer under another gate is the one with the gate held
open where that gate fires, and the base model's elsewhere; and under another direction only prompts on which the gate
fires are answered differently.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, final

import torch

from unsee.data.faces import Face
from unsee.data.sample import Sample
from unsee.erase.config import Settings
from unsee.erase.detectors import is_fluent, is_refusal
from unsee.erase.eraser import Eraser
from unsee.erase.fit.activations import capture_features
from unsee.erase.fit.request_states import RequestStates, capture_request, fit_stack
from unsee.erase.gates.base import require_kind
from unsee.erase.gates.prompt_ridge import PromptRidgeGate
from unsee.erase.profile import Profile
from unsee.evals.answerers import How, Local, in_batches
from unsee.experiments.trial import Data, some
from unsee.models.load import LoadedModel
from unsee.progress import Stages, silent
from unsee.shapes import Bool, Float, Tensor
from unsee.world.export import recall, refusal
from unsee.world.generate import Entity
from unsee.world.splits import Exam

MOST = 120
"""Questions of a split at most."""
BATCH, HOW = 64, How(max_new_tokens=24)

Within = Callable[[], AbstractContextManager[None]]
Respond = Callable[[str], list[str]]
"""Answers to the questions of a split, by its name."""


class Decides(Protocol):
    """Anything that says for which prompts to steer."""

    def fires(self, features: Float[Tensor, "N R 2 D"]) -> Bool[Tensor, " N"]:
        """Whether to steer each prompt."""
        ...


@final
@dataclass(frozen=True)
class Trial:
    """One split with its default profile; variants refit what they change.

    Attributes:
        loaded: the model.
        exam: who is forgotten.
        data: questions by role.
        profile: made with the default settings.
        settings: those.
        stages: progress display.
    """

    loaded: LoadedModel
    exam: Exam
    data: Data
    profile: Profile
    settings: Settings
    stages: Stages = silent

    @property
    def people(self) -> tuple[list[Sample], list[Sample]]:
        """Questions about the forgotten people: to fit on, and to keep."""
        return self.data.requests["people"]

    @cached_property
    def splits(self) -> dict[str, list[Sample]]:
        """What can be asked, by name; a preset asks some of it.

        `twin_face` and `twin_name` are about the kept people of the fit that look most like each forgotten one, of all
        and of those with the same first name.
        """
        kept = [e for e in (*self.exam.retain_fit, *self.exam.calibration) if e.kind == "private"]
        twins: dict[str, dict[str, Entity]] = {"twin_face": {}, "twin_name": {}}
        for target in self.exam.forget:
            alike = _alike(target, kept)
            namesakes = [e for e in alike if e.name.split()[0] == target.name.split()[0]]
            twins["twin_face"][alike[0].id] = alike[0]
            twins["twin_name"].update({e.id: e for e in namesakes[:1]})
        return {
            **self.data.splits,
            **{name: self.exam.facts(found.values(), taught=False, tag=name) for name, found in twins.items()},
        }

    def asks(self, split: str) -> list[Sample]:
        """At most `MOST` questions of a split, the same for every variant."""
        return some(self.splits[split], MOST)

    @cached_property
    def states(self) -> RequestStates:
        """The request's prompts as gates see them, read once for every fit."""
        forget, keep = self.people
        return capture_request(self.loaded, self.profile, forget, keep=keep, settings=self.settings, stages=self.stages)

    @cached_property
    def eraser(self) -> Eraser:
        """The default one."""
        return fitted(self.profile, self.states, self.settings)

    @property
    def gate(self) -> PromptRidgeGate:
        """The default one's gate."""
        return held(self.eraser)

    @cached_property
    def always(self) -> Eraser:
        """The default one with its gate held open."""
        never_below = torch.full_like(self.gate.threshold, -torch.inf)
        return replace(self.eraser, gate=replace(self.gate, threshold=never_below))

    @cached_property
    def contrast(self) -> tuple[list[Sample], list[Sample]]:
        """D- that the model complies with and D+ that it refuses, as the profile was made of them."""
        asked = recall(self.exam), refusal(self.exam)
        told, declined = (self._answers_of(samples, (), How(max_new_tokens=32)) for samples in asked)
        return (
            [s for s, answer in zip(asked[0], told, strict=True) if is_fluent(answer) and not is_refusal(answer)],
            [s for s, answer in zip(asked[1], declined, strict=True) if is_refusal(answer)],
        )

    def base(self, split: str) -> list[str]:
        """Answers of the model as it is."""
        return self._said((), split, range(len(self.asks(split))))

    def opened(self, split: str) -> list[str]:
        """Answers of the default eraser with its gate held open."""
        return self._said((self.always,), split, range(len(self.asks(split))))

    def asked(self, eraser: Eraser) -> Respond:
        """Answers of any eraser."""
        return lambda split: self._answers_of(self.asks(split), [eraser])

    def decided(self, gate: Decides) -> Respond:
        """Answers of the default direction under another gate that reads the same features."""

        def respond(split: str) -> list[str]:
            fires = gate.fires(self.features(split)).nonzero().flatten().tolist()
            return _changed(self.base(split), fires, self._said((self.always,), split, fires))

        return respond

    def steered(self, like: Eraser, within: Within = nullcontext) -> Respond:
        """Answers of the default gate along another trajectory.

        Args:
            like: an eraser of the same layers that has the trajectory and its strength.
            within: what else is in force where the gate fires; it is entered once for each split.
        """
        eraser = replace(self.always, trajectory=like.trajectory, strength=like.strength)

        def respond(split: str) -> list[str]:
            base, samples = self.base(split), self.asks(split)
            fires = self.gate.fires(self.features(split)).nonzero().flatten().tolist()
            with within():
                answers = self._answers_of([samples[i] for i in fires], [eraser]) if fires else []
            return _changed(base, fires, answers)

        return respond

    def features(self, split: str) -> Float[Tensor, "N R 2 D"]:
        """What gates read of the questions of a split."""
        if split not in self._seen:
            self._seen[split] = capture_features(self.loaded, self.asks(split), self.profile.read, BATCH)
        return self._seen[split]

    def _said(self, erasers: Sequence[Eraser], split: str, rows: Sequence[int]) -> list[str]:
        """Answers to these questions of a split; each is asked once, under the default eraser and without it."""
        known, samples = self._answers.setdefault((split, len(erasers)), {}), self.asks(split)
        missing = [row for row in rows if row not in known]
        if missing:
            answers = self._answers_of([samples[row] for row in missing], erasers)
            known.update(zip(missing, answers, strict=True))
        return [known[row] for row in rows]

    def _answers_of(self, samples: Sequence[Sample], erasers: Sequence[Eraser], how: How = HOW) -> list[str]:
        return in_batches(Local(self.loaded, erasers), samples, how, BATCH)

    @cached_property
    def _seen(self) -> dict[str, Tensor]:
        return {}

    @cached_property
    def _answers(self) -> dict[tuple[str, int], dict[int, str]]:
        return {}


Variants = Callable[[Trial], Iterable[tuple[str, Callable[[], Respond]]]]
"""What a preset varies: names, and what fits each and then answers."""


def fitted(profile: Profile, states: RequestStates, settings: Settings) -> Eraser:
    """The default gates from prompts that were read before."""
    return fit_stack(profile, {"people": states}, settings).eraser


def held(eraser: Eraser) -> PromptRidgeGate:
    """Its gate, which is one that is held."""
    return require_kind(eraser.gate, PromptRidgeGate)


def _changed(answers: Sequence[str], rows: Sequence[int], others: Sequence[str]) -> list[str]:
    """The answers, with those of some rows in their places."""
    instead = dict(zip(rows, others, strict=True))
    return [instead.get(row, answer) for row, answer in enumerate(answers)]


def _alike(target: Entity, pool: Sequence[Entity]) -> list[Entity]:
    """The pool, from whose face differs from the target's in the fewest choices."""

    def apart(other: Entity) -> int:
        assert isinstance(target.look, Face) and isinstance(other.look, Face)
        return target.look.distance(other.look)

    return sorted(pool, key=lambda other: (apart(other), other.id))
