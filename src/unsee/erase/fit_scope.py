"""From prompts in which somebody is present to the `Scope` of a model: what is in scope once a subject is there."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from unsee.data.sample import Sample, subjects
from unsee.erase.config import Settings
from unsee.erase.fit.findings import Finding, finding
from unsee.erase.fit.tokens import Turns, capture_turns
from unsee.erase.gates.scope import EVIDENCE, Groups, Scope, fit_scope
from unsee.erase.profile import Profile, require_same_model
from unsee.errors import DataError
from unsee.models.generate import conversation_of
from unsee.models.load import LoadedModel
from unsee.models.turns import TurnTokens
from unsee.progress import Stages, silent

Prompts = Mapping[str, Sequence[Sample]]
"""By group; the subject of each is who is present."""
_MUCH = 0.1


def fit_scopes(
    loaded: LoadedModel,
    layers: Sequence[int],
    prompts: Mapping[str, tuple[Prompts, Prompts]],
    *,
    settings: Settings,
    stages: Stages = silent,
) -> tuple[Scope, list[Finding]]:
    """A scope of these blocks, and what it takes for in scope wrongly.

    Args:
        loaded: the model.
        layers: decoder blocks of the gate: early ones hold the words, later ones what they are about.
        prompts: inside and outside, by evidence (of `EVIDENCE`); all is in scope where there is none of an evidence.
        settings: ridge and batch size.
        stages: progress display.

    Raises:
        DataError: a group has not two subjects, or prompts at all.
        CalibrationError: both sides are equal.
    """
    tell = stages("scope prompts", sum(len(g) for sides in prompts.values() for side in sides for g in side.values()))

    parts = TurnTokens.of(loaded)

    def halves(group: str, samples: Sequence[Sample]) -> tuple[Turns, Turns]:
        second = set(subjects(samples)[1::2])
        both = [[conversation_of(one) for one in samples if (one.subject in second) is half] for half in (False, True)]
        if not all(both):
            raise DataError(f"the group {group!r} of a scope has one subject, expected two that can be held apart")
        first, last = (capture_turns(loaded, half, layers, settings.batch_size, tell, parts) for half in both)
        return first, last

    def groups(side: Prompts) -> Groups:
        return {name: halves(name, samples) for name, samples in side.items()}

    scope = Scope.everything(len(layers), loaded.adapter.hidden_size(loaded.model))
    report: list[Finding] = []
    for number, name in enumerate(EVIDENCE):
        if name in prompts:
            inside, outside = prompts[name]
            made, wrong = fit_scope(groups(inside), groups(outside), gamma=settings.scope_ridge)
            for part, of_this in zip(vars(scope).values(), vars(made).values(), strict=True):
                part[0, number] = of_this[0, number]
            result = ", ".join(f"{group} {share:.1%}" for group, share in wrong.items())
            report.append(finding(f"scope where {name}", result, "pass" if max(wrong.values()) < _MUCH else "warn"))
    return scope, report


def with_scope(
    loaded: LoadedModel, profile: Profile, prompts: Mapping[str, tuple[Prompts, Prompts]], *, stages: Stages = silent
) -> Profile:
    """The profile with a scope for all requests.

    Args:
        loaded: the model that the profile was made on.
        profile: with a background, whose blocks are read.
        prompts: as for `fit_scopes`.
        stages: progress display.

    Raises:
        DataError: a group has not two subjects, or the profile has no background.
        MismatchError: the profile is another model's.
        CalibrationError: both sides are equal.
    """
    require_same_model(profile.model, loaded, "profile")
    layers, settings = profile.require_background().layers, Settings.from_json(profile.settings)
    scope, report = fit_scopes(loaded, layers, prompts, settings=settings, stages=stages)
    return replace(profile, scope=scope, report=[*profile.report, *report])
