"""The profile of a model from the starter kit alone: made once, kept under the model's digest, and read from there."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from filelock import FileLock

from unsee.data.sample import Sample
from unsee.erase.config import Settings
from unsee.erase.detectors import is_fluent, is_refusal
from unsee.erase.fit_profile import fit_profile
from unsee.erase.fit_scope import with_scope
from unsee.erase.profile import Profile
from unsee.erase.request import starter_kit as kit
from unsee.erase.request.defaults import default_refusal
from unsee.erase.request.invented import invented_names
from unsee.erase.request.presence import Present, scope_prompts
from unsee.errors import SaveError
from unsee.models.generate import generate
from unsee.models.load import LoadedModel
from unsee.models.names import cache_folder
from unsee.progress import Stages, silent

SETTINGS = Settings(
    pgd_images=6, pgd_steps=20, trajectory_prompts=64, strengths=(0.5, 1.0, 2.0, 3.0), calibration_prompts=48,
    least=0.0,
)  # fmt: skip
"""Of the fit: smaller than the defaults, as the kit is small. Each request finds a reply that holds, or begins it."""
_FIRST_TOKEN: Final = {"steps": 1, "later": 0.1, "strengths": (0.3, 0.45, 0.6, 0.8), "calibration_prompts": 24}
"""Where a model is told how to decline: the words are not its own, and a trajectory of them breaks its text."""
_PEOPLE, _FACES, _SEEN, _LEAST, _PRESENT = 300, 250, 48, 8, 140
_LAYOUT = "words of prompts"  # a cached profile of an older layout would be fitted otherwise


def cached_profile(
    loaded: LoadedModel,
    *,
    settings: Settings = SETTINGS,
    names: Sequence[str] = (),
    seed: int = 0,
    stages: Stages = silent,
) -> tuple[Profile, bool]:
    """The model's profile from the kit, and whether it was there already.

    Args:
        loaded: the model.
        settings: of the fit; part of the key.
        names: of people whom the model does not know, in place of the kit's; part of the key.
        seed: of every draw; part of the key.
        stages: progress display.

    Raises:
        DirectionError, CalibrationError: the model neither answers nor refuses as the method needs.
        SaveError: the cache cannot be written.
    """
    folder = profile_folder(loaded, settings, seed, names)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.parent / f"{folder.name}.lock"):
            if folder.is_dir():
                return Profile.from_pretrained(folder), True
            made = kit_profile(loaded, settings=settings, names=names, seed=seed, stages=stages)
            made.save_pretrained(folder)
            return made, False
    except OSError as error:
        if isinstance(error, SaveError):
            raise
        raise SaveError(
            f"cannot write to {folder.parent}: {error}. Set UNSEE_CACHE to a folder that can be written."
        ) from error


def profile_folder(loaded: LoadedModel, settings: Settings, seed: int, names: Sequence[str] = ()) -> Path:
    """Where the profile of these weights, this kit, these settings and these names is kept."""
    fitted = json.dumps({"settings": settings.as_json(), "seed": seed, "names": list(names)}, sort_keys=True)
    made_by = f"{loaded.digest}/{kit.kit_version()}/{_LAYOUT}/{fitted}"
    key = hashlib.sha256(made_by.encode()).hexdigest()[:24]
    return cache_folder() / "profiles" / key


def kit_profile(
    loaded: LoadedModel,
    *,
    settings: Settings = SETTINGS,
    names: Sequence[str] = (),
    seed: int = 0,
    stages: Stages = silent,
) -> Profile:
    """A profile from the starter kit: what refusing is, by what the model says of people whom it does not know.

    Args:
        loaded: the model.
        settings: of the fit.
        names: of people whom the model does not know, in place of the kit's.
        seed: of every draw.
        stages: progress display.

    Raises:
        DirectionError, CalibrationError: the model neither answers nor refuses as the method needs.
    """
    takes = loaded.adapter.image_token(loaded.processor) is not None
    seen = kit.visible(_SEEN, seed) if takes else []
    candidates = [*seen, *kit.general(seed), *kit.public_figures()]
    answers = generate(loaded, candidates, max_new_tokens=32, progress=stages("kit answers", len(candidates)))
    answered = [
        replace(sample, answer=answer, gold=sample.gold if sample.gold in answer.casefold() else "")
        for sample, answer in zip(candidates, answers, strict=True)
        if is_fluent(answer) and not is_refusal(answer)
    ]
    fit, held = _halves(answered)
    unknown = kit.unknown_people(_PEOPLE, seed, names=names)
    faces = kit.unknown_faces(_FACES, seed) if takes else []
    refusal, by_itself = _refused(loaded, [*unknown[:32], *faces[:32]], seen, stages)
    profile = fit_profile(
        loaded,
        retain=fit,
        calibration=held,
        recall=_recall(answered),
        refusal=refusal,
        others=[*unknown, *faces, *kit.running_text()],
        settings=settings if by_itself else settings.changed(**_FIRST_TOKEN),
        seed=seed,
        stages=stages,
    )
    prompts = scope_prompts(present(names, seed, shown=takes), "person", seed=seed)
    return with_scope(loaded, profile, prompts, stages=stages)


def present(names: Sequence[str] = (), seed: int = 0, *, shown: bool) -> list[Present]:
    """Nobodies of the kit who are there, by name and, if asked for, by a drawn face.

    Args:
        names: in place of the kit's.
        seed: of the draws.
        shown: whether they have a face: for models that take images.
    """
    called = list(names[:_PRESENT]) or invented_names(_PRESENT, seed + 3)
    faces = kit.faces(len(called), seed) if shown else []
    return [Present(f"present/{i}", (name,), tuple(faces[i : i + 1])) for i, name in enumerate(called)]


def _halves(samples: Sequence[Sample]) -> tuple[list[Sample], list[Sample]]:
    """Two thirds and one third of the subjects."""
    ids = list(dict.fromkeys(sample.subject for sample in samples))
    held = set(ids[2::3])
    return [s for s in samples if s.subject not in held], [s for s in samples if s.subject in held]


def _recall(answered: Sequence[Sample]) -> list[Sample]:
    """D-: half of it with images where there are any."""
    shown = [sample for sample in answered if sample.image]
    plain = [sample for sample in answered if not sample.image]
    return [*shown[:32], *plain[:: max(1, len(plain) // 32)][:32]]


def _refused(
    loaded: LoadedModel, unknown: list[Sample], seen: list[Sample], stages: Stages
) -> tuple[list[Sample], bool]:
    """D+: questions about people whom nobody knows, or for private data, or with the refusal to give.

    The first that the model declines often enough, and whether by itself: one that never does is told how.
    """
    for name, asked in (("unknown people", unknown), ("private data", default_refusal(seen))):
        answers = generate(loaded, asked, max_new_tokens=32, progress=stages(name, len(asked)))
        said = [sample for sample, answer in zip(asked, answers, strict=True) if is_refusal(answer)]
        if len(said) >= _LEAST:
            return said, True
    return kit.declining(unknown), False
