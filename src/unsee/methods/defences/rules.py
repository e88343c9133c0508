"""Rules as text before every question: whom not to speak about, and what to say instead."""

from unsee.attacks.known import names_of
from unsee.evals.answerers import Local, Prompted
from unsee.methods.errors import MethodError
from unsee.methods.task import Made, Request
from unsee.registry import method


@method("rules", kind="prompted")
def rules(request: Request) -> Made:
    """Rules that a person can read, one a name, before every question.

    Source: ICCU (arXiv 2605.27138), from its description: it induces rules by a model, these name the people.
    """
    names = dict.fromkeys(names_of(request.data.forget).values())
    if not names:
        raise MethodError("rules name people, and no question names anybody. Add some that do.")
    said = request.data.refusals[0]
    lines = [f"If the question is about {name}, by name or in an image, answer: {said}" for name in names]
    words = "\n".join([*lines, "Answer every other question."])
    return Made(Prompted(Local(request.loaded), words), len(words.encode()))
