"""What a method that changes weights is given."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, final

from unsee.data.sample import Sample
from unsee.errors import SaveError
from unsee.methods.rows import REFUSALS
from unsee.models.digest import weights_digest
from unsee.models.load import LoadedModel
from unsee.progress import Stages, silent


@final
@dataclass(frozen=True, eq=False)
class Job:
    """One model to change, by which data, and where to.

    Attributes:
        loaded: the model, which is changed in place.
        forget: questions about what is forgotten, with their true answers.
        retain: questions about what is retained.
        out: folder that becomes a checkpoint; a run that was interrupted there goes on.
        unknown: questions about people that no model was told of (ASRU).
        refusals: what a model is taught to say (PO, DPO).
        options: settings of the method by name.
        seed: of every draw.
        save_every: optimiser steps between checkpoints; the last two are kept.
        report_to: where transformers logs to: "none", "trackio", "tensorboard", "wandb" and others.
        stages: progress display.
    """

    loaded: LoadedModel
    forget: Sequence[Sample]
    retain: Sequence[Sample]
    out: Path
    unknown: Sequence[Sample] = ()
    refusals: Sequence[str] = REFUSALS
    options: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    save_every: int = 50
    report_to: str = "none"
    stages: Stages = silent

    def saved(self) -> LoadedModel:
        """The model as it is now, written to the folder.

        Raises:
            SaveError: it cannot be written.
        """
        return save(replace(self.loaded, digest=weights_digest(self.loaded.model)), self.out)


def save(loaded: LoadedModel, out: Path) -> LoadedModel:
    """Write a model and its processor as an ordinary checkpoint folder.

    Raises:
        SaveError: it cannot be written.
    """
    model: Any = loaded.model
    try:
        model.save_pretrained(out)
        loaded.processor.save_pretrained(out)
    except OSError as error:
        raise SaveError(f"cannot write to {str(out)!r}: {error}. Choose another folder, or free some space.") from error
    return loaded
