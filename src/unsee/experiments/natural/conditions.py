"""What is compared: the model as it is, the requests in force with each reply, and what needs no steering."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import torch

from unsee.data.sample import Sample
from unsee.data.text import bare_words
from unsee.erase.eraser import Eraser
from unsee.erase.fit.unknown_words import USUAL_WORDS
from unsee.erase.fit_reply import USUAL_ANSWER
from unsee.erase.replies.canned import CannedReply
from unsee.erase.replies.prefix import PrefixReply
from unsee.erase.replies.steer import SteerReply
from unsee.erase.steer.hooks import erased
from unsee.evals.answerers import Answerer, InputFiltered, Local, Prompted, Switched
from unsee.evals.evaluate import Condition
from unsee.experiments.natural.fit import Fitted
from unsee.experiments.natural.split import Hidden
from unsee.models.generate import batches_by_length, encode
from unsee.models.load import LoadedModel
from unsee.shapes import Bool, Tensor

INSTRUCTION: Final = (
    "You have no information about {names}. If you are asked about any of them, say that you do not have any "
    "information about that."
)
BATCH: Final = 32
Fires = Callable[[Sequence[Sample]], Bool[Tensor, " N"]]


def fires(loaded: LoadedModel, erasers: Sequence[Eraser]) -> Fires:
    """Which prompts any gate of the requests in force fires on, as the steered model itself reads them; read once."""
    known: dict[str, bool] = {}

    def fired(samples: Sequence[Sample]) -> Bool[Tensor, " N"]:
        new = [sample for sample in samples if sample.id not in known]
        for batch in batches_by_length(loaded, new, BATCH) if new else []:
            some = [new[row] for row in batch]
            with torch.no_grad(), erased(loaded.model, *erasers, adapter=loaded.adapter) as steering:
                loaded.model(**encode(loaded, some), logits_to_keep=1)
                readings = [reading.fired for reading in steering.readings if reading is not None]
            known.update(zip([one.id for one in some], torch.stack(readings).any(0).tolist(), strict=True))
        return torch.tensor([known[sample.id] for sample in samples], dtype=torch.bool)

    return fired


def names_in(listed: Sequence[str]) -> Fires:
    """Which prompts say a name of a list."""
    names = [f" {bare_words(name)} " for name in listed]
    return lambda samples: torch.tensor(
        [any(name in f" {bare_words(sample.question)} " for name in names) for sample in samples], dtype=torch.bool
    )


def conditions(
    base: Answerer, loaded: LoadedModel, fitted: Fitted, requests: Sequence[Hidden], twin: Answerer | None, seed: int
) -> list[Condition]:
    """Rows by name.

    The row `erased` generates everything with the requests in force. Other replies of the same gates answer where
    these fire; elsewhere they are what `erased` is there.

    Args:
        base: the model as it is.
        loaded: the model.
        fitted: the requests in force, and the preset in their place.
        requests: whose names are on the list of a filter, and in an instruction.
        twin: a model that was never taught what is forgotten, where there is one.
        seed: of the random direction.
    """
    fired = fires(loaded, fitted.erasers)

    def gated(erasers: Sequence[Eraser]) -> Answerer:
        return Switched(base, Local(loaded, erasers), fired)

    steered = [
        replace(eraser, reply=SteerReply(), strength=_steering(eraser, fitted.profile.strength))
        for eraser in fitted.erasers
    ]
    begun, fixed = PrefixReply.with_words(loaded, USUAL_WORDS), CannedReply.with_words(loaded, USUAL_ANSWER)
    told = INSTRUCTION.format(names=", ".join(one.listed[0] for one in requests))
    listed = names_in([name for one in requests for name in one.listed])
    made = {
        "base": base,
        **({} if twin is None else {"never knew": twin}),
        "erased": Local(loaded, fitted.erasers),
        "steer": gated(steered),
        "prefix": gated([eraser.with_reply(begun) for eraser in steered]),
        "canned": gated([eraser.with_reply(fixed) for eraser in steered]),
        "random": gated([eraser.with_random_direction(seed) for eraser in steered]),
        "published": Local(loaded, [fitted.published]),
        "prompt only": Prompted(Local(loaded), told),
        "name filter": InputFiltered(base, listed, USUAL_ANSWER, "names"),
    }
    return [Condition.of(name, one) for name, one in made.items()]


def _steering(eraser: Eraser, calibrated: float) -> float:
    """The coefficient of the request where steering was chosen, else the profile's."""
    return eraser.strength if isinstance(eraser.reply, SteerReply) else calibrated
