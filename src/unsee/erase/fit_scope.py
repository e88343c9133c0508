"""From prompts about retained subjects to the `Scope` of a model: what is in scope once a subject is there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

from unsee.erase.config import Settings
from unsee.erase.fit.tokens import capture_tokens
from unsee.erase.gates.scope import EVIDENCE, Scope, fit_scope, scope_features
from unsee.erase.profile import Profile, require_same_model
from unsee.errors import DataError
from unsee.models.generate import Conversation
from unsee.models.load import LoadedModel
from unsee.progress import Stages, silent
from unsee.shapes import Float, Tensor

Groups = Mapping[str, Sequence[Conversation]]
FLOOR = 0.3
"""Lowest threshold of a scope, where 0 is outside and 1 inside: only subjects get so far."""


@final
@dataclass(frozen=True)
class ScopePrompts:
    """Prompts in which a subject is present by one kind of evidence, a name or an image.

    Attributes:
        inside: about what was learnt of it, in as many forms as are expected.
        outside: about anything else, by group: what is visible, general questions, somebody else.
        calibration: as `outside`, of subjects that are in neither.
    """

    inside: Sequence[Conversation]
    outside: Groups
    calibration: Groups


def with_scope(
    loaded: LoadedModel,
    profile: Profile,
    by_name: ScopePrompts,
    by_image: ScopePrompts | None = None,
    *,
    settings: Settings | None = None,
    stages: Stages = silent,
) -> Profile:
    """The profile with a scope for all requests: subjects are retained ones, so that it is fitted once per model.

    Args:
        loaded: the model that the profile was made on.
        profile: its blocks are read.
        by_name: with the subject named.
        by_image: with the subject shown; None for a model of text alone.
        settings: the profile's if None.
        stages: progress display.

    Raises:
        DataError: a side is empty.
        MismatchError: the profile is another model's.
        CalibrationError: both sides are equal.
    """
    return replace(profile, scope=request_scope(loaded, profile, by_name, by_image, settings=settings, stages=stages))


def request_scope(
    loaded: LoadedModel,
    profile: Profile,
    by_name: ScopePrompts,
    by_image: ScopePrompts | None = None,
    *,
    settings: Settings | None = None,
    stages: Stages = silent,
) -> Scope:
    """A scope of one request, for `fit_subject`: some facts inside, the spared ones outside; as `with_scope`."""
    settings = settings or Settings.from_json(profile.settings)
    require_same_model(profile.model, loaded, "profile")

    def features(prompts: Sequence[Conversation]) -> Float[Tensor, "N R 2 D"]:
        if not prompts:
            raise DataError("a side of the scope has no prompt, expected some inside and some of every group outside")
        told = stages("scope prompts", len(prompts))
        return scope_features(capture_tokens(loaded, prompts, profile.read, settings.batch_size, told))

    width = profile.trajectory.shape[-1]
    scope = Scope.everything(len(profile.read), width)
    for number, prompts in enumerate((by_name, by_image)[: len(EVIDENCE)]):
        if prompts is not None:
            scope.weight[0, number], scope.bias[0, number] = fit_scope(
                features(prompts.inside),
                {name: features(group) for name, group in prompts.outside.items()},
                {name: features(group) for name, group in prompts.calibration.items()},
                gamma=settings.ridge,
                tail=settings.tail,
                floor=FLOOR,
            )
    return scope
