"""Every method that ships: how it is fitted, and something that can be asked afterwards.

`unsee.methods.task.fit(name, request)` leaves the given model as it is. `knob` is the one number that is chosen on
calibration people; every method that has one offers as many values, so that each gets the same budget.
"""

from collections.abc import Callable
from dataclasses import replace

from unsee.erase.eraser import Eraser
from unsee.erase.fit_eraser import fit_eraser, fit_published
from unsee.erase.gates.null_space import RELEASED_LLAVA, RELEASED_QWEN
from unsee.evals.answerers import Answerer, InputFiltered, Local, OutputFiltered, Prompted, Switched
from unsee.methods.controls import INSTRUCTION, NamesAndFaces, fit_gallery, forbidden, in_context
from unsee.methods.errors import MethodError
from unsee.methods.job import Job
from unsee.methods.produce import WEIGHT_METHODS, produce
from unsee.methods.steered import fit_alphasteer_text, fit_cast, unconditional
from unsee.methods.task import Made, Request
from unsee.methods.weights import changed_bytes, fresh
from unsee.registry import METHODS, method

_RATES = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
_SCALES = (0.5, 1.0, 2.0, 3.0, 6.0, 10.0, 20.0)
_STRENGTHS = (0.1, 0.15, 0.2, 0.25, 0.35, 0.5, 1.0)
_HELD_STRENGTHS = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
"""Of gates that decide: below, a refusal is begun and not ended."""
_LONGEST = {"lora": False, "batch_size": 8, "epochs": 2, "rate": 3e-4}

_TRAINED = {
    "ga": "Gradient ascent on the forget answers.",
    "grad_diff": "Gradient ascent on the forget answers, descent on the retain answers.",
    "kl_min": "Gradient ascent on the forget answers, with the base model's distribution on the retain set.",
    "npo": "Negative preference optimisation.",
    "simnpo": "NPO by mean log-probability, without a reference model.",
    "dpo": "Direct preference optimisation: a refusal over the true answer.",
    "po": "Preference optimisation: the model is taught to refuse.",
    "rmu": "Representation misdirection: hidden states of forget prompts are moved to a random vector.",
    "mmunlearner": "MMUnlearner: updates masked by saliency.",
    "asru_gradient": "ASRU's gradient baseline.",
    "manu": "MANU: neurons that matter for the forget set are pruned.",
    "asru_ridge": "ASRU's first stage: hidden states of forget prompts are redirected by ridge regression.",
    "asru_grpo": "ASRU's second stage: group-relative policy optimisation by rewards for refusing in context.",
    "asru": "ASRU: redirection, then reinforcement.",
}
_KNOBS: dict[str, tuple[str, tuple[float, ...]]] = {
    "manu": ("percent", (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 40.0)),
    "asru_ridge": ("scale", _SCALES),
    "asru": ("scale", _SCALES),
}


def _weights(name: str) -> Callable[[Request], Made]:
    def make(request: Request) -> Made:
        data, knob = request.data, METHODS.named(name).facts["knob"]
        chosen = {} if request.value is None else {knob: request.value}
        job = Job(
            fresh(request.loaded),
            data.forget,
            data.retain,
            request.out,
            unknown=data.unknown,
            refusals=data.refusals,
            options={**request.options, **chosen},
            seed=request.seed,
            stages=request.stages,
        )
        result = produce(name, job)
        return Made(Local(result), changed_bytes(request.loaded, result))

    make.__qualname__, make.__doc__ = f"weights_{name}", _TRAINED.get(name, "Changes weights.")
    return make


for _name in WEIGHT_METHODS:
    _knob, _values = _KNOBS.get(_name, ("rate", _RATES))
    method(
        _name,
        kind="reinforced" if _name in ("asru", "asru_grpo") else "trained",
        knob=_knob,
        values=_values,
        reversible=False,
    )(_weights(_name))


@method("po_longer", kind="trained", knob="rate", values=_RATES, reversible=False)
def po_longer(request: Request) -> Made:
    """PO of the weights themselves, in the table's longest budget: every question twice, eight to a step."""
    return _weights("po")(replace(request, options={**_LONGEST, **request.options}))


@method("prompt", kind="prompted")
def prompt(request: Request) -> Made:
    """An instruction not to tell, before every question."""
    words = str(request.options.get("instruction", INSTRUCTION))
    return Made(Prompted(Local(request.loaded), words), len(words.encode()))


@method("in_context", kind="prompted", knob="shown", values=(1, 2, 3, 4, 5, 6, 8))
def shown_refusals(request: Request) -> Made:
    """In-context unlearning: forget questions with a refusal and retain questions with answers, before every one."""
    count = 4 if request.value is None else int(request.value)
    words = in_context(request.data.forget, request.data.retain, count, request.data.refusals[0])
    return Made(Prompted(Local(request.loaded), words), len(words.encode()))


@method("output_filter", kind="filtered")
def output_filter(request: Request) -> Made:
    """An answer that says a name or fact of the forget set is replaced."""
    words = forbidden(request.data.forget)
    answerer = OutputFiltered(Local(request.loaded), words, request.data.refusals[0])
    return Made(answerer, sum(len(word.encode()) for word in words))


@method("face_filter", kind="filtered", knob="tail", values=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1))
def face_filter(request: Request) -> Made:
    """A question over an image like those of the forget set is refused before the model sees it."""
    tail = 0.01 if request.value is None else request.value
    gallery = fit_gallery(request.loaded, request.data.forget, request.data.calibration, tail)
    answerer = InputFiltered(Local(request.loaded), gallery.fires, request.data.refusals[0], f"gallery, tail {tail:g}")
    return Made(answerer, 4 * gallery.known.numel())


@method("lists", kind="filtered", knob="tail", values=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1))
def lists(request: Request) -> Made:
    """A question that names somebody of the forget set, or shows one, is refused before the model sees it."""
    gate = NamesAndFaces.of(request, 0.01 if request.value is None else request.value)
    return Made(InputFiltered(Local(request.loaded), gate.fires, request.data.refusals[0], gate.called), gate.stored)


def _stronger(answerer: Answerer, strength: float) -> Answerer:
    """The same erasers at another steering coefficient."""
    if isinstance(answerer, Switched):
        return replace(answerer, other=_stronger(answerer.other, strength))
    if isinstance(answerer, Local):
        return replace(answerer, erasers=tuple(eraser.with_strength(strength) for eraser in answerer.erasers))
    raise MethodError(f"{type(answerer).__name__} has no coefficient, expected an eraser behind it. Fit it again.")


def _with(request: Request, eraser: Eraser) -> Made:
    eraser = eraser if request.value is None else eraser.with_strength(request.value)
    return Made(Local(request.loaded, (eraser,)), eraser.stored_bytes)


@method("erased", kind="steered", knob="strength", values=_HELD_STRENGTHS, vary=_stronger)
def ours(request: Request) -> Made:
    """The eraser of 'unsee erase': input-aware steering towards a refusal."""
    return _with(request, _ours(request))


@method("published", kind="steered", knob="strength", values=(0.05, 0.1, 0.15, 0.25, 0.35, 0.5, 1.0), vary=_stronger)
def published(request: Request) -> Made:
    """MLLMEraser's gate by null space, as published."""
    ratio = RELEASED_LLAVA if request.loaded.adapter.family == "llava" else RELEASED_QWEN
    found = fit_published(request.loaded, request.profile(), request.data.forget, preset=ratio, stages=request.stages)
    return _with(request, found)


@method("unconditional", kind="steered", knob="strength", values=_STRENGTHS, vary=_stronger)
def everybody(request: Request) -> Made:
    """One refusal vector for every prompt, without a gate."""
    return _with(request, unconditional(request.profile()))


@method(
    "alphasteer_text", kind="steered", knob="strength", values=(0.1, 0.15, 0.2, 0.3, 0.4, 0.45, 0.5), vary=_stronger
)
def alphasteer(request: Request) -> Made:
    """AlphaSteer as published, from text-only prompts."""
    data = request.data
    found = fit_alphasteer_text(
        request.loaded,
        data.forget,
        data.retain,
        data.recall or data.retain,
        data.refusal or data.forget,
        stages=request.stages,
    )
    return _with(request, found)


@method("cast", kind="steered", knob="strength", values=_STRENGTHS, vary=_stronger)
def cast(request: Request) -> Made:
    """CAST: a refusal vector behind a condition on the angle of a hidden state."""
    profile, loaded = request.profile(), request.loaded
    condition = fit_cast(loaded, profile, request.data.forget, request.data.retain, stages=request.stages)
    eraser = unconditional(profile, request.value)
    stored = condition.vector.nbytes + condition.centre.nbytes + eraser.trajectory.nbytes
    return Made(Switched(Local(loaded), Local(loaded, (eraser,)), condition.holds(loaded), condition.called), stored)


@method("random", kind="steered", knob="strength", values=_HELD_STRENGTHS, vary=_stronger)
def random_direction(request: Request) -> Made:
    """Our gate with a random direction of equal norm: a control."""
    return _with(request, _ours(request).with_random_direction(request.seed))


def _ours(request: Request) -> Eraser:
    data = request.data
    return fit_eraser(request.loaded, request.profile(), data.forget, keep=data.keep, stages=request.stages)
