"""Which reply a request gets: each in the operator's order is tried on its own prompts, the gate held open."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from unsee.data.sample import Sample
from unsee.data.text import bare_words
from unsee.erase.detectors import is_fluent, is_refusal
from unsee.erase.eraser import Eraser
from unsee.erase.fit.reply import USUAL_WORDS, Acceptance, Candidate, ReplyChoice, choose_reply
from unsee.erase.replies.canned import CannedReply
from unsee.erase.replies.prefix import PrefixReply
from unsee.erase.request.expansion import Prompt
from unsee.forgetting.asking import LONGEST, Answer
from unsee.forgetting.before import Before
from unsee.models.load import LoadedModel
from unsee.progress import Stages, silent


def choose(
    loaded: LoadedModel,
    eraser: Eraser,
    prompts: Sequence[Prompt],
    today: Before,
    order: Sequence[str],
    stages: Stages = silent,
) -> ReplyChoice:
    """The first reply that is fluent and does not leak in every group: by name, by image, behind other turns.

    Args:
        loaded: the model.
        eraser: the request; its gate is held open.
        prompts: of the fit.
        today: what the model says of the subject, and of invented ones.
        order: of `unsee.erase.request.reply_order.require_replies`.
        stages: progress display.
    """
    opened, words = replace(eraser, gate=eraser.gate.always()), usual_words(today.unknown)  # type: ignore[union-attr]
    candidates: list[Candidate] = []
    for one in order:
        kind, _, text = one.partition(":")
        if kind == "steer":
            candidates.append(Candidate(one, (opened,)))
        elif kind == "prefix":
            begun = " ".join((words or USUAL_WORDS).split()[:4])
            candidates.append(Candidate(one, (opened.with_reply(PrefixReply.with_words(loaded, begun)),)))
        else:
            said = text or words or f"{USUAL_WORDS} that."
            candidates.append(Candidate(one, (opened.with_reply(CannedReply.with_words(loaded, said)),)))
    groups: dict[str, list[Sample]] = {}
    for prompt in prompts:
        behind = ", behind other turns" if prompt.sample.earlier else ""
        groups.setdefault(f"by {prompt.way}{behind}", []).append(prompt.sample)
    fact = {prompt.sample.id: prompt.fact for prompt in prompts}
    return choose_reply(
        loaded,
        candidates,
        groups,
        Acceptance(tokens=LONGEST),
        golds=lambda sample: today.golds(fact[sample.id]),
        stages=stages,
    )


def usual_words(unknown: Sequence[Answer]) -> str | None:
    """The sentence with which the model declines most invented subjects, whom it does not name; None if it does not."""
    said: Counter[str] = Counter()
    for answer in unknown:
        sentence = answer.text.split(". ")[0].split("\n")[0].strip().rstrip(".") + "."
        asked = {word for word in bare_words(answer.prompt.sample.question).split() if len(word) > 3}
        named = asked & set(bare_words(sentence).split())
        if not named and is_refusal(sentence) and is_fluent(sentence):
            said[sentence] += 1
    return said.most_common(1)[0][0] if said else None
