"""Every method that changes weights, by name: from a loaded model to another checkpoint folder."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from unsee.data.sample import require_disjoint, require_some
from unsee.errors import OptionError
from unsee.methods.boundary import SHARE, boundary
from unsee.methods.errors import MethodError, extra
from unsee.methods.fisher import masked_steps
from unsee.methods.grpo import GrpoSettings, refine
from unsee.methods.job import Job
from unsee.methods.neurons import prune
from unsee.methods.objectives import OBJECTIVES, Context
from unsee.methods.redirection import find_shift, redirect
from unsee.methods.settings import TrainSettings, preset
from unsee.methods.trainer import Target, run
from unsee.methods.weights import default_layer, down_projection
from unsee.models.load import LoadedModel
from unsee.shapes import Float, Tensor


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


def change_weights(method: str, job: Job, settings: TrainSettings | None = None) -> LoadedModel:
    """Train by one of `OBJECTIVES` in place and save; see `unsee.methods.trainer.run`.

    Raises:
        MethodError: there is no such method, or it cannot serve this model or this data.
        DataError: a set is empty, or both sets have a subject in common.
        MissingExtraError: accelerate or peft is not installed.
        OptionError, DivergenceError, SaveError: as `run`.
    """
    if method not in OBJECTIVES:
        raise MethodError(f"the trained method is {method!r}, expected one of {list(OBJECTIVES)}. Pass one of these.")
    extra("accelerate")
    objective, settings = OBJECTIVES[method], settings or preset(method)
    require_some(job.forget, "forget")
    if settings.order != "forget":
        require_some(job.retain, "retain")
    require_disjoint(job.forget, job.retain, ("forget", "retain"))
    if not job.refusals or not all(words.strip() for words in job.refusals):
        raise MethodError(f"the refusals are {list(job.refusals)}, expected at least one, and none of them empty.")
    target, vector = Target(), None
    if objective.tapped:
        layer = default_layer(job.loaded, method) if settings.layer is None else settings.layer
        # WMDP trains the block that is read and the two before it, ASRU the one alone.
        first = max(0, layer - 2) if method == "rmu" else layer
        target = Target(layer, [down_projection(job.loaded, place) for place in range(first, layer + 1)])
        vector = (
            control_vector(job.loaded.adapter.hidden_size(job.loaded.model), job.seed)
            if method == "rmu"
            else find_shift(job.loaded, job.forget, job.unknown, layer=layer, stages=job.stages).vector
        )
    masks = masked_steps(job, settings.answer_only) if objective.masked else None
    return run(job, objective, Context(settings, vector), target, masks)


def control_vector(width: int, seed: int) -> Float[Tensor, " D"]:
    """RMU's `u`: uniform in [0, 1) per component, then of length 1.

    Source: Li et al. 2024 (arXiv 2403.03218), `rmu/unlearn.py` of github.com/centerforaisafety/wmdp.
    """
    drawn = torch.rand(width, generator=torch.Generator().manual_seed(seed))
    return drawn / drawn.norm()


def _trained(method: str) -> Callable[[Job], LoadedModel]:
    def make(job: Job) -> LoadedModel:
        given = dict(job.options)
        return change_weights(method, job, preset(method, given.pop("preset", "sane")).changed(**given))

    return make


def _pruned(job: Job) -> LoadedModel:
    given = _split(job.options, ("preset", "percent", "batch_size"))[0]
    released = given.pop("preset", "sane") == "released"
    prune(job.loaded, job.forget, job.retain, released=released, stages=job.stages, **given)
    return job.saved()


_OF_SHIFT, _OF_UPDATE = ("layer", "suffix"), ("scale", "alpha", "gamma")


def _redirect(job: Job, options: Mapping[str, Any]) -> None:
    where, how = ({k: v for k, v in options.items() if k in names} for names in (_OF_SHIFT, _OF_UPDATE))
    found = find_shift(job.loaded, job.forget, job.unknown, stages=job.stages, **where)
    redirect(job.loaded, job.forget, job.retain, found, stages=job.stages, **how)


def _redirected(job: Job) -> LoadedModel:
    _redirect(job, _split(job.options, (*_OF_SHIFT, *_OF_UPDATE))[0])
    return job.saved()


def _reinforced(with_stage_1: bool) -> Callable[[Job], LoadedModel]:
    def make(job: Job) -> LoadedModel:
        given, rest = _split(
            job.options, list(GrpoSettings.model_fields), ("share", "trainer", *_OF_SHIFT, *_OF_UPDATE)
        )
        middle = len(job.loaded.adapter.layers(job.loaded.model)) // 2
        # Before stage 1, which moves the forget states away from whatever they are near.
        kept = boundary(job.loaded, job.forget, job.retain, rest.get("layer") or middle, rest.get("share", SHARE))
        if with_stage_1:
            _redirect(job, rest)
        return refine(job, kept, GrpoSettings(**given), rest.get("trainer"))

    return make


def _split(
    options: Mapping[str, Any], first: Sequence[str], second: Sequence[str] = ()
) -> tuple[dict[str, Any], dict[str, Any]]:
    if unknown := sorted(set(options) - {*first, *second}):
        raise OptionError(f"{unknown[0]!r} is no setting of this method, expected some of {[*first, *second]}.")
    return {k: v for k, v in options.items() if k in first}, {k: v for k, v in options.items() if k in second}


WEIGHT_METHODS: dict[str, Callable[[Job], LoadedModel]] = {
    **{name: _trained(name) for name in OBJECTIVES},
    "manu": _pruned,
    "asru_ridge": _redirected,
    "asru_grpo": _reinforced(with_stage_1=False),
    "asru": _reinforced(with_stage_1=True),
}
"""Name to what it does, in the order of the table."""
