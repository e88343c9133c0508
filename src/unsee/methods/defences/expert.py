"""An expert and a router: weights that were taught to refuse, asked only where a list of names and faces fires."""

from unsee.evals.answerers import Local, Switched
from unsee.methods.controls import NamesAndFaces
from unsee.methods.job import Job
from unsee.methods.produce import change_weights
from unsee.methods.settings import preset
from unsee.methods.task import Made, Request
from unsee.methods.weights import changed_bytes, fresh
from unsee.registry import method


@method("expert", kind="trained", knob="rate", values=(1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2))
def expert(request: Request) -> Made:
    """LUMoE's kind: an expert that was taught to refuse, for prompts that a list of names and faces sends to it.

    One expert for one request, trained as `po`; several requests would have one each.

    Source: LUMoE (arXiv 2606.12809), from its description; its router is trained, ours looks up.
    """
    data, router = request.data, NamesAndFaces.of(request)
    given = {**request.options, **({} if request.value is None else {"rate": request.value})}
    job = Job(
        fresh(request.loaded), data.forget, data.retain, request.out, refusals=data.refusals, seed=request.seed,
        stages=request.stages,
    )  # fmt: skip
    taught = change_weights("po", job, preset("po", given.pop("preset", "sane")).changed(**given))
    answerer = Switched(Local(request.loaded), Local(taught), router.fires, router.called)
    return Made(answerer, router.stored + changed_bytes(request.loaded, taught))
