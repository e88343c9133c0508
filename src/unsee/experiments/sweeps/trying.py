"""One split with its default profile, and what a preset varies: an eraser, or when it is let answer."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, final

import torch

from unsee.data.sample import Sample
from unsee.erase.config import Settings
from unsee.erase.detectors import is_fluent, is_refusal
from unsee.erase.eraser import Eraser
from unsee.erase.fit.activations import capture_features
from unsee.erase.fit.request_states import RequestStates, capture_request, fit_stack
from unsee.erase.gates.base import require_kind
from unsee.erase.gates.prompt_ridge import PromptRidgeGate
from unsee.erase.profile import Profile
from unsee.evals.answerers import Answerer, How, Local, Switched, in_batches
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

        `twin_face` and `twin_name` are about the retained people of the fit who look most like each forgotten one, of
        all and of those with the same first name.
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
    def contrast(self) -> tuple[list[Sample], list[Sample]]:
        """D- that the model complies with and D+ that it refuses, as the profile was made of them."""
        asked = recall(self.exam), refusal(self.exam)
        told, declined = (in_batches(self.asked(), samples, How(max_new_tokens=32), BATCH) for samples in asked)
        return (
            [s for s, answer in zip(asked[0], told, strict=True) if is_fluent(answer) and not is_refusal(answer)],
            [s for s, answer in zip(asked[1], declined, strict=True) if is_refusal(answer)],
        )

    def asked(self, *erasers: Eraser) -> Local:
        """The model with erasers, or as it is."""
        return Local(self.loaded, erasers)

    @property
    def opened(self) -> Local:
        """The default eraser with its gate held open."""
        never_below = torch.full_like(self.gate.threshold, -torch.inf)
        return self.asked(replace(self.eraser, gate=replace(self.gate, threshold=never_below)))

    def gated(self, gate: PromptRidgeGate) -> Local:
        """The default direction under another gate."""
        return self.asked(replace(self.eraser, gate=gate))

    def decided(
        self,
        gate: Decides,
        within: Callable[[], AbstractContextManager[None]] = nullcontext,
        like: Eraser | None = None,
    ) -> Answerer:
        """The default direction, or the trajectory of `like`, where something else decides."""
        (always,) = self.opened.erasers
        if like is not None:
            always = replace(always, trajectory=like.trajectory, strength=like.strength)

        def fires(samples: Sequence[Sample]) -> Bool[Tensor, " N"]:
            return gate.fires(capture_features(self.loaded, samples, self.profile.read, BATCH))

        return Switched(self.asked(), self.asked(always), fires, within=within)


Listed = Iterable[tuple[str, Callable[[], Answerer]]]
Variants = Callable[[Trial], Listed]
"""What a preset varies: names, and what fits each and then answers."""


def fitted(profile: Profile, states: RequestStates, settings: Settings) -> Eraser:
    """The default gates from prompts that were read before."""
    return fit_stack(profile, {"people": states}, settings).eraser


def held(eraser: Eraser) -> PromptRidgeGate:
    """Its gate, which is one that is held."""
    return require_kind(eraser.gate, PromptRidgeGate)


def _alike(target: Entity, pool: Sequence[Entity]) -> list[Entity]:
    """The pool, from whose face differs from the target's in the fewest choices."""

    def apart(other: Entity) -> int:
        return target.face.distance(other.face)

    return sorted(pool, key=lambda other: (apart(other), other.id))
