"""From a method's name to a trained model: which weights, which block, which vector each one needs."""

from collections.abc import Sequence
from pathlib import Path

import torch

from unsee.data.sample import Sample, require_disjoint, require_some
from unsee.extras import extra
from unsee.methods.errors import MethodError
from unsee.methods.fisher import masked_steps
from unsee.methods.objectives import OBJECTIVES
from unsee.methods.redirection import find_shift
from unsee.methods.rows import REFUSALS
from unsee.methods.settings import TrainSettings, preset
from unsee.methods.trainer import run
from unsee.methods.weights import default_layer, down_projection
from unsee.models.load import LoadedModel
from unsee.progress import Stages, silent
from unsee.shapes import Float, Tensor


def change_weights(
    loaded: LoadedModel,
    method: str,
    forget: Sequence[Sample],
    retain: Sequence[Sample],
    out: Path,
    *,
    settings: TrainSettings | None = None,
    refusals: Sequence[str] = REFUSALS,
    strangers: Sequence[Sample] = (),
    seed: int = 0,
    save_every: int = 50,
    report_to: str = "none",
    stages: Stages = silent,
) -> LoadedModel:
    """Train by one of `OBJECTIVES` in place and save to `out`; see `unsee.methods.trainer.run`.

    Args:
        loaded: the model; its weights are changed.
        method: name of a trained method.
        forget: questions about what is forgotten, with their true answers.
        retain: questions about what is kept; needed by every method but "ga".
        out: folder to write to.
        settings: the sane preset if None.
        refusals: what "po" and "dpo" teach.
        strangers: for "asru_gradient", questions about people that no model was told of.
        seed: of every draw.
        save_every: optimiser steps between checkpoints.
        report_to: where transformers logs to.
        stages: progress display.

    Raises:
        MethodError: there is no such method, or it cannot serve this model or this data.
        DataError: a set is empty, or both sets have a subject in common.
        MissingExtraError: accelerate or peft is not installed.
        OptionError, DivergenceError, SaveError: as `run`.
    """
    if method not in OBJECTIVES:
        raise MethodError(f"the trained method is {method!r}, expected one of {list(OBJECTIVES)}. Pass one of these.")
    extra("accelerate", "train")
    objective, settings = OBJECTIVES[method], settings or preset(method)
    require_some(forget, "forget")
    if settings.order != "forget":
        require_some(retain, "retain")
    require_disjoint(forget, retain, ("forget", "retain"))
    if not refusals or not all(words.strip() for words in refusals):
        raise MethodError(f"the refusals are {list(refusals)}, expected at least one, and none of them empty.")
    layer, vector = None, None
    matrices = []
    if objective.tapped:
        layer = default_layer(loaded, method) if settings.layer is None else settings.layer
        # WMDP trains the block that is read and the two before it, ASRU the one alone.
        first = max(0, layer - 2) if method == "rmu" else layer
        matrices = [down_projection(loaded, place) for place in range(first, layer + 1)]
        vector = (
            control_vector(loaded.adapter.hidden_size(loaded.model), seed)
            if method == "rmu"
            else find_shift(loaded, forget, strangers, layer=layer, stages=stages).vector
        )
    return run(
        loaded,
        objective,
        settings,
        forget=forget,
        retain=retain,
        refusals=refusals,
        out=out,
        layer=layer,
        matrices=matrices,
        vector=vector,
        adjust=masked_steps(loaded, forget, retain, answer_only=settings.answer_only, stages=stages)
        if objective.masked
        else None,
        seed=seed,
        save_every=save_every,
        report_to=report_to,
        stages=stages,
    )


def control_vector(width: int, seed: int) -> Float[Tensor, " D"]:
    """RMU's `u`: uniform in [0, 1) per component, then of length 1.

    Source: Li et al. 2024 (arXiv 2403.03218), `rmu/unlearn.py` of github.com/centerforaisafety/wmdp.
    """
    drawn = torch.rand(width, generator=torch.Generator().manual_seed(seed))
    return drawn / drawn.norm()
