"""`unsee forget` as a row: one request a person, from a name and a few images, all in force together."""

from collections.abc import Sequence

from unsee.attacks.known import names_of
from unsee.data.sample import ImageFile
from unsee.erase.eraser import Eraser
from unsee.erase.eraser_set import together
from unsee.erase.replies.canned import CannedReply
from unsee.erase.request.request import Request as Erasure
from unsee.evals.answerers import Local
from unsee.forgetting.fitting import fit_request, request_profile
from unsee.methods.errors import MethodError
from unsee.methods.task import Made, Request
from unsee.registry import method

IMAGES = 3
"""Of each person, at most."""


@method("subject", kind="filtered")
def subject(request: Request) -> Made:
    """The eraser of 'unsee forget', one request a person: the subject's own tokens, from a name and three images."""
    return _made(request, fit_requests(request))


@method("subject_canned", kind="filtered")
def subject_canned(request: Request) -> Made:
    """The same gates, and a fixed sentence: no word is the model's."""
    reply = CannedReply.with_words(request.loaded, request.data.refusals[0])
    return _made(request, [eraser.with_reply(reply) for eraser in fit_requests(request)])


def fit_requests(request: Request) -> list[Eraser]:
    """One eraser a person of the forget set who is named there.

    Raises:
        MethodError: nobody is.
    """
    names, shown = names_of(request.data.forget), dict[str, list[ImageFile]]()
    if not names:
        raise MethodError("this takes requests from names, and no question names anybody. Add some that do.")
    for sample in request.data.forget:
        mine = shown.setdefault(sample.subject, [])
        if sample.image is not None and len(mine) < IMAGES and sample.image not in mine:
            mine.append(sample.image)
    profile = request_profile(request.loaded, seed=request.seed, stages=request.stages)
    tell = request.stages("requests", len(names))
    made = []
    for who, name in names.items():
        wanted = Erasure(name, images=tuple(shown.get(who, ())))
        made.append(fit_request(request.loaded, profile, wanted, who, seed=request.seed))
        tell(1)
    return together(made)


def _made(request: Request, erasers: Sequence[Eraser]) -> Made:
    return Made(Local(request.loaded, tuple(erasers)), sum(eraser.stored_bytes for eraser in erasers))
