"""Training as tests ask for it: a model, a method, two sets and a folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unsee.data.sample import Sample
from unsee.methods import grpo, produce
from unsee.methods.grpo import GrpoSettings
from unsee.methods.job import Job
from unsee.methods.settings import TrainSettings
from unsee.models.load import LoadedModel


def change_weights(
    loaded: LoadedModel,
    method: str,
    forget: Sequence[Sample],
    retain: Sequence[Sample],
    out: Path,
    *,
    settings: TrainSettings | None = None,
    **given: Any,
) -> LoadedModel:
    return produce.change_weights(method, Job(loaded, forget, retain, out, **given), settings)


def refine(
    loaded: LoadedModel,
    forget: Sequence[Sample],
    kept: Sequence[Sample],
    out: Path,
    *,
    settings: GrpoSettings | None = None,
    trainer: dict[str, Any] | None = None,
    **given: Any,
) -> LoadedModel:
    return grpo.refine(Job(loaded, forget, (), out, **given), kept, settings, trainer)
