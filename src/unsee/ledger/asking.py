"""Ask the model what verification needs to know: forms, over-refusal, attacks, and what tells who is listed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import final

from scipy.stats import mannwhitneyu

from unsee.attacks.base import Victim
from unsee.data.sample import Sample
from unsee.erase.eraser import Eraser
from unsee.erase.request.allowed import allowed, unknown_like
from unsee.erase.request.expansion import Prompt, expand
from unsee.erase.request.invented import half_sharing, invented_names
from unsee.erase.request.request import Request as Wanted
from unsee.evals.answerers import Local
from unsee.evals.answerers.base import PLAIN, How, in_batches
from unsee.forgetting.before import Before
from unsee.ledger.policy import Thresholds
from unsee.ledger.verification import Count, Finding
from unsee.metrics.detectors import is_fluent, is_refusal, leaks
from unsee.metrics.telling import LEAST, telling
from unsee.models.load import LoadedModel
from unsee.progress import Stages, silent
from unsee.registry import ATTACKS, Entry

EACH, MOST_EACH, NEVER, TRIES = 8, 32, 40, 4
"""Prompts of each held-out family, the most of these, names never erased to try an oracle on, draws of an attacker."""
ASKS = ("ask", "ask many", "prefill")
"""What an attacker needs who has no more than an address: to write prompts, to draw answers, to begin them."""
OURS = ("longer", "response-prefill", "sampling", "turns")
"""Ours that are carried out, the cheap ones; 'unsee attack' has them all. Other packages' are carried out too."""


def _asks(entry: Entry) -> bool:
    ours = entry.make.__module__.startswith("unsee.attacks.")
    return entry.facts["access"] in ASKS and (entry.name in OURS or not ours)


@final
@dataclass(frozen=True)
class Question:
    """About the person, and the words that give the answer away; without any, every answer does."""

    sample: Sample
    golds: tuple[str, ...]
    form: str

    @staticmethod
    def of(prompt: Prompt, today: Before) -> "Question":
        """A prompt about the person, held against what the model says today."""
        return Question(prompt.sample, today.golds(prompt.fact), f"{prompt.way}: {prompt.family}")

    def leaked(self, answer: str) -> bool:
        """Whether an answer gives it away."""
        return bool(leaks(answer, self.golds, self.sample.question)) if self.golds else not is_refusal(answer)


@final
@dataclass(frozen=True)
class Asker:
    """The model, everything that is to be in force together, and the limits that answers are judged by."""

    loaded: LoadedModel
    erasers: Sequence[Eraser]
    limits: Thresholds
    batch_size: int = 64
    seed: int = 0
    how: How = PLAIN
    stages: Stages = silent

    def said(self, samples: Sequence[Sample], stage: str, *, erasing: bool = True) -> list[str]:
        """Greedy answers, with everything in force or without any of it."""
        tell, victim = self.stages(stage, len(samples)), Local(self.loaded, self.erasers if erasing else ())
        answers = in_batches(victim, samples, self.how, self.batch_size)
        tell(len(samples))
        return answers

    def about(self, questions: Sequence[Question]) -> Iterator[Finding]:
        """Leak in held-out forms, the worst of them, refusal and fluency."""
        samples = [one.sample for one in questions]
        old, new = self.said(samples, "before", erasing=False), self.said(samples, "forms")
        # Where the model knows some facts, a question about another has no answer that could leak.
        known = any(one.golds for one in questions)
        asked = [row for row in zip(questions, old, new, strict=True) if row[0].golds or not known]
        forms = dict[str, list[bool]]()
        for one, _, answer in asked:
            forms.setdefault(one.form, []).append(one.leaked(answer))
        yield self._found("leak", "held-out questions were answered", [*chain(*forms.values())], "max_leak")
        for way in ("name", "image"):
            of = [hit for form, some in forms.items() if form.startswith(way) for hit in some]
            if of:
                yield self._found(f"leak by {way}", f"questions by {way} were answered", of)
        if forms:
            worst = max(forms, key=lambda form: sum(forms[form]) / len(forms[form]))
            yield self._found("worst form", f"leak in the form '{worst}'", forms[worst])
        before = [one.leaked(answer) for one, answer, _ in asked]
        yield self._found("before", "of these were answered without the erasure", before)
        refused, fluent = [*map(is_refusal, new)], [*map(is_fluent, new)]
        yield self._found("refusal", "questions about the person were declined", refused, "min_refusal")
        yield self._found("fluency", "of the answers read as text", fluent, "min_fluent")

    def still(self, near: Mapping[str, Sequence[Sample]]) -> Iterator[Finding]:
        """What must still be answered: questions declined now, of those answered before; in all, and by group."""
        every, what = list[bool](), "questions that were answered before are declined"
        for group, samples in near.items():
            old, new = self.said(samples, f"{group}, before", erasing=False), self.said(samples, group)
            hits = [is_refusal(after) for before, after in zip(old, new, strict=True) if not is_refusal(before)]
            yield self._found(f"declines: {group}", what, hits)
            every += hits
        yield self._found("declines", what, every, "max_wrong_refusal")

    def attacked(self, questions: Sequence[Question]) -> Iterator[Finding]:
        """Every attack of the registry that needs no more than to ask."""
        victim = Victim(Local(self.loaded, self.erasers), self.how, tries=TRIES, batch_size=self.batch_size)
        golds = [replace(one.sample, gold=one.golds[0] if one.golds else "") for one in questions]
        for attack in (one for one in ATTACKS if _asks(one)):
            tell = self.stages(f"attack: {attack.name}", len(golds))
            tries = attack.make(victim, golds, self.seed)
            tell(len(golds))
            hits = [any(map(one.leaked, got)) for one, got in zip(questions, tries, strict=True) if got is not None]
            if hits:
                what = f"questions were answered ({attack.facts['recovered']})"
                yield self._found(f"attack: {attack.name}", what, hits, "max_attack_leak")

    def listed(self, prompts: Sequence[Prompt], request: Wanted, names: Sequence[str]) -> Iterator[Finding]:
        """Whether the list of the erased can be told: by replies, and by who holds model and erasers.

        The share of pairs told apart is the area under the ROC curve. Its variance is at most that of as many trials as
        the smaller side has members (Birnbaum and Klose 1957), so it is counted as of so many.
        """
        never = [*half_sharing(request.name, NEVER // 2, self.seed), *invented_names(NEVER, self.seed + 11, names)]
        others = unknown_like(prompts, request, invented_names(NEVER, self.seed + 12, names))
        mine = [one.sample for one in prompts if one.way == "name"]
        if min(len(mine), len(others)) >= LEAST:
            replies = self.said(mine, "replies"), self.said([one.sample for one in others], "replies about nobody")
            leave = [*request.names, *(one.question for one in (*mine, *(other.sample for other in others)))]
            yield self._told("list, by asking", telling(*replies, leave, seed=self.seed).auc, len(mine), len(others))
        who = [Sample("listed", "listed", f"Who is {name}?", "", "") for name in (*names, *never)]
        margins = Local(self.loaded, self.erasers).margins(who, self.how)
        auc = mannwhitneyu(margins[: len(names)], margins[len(names) :]).statistic / (len(names) * len(never))
        yield self._told("list, by eraser", float(auc), len(names), len(never))

    def _found(self, check: str, what: str, hits: Sequence[bool] | Count, limit: str = "") -> Finding:
        return Finding.of(check, what, hits, self.limits, limit)

    def _told(self, check: str, auc: float, mine: int, others: int) -> Finding:
        count = Count(k=round(auc * min(mine, others)), n=min(mine, others))
        what = f"pairs were told apart (AUC {auc:.2f}; {mine} of the erased against {others} never erased)"
        return self._found(check, what, count, "max_listed")


def held_out(request: Wanted, subject: str, today: Before, *, least: int = 0, seed: int = 0) -> list[Prompt]:
    """Prompts about the person in forms, words and views that no fit saw; of facts that the model knows, if any.

    Up to four times as many of each family are drawn where it takes more than the usual to have the `least`.
    """
    known = [noun for one in (today.by_name, today.by_image) if one for noun in one.facts]
    nouns = [noun for noun in dict.fromkeys(("", *known)) if today.golds(noun)] if today.known else None
    each, found = EACH, list[Prompt]()
    while not found or (len(found) < least and each <= MOST_EACH):
        found = expand(request, subject, held=True, each=each, nouns=nouns, seed=seed)
        each *= 2
    return found


def near_by(request: Wanted, seed: int = 0) -> dict[str, list[Sample]]:
    """What must still be answered beside a person, by group: namesakes, what is visible, others, anything else."""
    found = dict[str, list[Sample]]()
    for one in allowed(request, held=True, seed=seed):
        found.setdefault(one.group, []).append(one.sample)
    return found
