"""Every method by name: how it is fitted, and something that can be asked afterwards.

A table asks all of them alike: `METHODS[name].fit(loaded, task, out)` leaves the given model as it is and returns a
`Fitted`, whose `answerer` answers samples. `knob` is the one number that is chosen on calibration people; every method
that has one offers as many values, so that each gets the same budget.
"""

from collections.abc import Callable
from dataclasses import replace

import torch

from unsee.erase.eraser import Eraser
from unsee.erase.fit_eraser import fit_eraser, fit_published
from unsee.erase.gates.null_space import RELEASED_LLAVA, RELEASED_QWEN
from unsee.methods.controls import (
    INSTRUCTION,
    Answerer,
    Asked,
    InputFiltered,
    OutputFiltered,
    Prompted,
    fit_gallery,
    forbidden,
    in_context,
)
from unsee.methods.errors import MethodError
from unsee.methods.objectives import OBJECTIVES
from unsee.methods.produce import Job, produce
from unsee.methods.steered import Routed, fit_alphasteer_text, fit_cast, unconditional
from unsee.methods.task import Fit, Fitted, Method, Request, Task
from unsee.methods.weights import fresh
from unsee.models.load import LoadedModel

__all__ = ["METHODS", "Fitted", "Method", "Request", "Task", "method_named"]


_RATES = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
_SCALES = (0.5, 1.0, 2.0, 3.0, 6.0, 10.0, 20.0)
_STRENGTHS = (0.1, 0.15, 0.2, 0.25, 0.35, 0.5, 1.0)
_HELD_STRENGTHS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
"""Of gates that decide: below, a refusal is begun and not ended."""


def method_named(name: str) -> Method:
    """The method of that name.

    Raises:
        MethodError: there is none; the message lists all of them.
    """
    if name not in METHODS:
        raise MethodError(f"the method is {name!r}, expected one of {list(METHODS)}. Pass one of these.")
    return METHODS[name]


def _weights(name: str) -> Fit:
    def make(request: Request) -> tuple[Answerer, LoadedModel, int]:
        task, knob = request.task, METHODS[name].knob
        chosen = {} if request.value is None else {knob: request.value}
        job = Job(
            fresh(request.loaded),
            task.forget,
            task.retain,
            request.out,
            strangers=task.strangers,
            refusals=task.refusals,
            options={**request.options, **chosen},
            seed=request.seed,
            stages=request.stages,
        )
        result = produce(name, job)
        return Asked(result), result, _changed_bytes(request.loaded, result)

    return make


def _prompt(request: Request) -> tuple[Answerer, LoadedModel, int]:
    words = str(request.options.get("instruction", INSTRUCTION))
    return Prompted(Asked(request.loaded), words), request.loaded, len(words.encode())


def _shown(request: Request) -> tuple[Answerer, LoadedModel, int]:
    count = 4 if request.value is None else int(request.value)
    words = in_context(request.task.forget, request.task.retain, count, request.task.refusals[0])
    return Prompted(Asked(request.loaded), words), request.loaded, len(words.encode())


def _output_filter(request: Request) -> tuple[Answerer, LoadedModel, int]:
    words = forbidden(request.task.forget)
    stored = sum(len(word.encode()) for word in words)
    return OutputFiltered(Asked(request.loaded), words, request.task.refusals[0]), request.loaded, stored


def _face_filter(request: Request) -> tuple[Answerer, LoadedModel, int]:
    tail = 0.01 if request.value is None else request.value
    gallery = fit_gallery(request.loaded, request.task.forget, request.task.calibration, tail)
    answerer = InputFiltered(Asked(request.loaded), gallery.fires, request.task.refusals[0])
    return answerer, request.loaded, 4 * gallery.known.numel()


def _erased(fit: Callable[[Request], Eraser]) -> Fit:
    def make(request: Request) -> tuple[Answerer, LoadedModel, int]:
        eraser = fit(request)
        eraser = eraser if request.value is None else eraser.with_strength(request.value)
        return Asked(request.loaded, (eraser,)), request.loaded, eraser.stored_bytes

    return make


def _stronger(answerer: Answerer, strength: float) -> Answerer:
    """The same erasers at another strength."""
    if isinstance(answerer, Routed):
        return replace(answerer, eraser=answerer.eraser.with_strength(strength))
    if isinstance(answerer, Asked):
        return replace(answerer, erasers=tuple(eraser.with_strength(strength) for eraser in answerer.erasers))
    raise MethodError(f"{type(answerer).__name__} has no strength, expected an eraser behind it. Fit the method again.")


def _steered(fit: Fit, values: tuple[float, ...] = _STRENGTHS) -> Method:
    return Method("steered", fit, "strength", values, vary=_stronger)


def _ours(request: Request) -> Eraser:
    return fit_eraser(
        request.loaded, request.profile(), request.task.forget, keep=request.task.keep, stages=request.stages
    )


def _published(request: Request) -> Eraser:
    ratio = RELEASED_LLAVA if request.loaded.adapter.family == "llava" else RELEASED_QWEN
    return fit_published(request.loaded, request.profile(), request.task.forget, preset=ratio, stages=request.stages)


def _alphasteer(request: Request) -> Eraser:
    task = request.task
    return fit_alphasteer_text(
        request.loaded, task.forget, task.retain, task.recall, task.refusal, stages=request.stages
    )


def _cast(request: Request) -> tuple[Answerer, LoadedModel, int]:
    condition = fit_cast(
        request.loaded, request.profile(), request.task.forget, request.task.retain, stages=request.stages
    )
    eraser = unconditional(request.profile(), request.value)
    stored = condition.vector.nbytes + condition.centre.nbytes + eraser.trajectory.nbytes
    return Routed(request.loaded, condition, eraser), request.loaded, stored


def _changed_bytes(before: LoadedModel, after: LoadedModel) -> int:
    """Bytes of the tensors that differ: what has to be kept beside the base model, uncompressed."""
    old = before.model.state_dict()
    return sum(
        value.numel() * value.element_size()
        for name, value in after.model.state_dict().items()
        if not torch.equal(value.cpu().to(old[name].dtype), old[name].cpu())
    )


METHODS: dict[str, Method] = {
    **{name: Method("trained", _weights(name), "rate", _RATES, reversible=False) for name in OBJECTIVES},
    "manu": Method("trained", _weights("manu"), "percent", (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 40.0), reversible=False),
    "asru_ridge": Method("trained", _weights("asru_ridge"), "scale", _SCALES, reversible=False),
    "asru_grpo": Method("reinforced", _weights("asru_grpo"), "rate", _RATES, reversible=False),
    "asru": Method("reinforced", _weights("asru"), "scale", _SCALES, reversible=False),
    "prompt": Method("prompted", _prompt),
    "in_context": Method("prompted", _shown, "shown", (1, 2, 3, 4, 5, 6, 8)),
    "output_filter": Method("filtered", _output_filter),
    "face_filter": Method("filtered", _face_filter, "tail", (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)),
    "erased": _steered(_erased(_ours), _HELD_STRENGTHS),
    "published": _steered(_erased(_published), (0.05, 0.1, 0.15, 0.25, 0.35, 0.5, 1.0)),
    "unconditional": _steered(_erased(lambda r: unconditional(r.profile()))),
    "alphasteer_text": _steered(_erased(_alphasteer), (0.1, 0.15, 0.2, 0.3, 0.4, 0.45, 0.5)),
    "cast": _steered(_cast),
    "random": _steered(_erased(lambda r: _ours(r).with_random_direction(r.seed)), _HELD_STRENGTHS),
}
"""Name to method, in the order of the table."""
