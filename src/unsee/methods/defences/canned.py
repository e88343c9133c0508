"""Our gates with a fixed text for an answer: what is left for steering to add."""

from unsee.erase.fit_eraser import fit_eraser
from unsee.erase.replies.canned import CannedReply
from unsee.evals.answerers import Local
from unsee.methods.task import Made, Request
from unsee.registry import method


@method("canned", kind="steered")
def canned(request: Request) -> Made:
    """The gate of 'erased', and a fixed sentence: no word is the model's."""
    data = request.data
    eraser = fit_eraser(request.loaded, request.profile(), data.forget, keep=data.keep, stages=request.stages)
    made = eraser.with_reply(CannedReply.with_words(request.loaded, data.refusals[0]))
    return Made(Local(request.loaded, (made,)), made.stored_bytes)
