"""A profile and requests for a model that speaks natural English, fitted as anybody would by the library."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

from unsee.data.sample import Sample, spread
from unsee.erase.config import Settings
from unsee.erase.eraser import Eraser
from unsee.erase.eraser_set import together
from unsee.erase.fit.findings import finding
from unsee.erase.fit.reply import Acceptance
from unsee.erase.fit_eraser import fit_published
from unsee.erase.fit_profile import fit_profile
from unsee.erase.fit_reply import fit_reply
from unsee.erase.fit_scope import fit_scopes, with_scope
from unsee.erase.fit_subject import fit_subject
from unsee.erase.gates.null_space import RELEASED_LLAVA
from unsee.erase.gates.scope import Scope
from unsee.erase.profile import Profile
from unsee.erase.request.presence import scope_prompts
from unsee.errors import CalibrationError
from unsee.experiments.natural.split import Hidden, Sides, Split
from unsee.models.generate import conversation_of
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


def fit_natural(loaded: LoadedModel, split: Split, out: Path, stages: Stages) -> Fitted:
    """Profile, one request for each subject, and the reply that holds for those who are forgotten whole.

    Args:
        loaded: the model.
        split: who is forgotten and kept.
        out: where the report on replies goes.
        stages: progress display.

    Raises:
        DirectionError: the model declines nothing, and unknown entities are no different to it.
        CalibrationError: no subject can be told from others, or no reply holds.
    """
    profile = fit_profile(
        loaded,
        retain=split.retain,
        calibration=split.calibration,
        recall=spread(split.retain, DECLINED),
        refusal=spread(split.refusal, DECLINED),
        unknown=spread(split.unknown, DECLINED),
        others=split.general,
        settings=SETTINGS,
        stages=stages,
    )
    if split.present:
        profile = with_scope(loaded, profile, scope_prompts(split.present, "person"), stages=stages)
    erasers = [eraser for one in split.requests if (eraser := _fitted(loaded, profile, one, stages)) is not None]
    if not erasers:
        raise CalibrationError(
            f"none of the {len(split.requests)} subjects can be told from others: "
            f"{profile.report[-1]['result']}. Take a model that knows them better, or ask for others."
        )
    asked = [sample for one in split.requests for sample in one.asked]
    # Replies are tried with the gate held open: whose it is makes no difference.
    held = fit_reply(loaded, erasers[0], asked, acceptance=ACCEPTANCE, report=out / "replies.json", stages=stages)
    erasers = [replace(one, reply=held.reply, strength=held.strength, report=held.report) for one in erasers]
    published = fit_published(
        loaded, profile, spread(split.forget, 64), preset=RELEASED_LLAVA, settings=SETTINGS, stages=stages
    )
    return Fitted(profile, together(erasers), published)


def _fitted(loaded: LoadedModel, profile: Profile, one: Hidden, stages: Stages) -> Eraser | None:
    """A request, or none where it cannot be told from others: it is then asked about without being in force."""
    try:
        scope = None if one.scope is None else _scope(loaded, profile, one.scope, stages)
        near = [conversation_of(Sample(f"near/{n}", "near", text, "", "")) for n, text in enumerate(one.near)]
        made = fit_subject(loaded, profile, {one.id: one.subject}, near=near, scope=scope, stages=stages)
        return _narrowed(made, profile)
    except CalibrationError as error:
        profile.report.append(finding("request", f"{one.id}: {error}", "fail"))
        return None


def _narrowed(eraser: Eraser, profile: Profile) -> Eraser:
    """Steered at the blocks that the coefficient was chosen for, whatever the gate has read by then."""
    places = [eraser.layers.index(layer) for layer in profile.written]
    return replace(eraser, layers=profile.written, trajectory=eraser.trajectory[places])


def _scope(loaded: LoadedModel, profile: Profile, sides: Sides, stages: Stages) -> Scope:
    """Which facts a turn is about."""
    told = {"hidden": sides.hidden}, {"spared": sides.spared}
    prompts = {"named": told, "named before": told}
    return fit_scopes(loaded, profile.require_background().layers, prompts, settings=SETTINGS, stages=stages)[0]
