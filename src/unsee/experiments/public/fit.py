"""A profile and requests for a model that speaks natural English, fitted as anybody would by the library."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

from unsee.data.benchmarks.public_knowledge import PublicKnowledge
from unsee.data.benchmarks.public_knowledge import Subject as Topic
from unsee.data.sample import Sample, spread
from unsee.erase.config import Settings
from unsee.erase.eraser import Eraser
from unsee.erase.eraser_set import together
from unsee.erase.fit.findings import finding
from unsee.erase.fit.reply import Acceptance
from unsee.erase.fit_eraser import fit_published
from unsee.erase.fit_profile import fit_profile
from unsee.erase.fit_reply import fit_reply
from unsee.erase.fit_scope import fit_scopes
from unsee.erase.fit_subject import Subject, fit_subject
from unsee.erase.gates.null_space import RELEASED_LLAVA
from unsee.erase.gates.scope import Scope
from unsee.erase.profile import Profile
from unsee.errors import CalibrationError
from unsee.experiments.public.data import Facts, PublicSplit, in_fit
from unsee.models.load import LoadedModel
from unsee.progress import Stages

SETTINGS = Settings(
    batch_size=32, steps=1, later=0.1, strengths=(0.3, 0.45, 0.6, 0.8), calibration_prompts=16, adversarial=False
)
"""Steering at the first answer token, and a tenth of it later: whole trajectories break natural text."""
ACCEPTANCE = Acceptance(prompts=24, batch_size=24)
DECLINED = 32
"""Prompts on each side of the direction."""


@final
@dataclass(frozen=True, eq=False)
class Fitted:
    """What is in force, and what it is compared with.

    Attributes:
        profile: of the model.
        erasers: the requests, with the reply that was chosen.
        published: the preset in their place.
    """

    profile: Profile
    erasers: list[Eraser]
    published: Eraser

    def save(self, out: Path) -> None:
        """Into folders of `out`."""
        self.profile.save_pretrained(out / "profile")
        self.published.save_pretrained(out / "published")
        shutil.rmtree(out / "erasers", ignore_errors=True)  # an earlier run may have had more of them
        for number, eraser in enumerate(self.erasers):
            eraser.save_pretrained(out / "erasers" / str(number))

    @staticmethod
    def load(out: Path) -> "Fitted":
        """As `save` wrote it."""
        erasers = [
            Eraser.from_pretrained(one) for one in sorted((out / "erasers").iterdir(), key=lambda one: int(one.name))
        ]
        return Fitted(Profile.from_pretrained(out / "profile"), erasers, Eraser.from_pretrained(out / "published"))


def fit_public(
    loaded: LoadedModel, knowledge: PublicKnowledge, known: Facts, split: PublicSplit, out: Path, stages: Stages
) -> Fitted:
    """Profile, one request about all that is forgotten whole, and one for each subject of whom facts are spared.

    Args:
        loaded: the model.
        knowledge: has prompts that are declined.
        known: what the model knows, by subject: a reply is tried on nothing else.
        split: who is forgotten and kept.
        out: where the report on replies goes.
        stages: progress display.

    Raises:
        DirectionError: the model declines nothing, and unknown entities are no different to it.
        CalibrationError: no reply holds.
    """
    profile = fit_profile(
        loaded,
        retain=split.retain,
        calibration=split.calibration,
        recall=spread(split.retain, DECLINED),
        refusal=spread(knowledge.refused_samples(), DECLINED),
        unknown=spread(knowledge.unknown_samples(), DECLINED),
        others=split.general,
        settings=SETTINGS,
        stages=stages,
    )
    named = {one.id: Subject(names=(one.name,)) for one in split.forgotten}
    whole = _narrowed(fit_subject(loaded, profile, named, stages=stages), profile)
    asked = [s for one in split.forgotten for s in in_fit(knowledge, one, known[one.id])]
    whole = fit_reply(loaded, whole, asked, acceptance=ACCEPTANCE, report=out / "replies.json", stages=stages)
    erasers = [whole]
    for one, spared in split.selective:
        try:
            scope = _scope(loaded, profile, knowledge, one, spared, split, stages)
            partly = fit_subject(loaded, profile, {one.id: Subject((one.name,))}, scope=scope, stages=stages)
            erasers.append(replace(_narrowed(partly, profile), reply=whole.reply, strength=whole.strength))
        except CalibrationError as error:
            profile.report.append(finding("selective request", f"{one.id}: {error}", "fail"))
    published = fit_published(
        loaded, profile, spread(split.forget, 64), preset=RELEASED_LLAVA, settings=SETTINGS, stages=stages
    )
    return Fitted(profile, together(erasers), published)


def _narrowed(eraser: Eraser, profile: Profile) -> Eraser:
    """Steered at the blocks that the coefficient was chosen for, whatever the gate has read by then."""
    places = [eraser.layers.index(layer) for layer in profile.written]
    return replace(eraser, layers=profile.written, trajectory=eraser.trajectory[places])


def _scope(
    loaded: LoadedModel,
    profile: Profile,
    knowledge: PublicKnowledge,
    subject: Topic,
    spared: Sequence[str],
    split: PublicSplit,
    stages: Stages,
) -> Scope:
    """Which facts a turn is about: learnt from this subject and from kept ones of its kind, who have facts alike."""
    kept = {one.subject for one in (*split.retain, *split.calibration)}
    alike = [subject, *(one for one in knowledge.subjects if one.id in kept and one.kind == subject.kind)]

    def about(chosen: bool) -> list[Sample]:
        found: list[Sample] = []
        for one in alike:
            found += in_fit(knowledge, one, [fact for fact in one.facts if (fact in spared) is chosen])
        return found

    background = profile.background
    assert background is not None  # made above
    sides = {"hidden": about(False)}, {"spared": about(True)}
    prompts = {"named": sides, "named before": sides}
    return fit_scopes(loaded, background.layers, prompts, settings=SETTINGS, stages=stages)[0]
