"""How a fitted request replies: the operator's policies are tried in order on the request's own prompts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, get_args

from unsee.data.sample import Sample, spread
from unsee.erase.eraser import Eraser
from unsee.erase.eraser_set import FALSE_FIRES
from unsee.erase.fit.reply import (
    Acceptance,
    Candidate,
    Golds,
    at_coefficients,
    choose_reply,
    own_gold,
)
from unsee.erase.fit.unknown_words import USUAL_WORDS, unknown_words
from unsee.erase.gates.prompt_ridge import PromptRidgeGate
from unsee.erase.replies.canned import CannedReply
from unsee.erase.replies.named import ReplyKind
from unsee.erase.replies.prefix import PrefixReply
from unsee.erase.replies.steer import SteerReply
from unsee.errors import OptionError
from unsee.models.load import LoadedModel
from unsee.progress import Stages, silent

ORDER: Final[tuple[ReplyKind, ...]] = get_args(ReplyKind)
USUAL_ANSWER: Final = USUAL_WORDS + " that."


def reply_order(text: str) -> tuple[ReplyKind, ...]:
    """The order that a text such as "steer,prefix" names.

    Raises:
        OptionError: it names none, one twice, or one that does not exist.
    """
    named = [part.strip() for part in text.split(",")]
    found: tuple[ReplyKind, ...] = tuple(kind for part in named for kind in ORDER if kind == part)
    if len(found) != len(named) or len(set(found)) != len(found):
        raise OptionError(
            f"the replies are {text!r}, expected some of {', '.join(ORDER)}, each once and separated by commas: the "
            "first that holds is taken."
        )
    return found


def fit_reply(
    loaded: LoadedModel,
    eraser: Eraser,
    prompts: Sequence[Sample],
    *,
    order: Sequence[ReplyKind] = ORDER,
    words: str | None = None,
    unknown: Sequence[Sample] = (),
    acceptance: Acceptance | None = None,
    golds: Golds = own_gold,
    report: Path | None = None,
    stages: Stages = silent,
) -> Eraser:
    """The request with the first reply that refuses fluently and keeps the fact in every group of prompts.

    Tried with the gate held open, on prompts that a fit may see, by modality and form.

    Args:
        loaded: the model.
        eraser: the request, with a gate that decides.
        prompts: of the request's fit, with their golds; never those of an evaluation.
        order: what to try; `steer` at several multiples of the eraser's own coefficient.
        words: what an answer begins with (`prefix`) or is (`canned`); if None, what the model says of `unknown`, else
            the usual ones.
        unknown: questions about names of nobody, whose names are their `subject`: a refusal in the words that they get
            does not tell who is on the list.
        acceptance: defaults if None.
        golds: every wording that gives the fact of a prompt away.
        report: a JSON file for everything that was tried, also when nothing passes.
        stages: progress display.

    Raises:
        OptionError: no reply to try, or a gate that decides nothing.
        CalibrationError: none passes; says which check failed in which group, and what to do.
    """
    if not order or not eraser.gate.latched:
        raise OptionError(
            f"replies {list(order)} for an eraser of method {eraser.method!r}: expected at least one of {list(ORDER)} "
            "and a gate that decides, which the published one does not. Leave the replies out, or take another method."
        )
    acceptance = acceptance or Acceptance()
    if words is None and unknown and set(order) - {"steer"}:
        words = unknown_words(loaded, unknown, acceptance.batch_size, acceptance.tokens)
    tried = list(_candidates(loaded, eraser, order, words, acceptance))
    choice = choose_reply(loaded, tried, groups_of(prompts, acceptance.prompts), acceptance, golds, stages)
    chosen = choice.require(report)
    own = {"gate": eraser.gate, "method": eraser.method, "settings": eraser.settings}
    return replace(chosen, **own, report=[*eraser.report, *choice.report])


def groups_of(prompts: Sequence[Sample], most: int) -> Mapping[str, list[Sample]]:
    """Prompts by modality and form, at most so many of each."""
    groups: dict[str, list[Sample]] = {}
    for sample in prompts:
        turns = " in a conversation" if sample.earlier or sample.turns else ""
        groups.setdefault(f"{'image' if sample.shown else 'text'}, {sample.form}{turns}", []).append(sample)
    return {name: spread(some, most) for name, some in groups.items()}


def _candidates(
    loaded: LoadedModel, eraser: Eraser, order: Sequence[ReplyKind], words: str | None, acceptance: Acceptance
) -> Iterator[Candidate]:
    always = PromptRidgeGate.fires_always(eraser.gate.layers, eraser.trajectory.shape[-1])
    settings = {name: value for name, value in eraser.settings.items() if name != FALSE_FIRES}  # of the real gate
    probe = replace(eraser, gate=always, reply=SteerReply(), settings=settings)
    for kind in order:
        if kind == "steer":
            yield Candidate(kind, at_coefficients(probe, [eraser.strength * part for part in acceptance.ladder]))
        elif kind == "prefix":
            yield Candidate(kind, (probe.with_reply(PrefixReply.with_words(loaded, words or USUAL_WORDS)),))
        else:
            text = words or USUAL_ANSWER
            yield Candidate(kind, (probe.with_reply(CannedReply.with_words(loaded, text)),), text)
