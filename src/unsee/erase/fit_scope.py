"""From prompts in which somebody is present to the `Scope` of a model: what is in scope once a subject is there."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from unsee.data.sample import Sample, subjects
from unsee.erase.config import Settings
from unsee.erase.fit.findings import Finding, finding
from unsee.erase.fit.tokens import capture_turns
from unsee.erase.gates.scope import EVIDENCE, Groups, Scope, fit_scope
from unsee.erase.profile import Profile, require_same_model
from unsee.errors import DataError
from unsee.models.generate import conversation_of
from unsee.models.load import LoadedModel
from unsee.progress import Stages, silent

Prompts = Mapping[str, Sequence[Sample]]
"""By group; the subject of each is who is present."""
LOST = 0.01
"""Share of the worst group of prompts about a subject that a scope may miss."""
_MUCH = 0.1


def fit_scopes(
    loaded: LoadedModel,
    layers: Sequence[int],
    prompts: Mapping[str, tuple[Prompts, Prompts]],
    *,
    settings: Settings,
    stages: Stages = silent,
) -> tuple[Scope, list[Finding]]:
    """A scope of these blocks, and what it takes for in scope wrongly. It reads the first that names are read at.

    Words tell what a turn is about, and they are plainest early: more blocks held what was learnt, and told unseen
    turns apart less well (`docs/log.md`).

    Args:
        loaded: the model.
        layers: decoder blocks of the gate, that one among them.
        prompts: inside and outside, by evidence (of `EVIDENCE`); all is in scope where there is none of an evidence.
        settings: ridge and batch size.
        stages: progress display.

    Raises:
        DataError: a group has not two subjects, or prompts at all.
        CalibrationError: both sides are equal.
    """
    layer = settings.name_layers(len(loaded.adapter.layers(loaded.model)))[0]
    place = layers.index(layer)
    tell = stages("scope prompts", sum(len(g) for sides in prompts.values() for side in sides for g in side.values()))

    def features(side: Prompts) -> Groups:
        found: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
        for name, samples in side.items():
            read = [conversation_of(sample) for sample in samples]
            states = capture_turns(loaded, read, [layer], settings.batch_size, tell)
            second = set(subjects(samples)[1::2])
            half = torch.tensor([sample.subject in second for sample in samples])
            if not half.any() or half.all():
                raise DataError(f"the group {name!r} of a scope has one subject, expected two that can be held apart")
            found[name] = states[~half], states[half]
        return found

    scope = Scope.everything(len(layers), loaded.adapter.hidden_size(loaded.model))
    report: list[Finding] = []
    for number, name in enumerate(EVIDENCE):
        if name in prompts:
            made = fit_scope(*(features(side) for side in prompts[name]), gamma=settings.scope_ridge, lost=LOST)
            scope.weight[0, number, place], scope.bias[0, number] = made.weight[0], made.bias
            result = ", ".join(f"{group} {share:.1%}" for group, share in made.wrong.items())
            report.append(
                finding(f"scope where {name}", result, "pass" if max(made.wrong.values()) < _MUCH else "warn")
            )
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
    if profile.background is None:
        raise DataError("the profile has no background, so it is not known which blocks to read. Make it again.")
    settings = Settings.from_json(profile.settings)
    scope, report = fit_scopes(loaded, profile.background.layers, prompts, settings=settings, stages=stages)
    return replace(profile, scope=scope, report=[*profile.report, *report])
