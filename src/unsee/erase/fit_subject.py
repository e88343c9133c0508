"""From a name and some images to an `Eraser`: no question is needed.

A subject's gate is fitted on the states of its own tokens: those that end its names in bare sentences, and those of its
images. What it must not fire on comes with the profile.
"""

from collections.abc import Mapping, Sequence

import torch

from unsee.erase.config import Settings
from unsee.erase.eraser import Eraser
from unsee.erase.eraser_set import false_fires
from unsee.erase.fit.background import Background
from unsee.erase.fit.evidence import Evidence, Negatives, fit_evidence
from unsee.erase.fit.findings import Finding, finding
from unsee.erase.fit.request_states import fingerprint
from unsee.erase.fit.subject_states import TEMPLATES, Subject, SubjectReader
from unsee.erase.fit.tokens import TokenStates
from unsee.erase.gates.scope import Scope
from unsee.erase.gates.subject import SubjectGate
from unsee.erase.kept_subjects import KeptSubjects
from unsee.erase.profile import Profile, require_same_model
from unsee.erase.request.words import ordinary
from unsee.errors import DataError, OptionError
from unsee.models.generate import Conversation
from unsee.models.load import LoadedModel
from unsee.models.turns import TurnTokens
from unsee.progress import Stages, silent
from unsee.shapes import Bool, Float, Tensor

FOLDS = 8
"""Of the background's images, by subject: a fit on most of them is like the one on all."""
NEAR = "near"
TAIL, IMAGE_TAIL, NEAR_TAIL = 0.005, 0.01, 0.1
"""Shares of a group of background prompts that any gate of a request may fire on: by name, by image (of a few hundred
faces the likest one alone would else set the limit), and of prompts that look alike."""


def fit_subject(
    loaded: LoadedModel,
    profile: Profile,
    subjects: Mapping[str, Subject],
    *,
    templates: Sequence[str] = TEMPLATES,
    near: Sequence[Conversation] = (),
    scope: Scope | None = None,
    settings: Settings | None = None,
    stages: Stages = silent,
) -> Eraser:
    """Fit one request from names and images: when its subjects are there, whatever is asked and in whatever form.

    Args:
        loaded: the model that the profile was made on.
        profile: with a background.
        subjects: by pseudonymous id.
        templates: bare sentences with `{s}` for a name; each name is tried as written, in lower and in upper case.
        near: prompts that must not be refused though they look alike: namesakes, common-word uses of an alias.
        scope: of this request, at the background's blocks; None takes the profile's, or all that is said of the
            subject where it has none.
        settings: the profile's if None.
        stages: progress display.

    Raises:
        DataError: no subject, one without name and image, images for a model of text alone, or a profile without
            background.
        MismatchError: the profile is another model's.
        OptionError: the settings read blocks that the profile's background lacks.
        CalibrationError: a subject cannot be told from the background at all.
    """
    settings = settings or Settings.from_json(profile.settings)
    require_same_model(profile.model, loaded, "profile")
    background = _background(loaded, profile, subjects)
    read = SubjectReader(loaded, background.layers, settings, stages)
    names = [read.names(subject, templates) for subject in subjects.values()]
    images = [read.images(subject) for subject in subjects.values()]
    whole, own = background, background.naming(_names(subjects), KeptSubjects.from_json(profile.settings["kept"]))
    background = background.without(own)
    if near:
        background = _widened(background, read.tokens(near, "prompts that look alike"))
    depth = len(loaded.adapter.layers(loaded.model))
    by_name = _evidence(background, names, settings, settings.name_layers(depth), shown=False)
    by_image = _evidence(background, images, settings, settings.image_layers(depth), shown=True)
    gate = _gate(profile, background.layers, by_name, by_image, len(subjects), scope, TurnTokens.of(loaded))
    margins = {name: one.margins for name, one in (("named", by_name), ("shown", by_image)) if one is not None}
    unseen = {name: _in_order(of_some, whole, own, shown=name == "shown") for name, of_some in margins.items()}
    written = profile.written  # where the strength was tried
    return Eraser(
        model=profile.model,
        family=profile.family,
        layers=written,
        gate=gate,
        trajectory=profile.trajectory[[profile.layers.index(layer) for layer in written]],
        strength=profile.strength,
        method="subject",
        settings=settings.as_json() | false_fires(unseen, torch.zeros(len(subjects)), fingerprint(profile)),
        subjects=tuple(subjects),
        counts={"names": sum(map(len, names)), "images": sum(map(len, images)), "background": len(background.half)},
        report=_findings(background, torch.stack([*margins.values()]).amax(0), by_name, by_image),
    )


def _names(subjects: Mapping[str, Subject]) -> list[str]:
    """Whom prompts are about that hold all their words; not of an alias such as "Jobs", which most prompts mean not."""
    return [name for one in subjects.values() for name in one.names if not ordinary(name)]


def _in_order(
    margins: Float[Tensor, "P K"], whole: Background, own: Bool[Tensor, " N"], *, shown: bool
) -> Float[Tensor, "N K"]:
    """Those of the profile's prompts, by its numbers; of prompts about the subject itself far below any threshold.

    What looks alike comes behind them and is this request's alone: other requests are not held against it.
    """
    found = margins.new_full((len(own), margins.shape[1]), -torch.inf)
    found[whole.states.shown if shown else whole.states.prompt] = torch.finfo(torch.float32).min
    found[~own] = margins[: int((~own).sum())]
    return found


def _background(loaded: LoadedModel, profile: Profile, subjects: Mapping[str, Subject]) -> Background:
    if not subjects or not all(one.names or one.images for one in subjects.values()):
        raise DataError("a request needs a subject, and each subject at least one name or image. Give one.")
    background = profile.require_background()
    if any(one.images for one in subjects.values()) and loaded.adapter.image_token(loaded.processor) is None:
        raise DataError(f"{loaded.name!r} takes text alone, but the request has images. Leave them out.")
    return background


def _evidence(
    background: Background,
    positives: list[Float[Tensor, "_ R D"]],
    settings: Settings,
    layers: Sequence[int],
    *,
    shown: bool,
) -> Evidence | None:
    """Gates of the subjects that have this kind of evidence; those that have none never fire by it."""
    if missing := sorted({*layers} - {*background.layers}):
        raise OptionError(
            f"blocks {missing} are to be read, but the profile's background has {list(background.layers)}. "
            "Take the profile's settings, or make the profile again with these."
        )
    places = [background.layers.index(layer) for layer in layers]
    some = [k for k, states in enumerate(positives) if len(states)]
    if not some:
        return None
    states, new = background.states, background.subject >= 0
    if shown:
        prompt, read, subject = states.shown[new], states.images[new], background.subject[new]
        fold, gamma, floor, tail = subject % FOLDS, settings.image_ridge, settings.image_floor, IMAGE_TAIL
    else:
        prompt, read, subject = states.prompt, states.text, None
        fold, gamma, floor, tail = background.half[prompt].long(), settings.subject_ridge, settings.name_floor, TAIL
    read = read[:, places].flatten(1)
    negatives = Negatives(read, prompt, fold, background.group, background.groups, subject)
    tails = {name: NEAR_TAIL if name == NEAR else tail for name in background.groups}
    made = fit_evidence(
        [positives[k][:, places].flatten(1) for k in some],
        negatives,
        gamma=gamma,
        floor=floor,
        tails=tails,
        within=settings.image_views,
    )
    count = len(positives)
    weight, bias = positives[0].new_zeros(count, *positives[0].shape[1:]), torch.full((count,), -1.0)
    margins = torch.full((len(made.margins), count), -torch.inf)
    weight[torch.tensor(some).unsqueeze(1), places] = made.weight.view(len(some), len(places), -1)
    bias[some], margins[:, some] = made.bias, made.margins
    return Evidence(weight.flatten(1), bias, margins, made.limit)


def _gate(
    profile: Profile,
    layers: tuple[int, ...],
    by_name: Evidence | None,
    by_image: Evidence | None,
    count: int,
    scope: Scope | None,
    turn: TurnTokens,
) -> SubjectGate:
    width = profile.trajectory.shape[-1]
    weight, bias = torch.zeros(count, 2, len(layers), width), torch.full((count, 2), -1.0)
    for number, one in enumerate((by_name, by_image)):
        if one is not None:
            weight[:, number] = one.weight.view(count, len(layers), width)
            bias[:, number] = one.bias
    scope = scope or profile.scope or Scope.everything(len(layers), width)
    none, first = torch.zeros(count, 2), torch.zeros(count, dtype=torch.int64)
    return SubjectGate(layers, weight, bias, none, scope, first, turn)


def _widened(background: Background, near: TokenStates) -> Background:
    """With one group more, in two halves."""
    count, old = int(near.prompt.max()) + 1, background.states
    shift, number = len(background.half), len(background.groups)
    first = int(background.subject.max()) + 1 if len(background.subject) else 0
    shown = first + torch.arange(len(near.images))
    states = TokenStates(
        torch.cat([old.text, near.text]),
        torch.cat([old.prompt, near.prompt + shift]),
        torch.cat([old.images, near.images]),
        torch.cat([old.shown, near.shown + shift]),
    )
    return Background(
        background.layers,
        states,
        torch.cat([background.group, torch.full((count,), number)]),
        torch.cat([background.half, torch.arange(count) % 2 == 1]),
        (*background.groups, NEAR),
        torch.cat([background.subject, shown]),
        background.words,
    )


def _findings(
    background: Background, margins: Tensor, by_name: Evidence | None, by_image: Evidence | None
) -> list[Finding]:
    fired, found = (margins >= 0).any(1).float(), list[Finding]()
    for number, name in enumerate(background.groups):
        mine = fired[background.group == number]
        verdict = "pass" if float(mine.mean()) <= (NEAR_TAIL if name == NEAR else TAIL + IMAGE_TAIL) else "warn"
        result = f"{float(mine.mean()):.2%} of {len(mine)} prompts that a gate was not fitted on open it"
        found.append(finding(f"gates stay shut on {name}", result, verdict))
    for what, one in (("names", by_name), ("images", by_image)):
        if one is not None:
            high = float(one.limit.max())
            found.append(
                finding(
                    f"{what} stand out",
                    f"limit at most {high:.2f}, where 0 is the background and 1 the subject",
                    "pass" if high <= 0.8 else "warn",
                    "" if high <= 0.8 else "others come close: give full names, more images, or fewer that look alike",
                )
            )
    return found
