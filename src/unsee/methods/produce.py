"""Every method that changes weights, by name: from a loaded model to another checkpoint folder."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, final

from unsee.data.sample import Sample, require_disjoint
from unsee.errors import OptionError, SaveError
from unsee.methods.boundary import SHARE, boundary
from unsee.methods.errors import MethodError
from unsee.methods.fit import change_weights
from unsee.methods.grpo import GrpoSettings, refine
from unsee.methods.neurons import prune
from unsee.methods.objectives import OBJECTIVES
from unsee.methods.redirection import find_shift, redirect
from unsee.methods.rows import REFUSALS
from unsee.methods.settings import preset
from unsee.models.digest import weights_digest
from unsee.models.load import LoadedModel
from unsee.progress import Stages, silent


@final
@dataclass(frozen=True, eq=False)
class Job:
    """What a method is given.

    Attributes:
        loaded: the model, which is changed in place.
        forget: questions about what is forgotten, with their true answers.
        retain: questions about what is kept.
        out: folder that becomes a checkpoint.
        strangers: questions about people that no model was told of (ASRU).
        refusals: what a model is taught to say (PO, DPO).
        options: settings of the method by name.
        seed: of every draw.
        save_every: optimiser steps between checkpoints.
        report_to: where transformers logs to.
        stages: progress display.
    """

    loaded: LoadedModel
    forget: Sequence[Sample]
    retain: Sequence[Sample]
    out: Path
    strangers: Sequence[Sample] = ()
    refusals: Sequence[str] = REFUSALS
    options: Mapping[str, Any] | None = None
    seed: int = 0
    save_every: int = 50
    report_to: str = "none"
    stages: Stages = silent


def produce(method: str, job: Job) -> LoadedModel:
    """Change the weights and save the result; it is loaded again by `unsee.models.load.load` or `from_pretrained`.

    Raises:
        MethodError: there is no such method, or it cannot serve this model or this data.
        OptionError: an option is none of the method's, or is not legal.
        UnseeError: what the method itself raises.
    """
    if method not in WEIGHT_METHODS:
        raise MethodError(
            f"the method is {method!r}, expected one of {list(WEIGHT_METHODS)}: these change weights. Prompts, filters "
            "and erasers change none; they are in unsee.registry.METHODS."
        )
    require_disjoint(job.forget, job.retain, ("forget", "retain"))
    return WEIGHT_METHODS[method](job)


def _trained(method: str) -> Callable[[Job], LoadedModel]:
    def make(job: Job) -> LoadedModel:
        given = dict(job.options or {})
        settings = preset(method, given.pop("preset", "sane")).changed(**given)
        return change_weights(
            job.loaded,
            method,
            job.forget,
            job.retain,
            job.out,
            settings=settings,
            refusals=job.refusals,
            strangers=job.strangers,
            seed=job.seed,
            save_every=job.save_every,
            report_to=job.report_to,
            stages=job.stages,
        )

    return make


def _pruned(job: Job) -> LoadedModel:
    given = _split(job.options or {}, ("preset", "percent", "batch_size"))[0]
    released = given.pop("preset", "sane") == "released"
    prune(job.loaded, job.forget, job.retain, released=released, stages=job.stages, **given)
    return _saved(job)


_OF_SHIFT, _OF_UPDATE = ("layer", "suffix"), ("scale", "alpha", "gamma")


def _redirect(job: Job, options: Mapping[str, Any]) -> None:
    where, how = ({k: v for k, v in options.items() if k in names} for names in (_OF_SHIFT, _OF_UPDATE))
    found = find_shift(job.loaded, job.forget, job.strangers, stages=job.stages, **where)
    redirect(job.loaded, job.forget, job.retain, found, stages=job.stages, **how)


def _redirected(job: Job) -> LoadedModel:
    _redirect(job, _split(job.options or {}, (*_OF_SHIFT, *_OF_UPDATE))[0])
    return _saved(job)


def _reinforced(with_stage_1: bool) -> Callable[[Job], LoadedModel]:
    def make(job: Job) -> LoadedModel:
        names = tuple(f.name for f in fields(GrpoSettings))
        given, rest = _split(job.options or {}, names, ("share", "trainer", *_OF_SHIFT, *_OF_UPDATE))
        if with_stage_1:
            _redirect(job, rest)
        middle = len(job.loaded.adapter.layers(job.loaded.model)) // 2
        kept = boundary(job.loaded, job.forget, job.retain, rest.get("layer") or middle, rest.get("share", SHARE))
        return refine(
            job.loaded,
            job.forget,
            kept,
            job.out,
            settings=GrpoSettings(**given),
            seed=job.seed,
            save_every=job.save_every,
            report_to=job.report_to,
            trainer=rest.get("trainer"),
            stages=job.stages,
        )

    return make


def _split(
    options: Mapping[str, Any], first: Sequence[str], second: Sequence[str] = ()
) -> tuple[dict[str, Any], dict[str, Any]]:
    if unknown := sorted(set(options) - {*first, *second}):
        raise OptionError(f"{unknown[0]!r} is no setting of this method, expected some of {[*first, *second]}.")
    return {k: v for k, v in options.items() if k in first}, {k: v for k, v in options.items() if k in second}


def _saved(job: Job) -> LoadedModel:
    model: Any = job.loaded.model
    try:
        model.save_pretrained(job.out)
        job.loaded.processor.save_pretrained(job.out)
    except OSError as error:
        raise SaveError(f"cannot write to {str(job.out)!r}: {error}. Choose another folder with --out.") from error
    return replace(job.loaded, digest=weights_digest(job.loaded.model))


WEIGHT_METHODS: dict[str, Callable[[Job], LoadedModel]] = {
    **{name: _trained(name) for name in OBJECTIVES},
    "manu": _pruned,
    "asru_ridge": _redirected,
    "asru_grpo": _reinforced(with_stage_1=False),
    "asru": _reinforced(with_stage_1=True),
}
"""Name to what it does, in the order of the table."""
