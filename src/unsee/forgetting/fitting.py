"""A request's eraser: when its subject is there, by names and images alone, and which turns are then in scope."""

import random
from collections.abc import Sequence

from unsee.data.sample import Sample
from unsee.erase.config import Settings
from unsee.erase.eraser import Eraser
from unsee.erase.fit_scope import fit_scopes
from unsee.erase.fit_subject import Subject, fit_subject
from unsee.erase.gates.scope import Scope
from unsee.erase.profile import Profile
from unsee.erase.request.allowed import allowed
from unsee.erase.request.augment import augmented
from unsee.erase.request.expansion import scope
from unsee.erase.request.kit_profile import cached_profile, present
from unsee.erase.request.presence import scope_prompts
from unsee.erase.request.request import Request
from unsee.models.generate import conversation_of
from unsee.models.load import LoadedModel
from unsee.progress import Stages, silent
from unsee.world.generate import World
from unsee.world.made import TEST_SEEDS, made_of

VIEWS = 24
"""Changed images of a request, of all its images together."""
_NEAR = ("namesakes", "ordinary word")
_SMALL = 5000
"""Tokens of a vocabulary that has no words for the names of the kit."""


def request_profile(loaded: LoadedModel, *, seed: int = 0, stages: Stages = silent) -> Profile:
    """The model's profile from the starter kit, cached; the built-in models read names of their own small vocabulary.

    Raises:
        DirectionError, CalibrationError: the model neither answers nor refuses as the method needs.
        SaveError: the cache cannot be written.
    """
    return cached_profile(loaded, names=unknown_names(loaded, seed), seed=seed, stages=stages)[0]


def unknown_names(loaded: LoadedModel, seed: int, count: int = 300) -> Sequence[str]:
    """Names of nobody in words that a built-in model can read; none for any other model, which the kit's suit.

    A tokenizer of a thousand words cuts the kit's names into letters, which says nothing about names.
    """
    if len(loaded.processor.tokenizer) > _SMALL:
        return ()
    known = loaded.processor.tokenizer.get_vocab()
    world = next((World(n) for n in TEST_SEEDS if made_of(n).words.last[0] in known), World())
    words = world.made.words
    every = [f"{first} {last}" for first in (*words.she, *words.he) for last in words.last]
    return random.Random(f"unknown/{seed}").sample([name for name in every if name not in world.names], count)


def fit_request(
    loaded: LoadedModel, profile: Profile, request: Request, subject: str, *, keep: Sequence[Sample] = (),
    seed: int = 0, stages: Stages = silent,
) -> Eraser:  # fmt: skip
    """Fit the subject on its names and changed images; no question is needed.

    Args:
        loaded: the model.
        profile: with a background of prompts on which no gate may fire.
        request: the request.
        subject: its pseudonymous id.
        keep: of one's own that the fit must let through.
        seed: of every draw.
        stages: progress display.

    Raises:
        CalibrationError: the subject cannot be told from others.
    """
    each = max(2, VIEWS // max(1, len(request.images)))
    views = tuple(view for image in request.images for view in augmented(image, each, seed))
    near = [one.sample for one in allowed(request, held=False, seed=seed) if one.group in _NEAR]
    return fit_subject(
        loaded,
        profile,
        {subject: Subject(request.names, views)},
        near=[conversation_of(sample) for sample in (*near, *keep)],
        scope=_scope(loaded, profile, request, seed, stages),
        stages=stages,
    )


def _scope(loaded: LoadedModel, profile: Profile, request: Request, seed: int, stages: Stages) -> Scope | None:
    """The profile's where it is about people and everything of them, else one of this request."""
    parts = scope(request)
    if (request.kind == "person" and not parts.selective and profile.scope is not None) or profile.background is None:
        return None
    takes = loaded.adapter.image_token(loaded.processor) is not None
    people = present(unknown_names(loaded, seed), seed, shown=takes)
    hidden, spared = (parts.hidden, parts.spared) if parts.selective else ((), ())
    prompts = scope_prompts(people, request.kind, hidden=hidden, spared=spared, seed=seed)
    settings = Settings.from_json(profile.settings)
    return fit_scopes(loaded, profile.background.layers, prompts, settings=settings, stages=stages)[0]
