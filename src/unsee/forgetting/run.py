"""One request from a name and images to an eraser in force, with what the model said before and says after.

Command line, browser and ledger call this one function.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

from unsee.data.sample import Sample
from unsee.erase.eraser import Eraser
from unsee.erase.fit.reply import Acceptance
from unsee.erase.fit.unknown_words import most_said
from unsee.erase.fit_reply import ORDER, ReplyKind, fit_reply
from unsee.erase.profile import Profile
from unsee.erase.request.aliases import last_name
from unsee.erase.request.allowed import allowed, unknown_like
from unsee.erase.request.expansion import ANYTHING, Prompt, bare, expand, scope
from unsee.erase.request.invented import invented_names
from unsee.erase.request.request import Request
from unsee.errors import UnknownSubjectError
from unsee.forgetting.asking import LONGEST, Answer, ask
from unsee.forgetting.before import INVENTED, Before, before, unknown_answers
from unsee.forgetting.fitting import fit_request, request_profile
from unsee.forgetting.folder import Folder
from unsee.forgetting.report import Report, allowances, forget_rows
from unsee.metrics.telling import LEAST, Telling, telling
from unsee.models.load import LoadedModel
from unsee.progress import Stages, silent

EACH, _TRIED = 8, 3
"""Prompts of each held-out family, and of each family of the fit that replies are tried on."""
NOT_TESTED = (
    "questions that do not name the subject and show none of its images (indirect, reverse)",
    "response prefill, forged turns, log-probabilities, other samplings than greedy",
    "forms, languages and views other than those listed",
)


@final
@dataclass(frozen=True)
class Forgotten:
    """What came of a request.

    Attributes:
        eraser: the request, fitted.
        before: what the model said.
        report: what was measured after.
        request: as it was fitted: with the last name, where the model takes it for the subject.
        folder: where everything lies.
        content_id: of the eraser.
    """

    eraser: Eraser
    before: Before
    report: Report
    request: Request
    folder: Path
    content_id: str

    def as_json(self) -> dict[str, Any]:
        """What was known and what was measured; no name and no answer."""
        facts = {"by_name": sum(map(bool, self.before.by_name.facts.values()))}
        if self.before.by_image:
            facts["by_image"] = sum(map(bool, self.before.by_image.facts.values()))
        about = {"known": self.before.known, "facts": facts, "reply": self.eraser.reply.kind}
        return about | {"report": self.report.as_json()}


def forget(
    loaded: LoadedModel,
    request: Request,
    out: str | Path,
    *,
    profile: Profile | None = None,
    keep: Sequence[Sample] = (),
    replies: Sequence[ReplyKind] = ORDER,
    words: str | None = None,
    force: bool = False,
    told: Callable[[Before], None] = lambda _: None,
    seed: int = 0,
    stages: Stages = silent,
) -> Forgotten:
    """Ask what the model knows, fit the request, and verify it on forms of asking that the fit has not seen.

    Args:
        loaded: the model.
        request: who or what, and which facts.
        out: the operator's folder; new or empty.
        profile: of the model; from the starter kit, and cached, if None.
        keep: of one's own that the fit must let through, as about a namesake who has complained.
        replies: which are tried, in this order; the first that holds on the request's own prompts is taken.
        words: what an answer begins with (`prefix`) or is (`canned`); what the model says of invented names if None.
        force: go on though the model knows nothing.
        told: called with what the model says today, before anything is fitted.
        seed: of every draw.
        stages: progress display.

    Raises:
        UnknownSubjectError: the model says nothing of the subject that it does not say of invented ones.
        OptionError: no reply to try.
        CalibrationError: the subject cannot be told from others, or no reply holds; `reply.json` then says why.
        SaveError: the folder is not empty or cannot be written.
    """
    folder = Folder.make(out)
    subject = folder.pseudonym("subject", request.name)
    unknown = unknown_answers(loaded, request.kind, seed=seed, stages=stages)
    today = before(loaded, request, subject, unknown, seed=seed, stages=stages)
    folder.write_before(request, today)
    told(today)
    if not today.known and not force:
        raise UnknownSubjectError(
            f"the model says nothing of {request.name!r} that it does not also say of invented names: there is nothing "
            f"to forget. What it said is in {folder.path}. Check the spelling, give an alias or an image, or force it."
        )
    if profile is None:
        profile = request_profile(loaded, seed=seed, stages=stages)
    request = _with_last_name(loaded, request, subject, today, stages)
    eraser = fit_request(loaded, profile, request, subject, keep=keep, seed=seed, stages=stages)
    how = {"order": replies, "words": words or most_said(_named(unknown, seed))}
    eraser = _with_reply(loaded, eraser, request, subject, today, folder, how, seed, stages)
    eraser = replace(eraser, settings=eraser.settings | _hidden(request, today, folder))
    content = eraser.save_pretrained(folder.path / "eraser")
    report, answers = verify(loaded, eraser, request, subject, today, seed=seed, stages=stages)
    folder.write_after(answers, report)
    return Forgotten(eraser, today, report, request, folder.path, content)


def verify(
    loaded: LoadedModel,
    eraser: Eraser,
    request: Request,
    subject: str,
    today: Before,
    *,
    seed: int = 0,
    stages: Stages = silent,
) -> tuple[Report, list[Answer]]:
    """Ask again, without and with the eraser, in the fit's words and in families that are held out.

    Args:
        loaded: the model.
        eraser: the request, fitted.
        request: as it came.
        subject: its pseudonymous id.
        today: what was said before.
        seed: of every draw.
        stages: progress display.
    """
    asked = [noun for noun in scope(request).nouns if today.golds(noun)] if today.known else None
    prompts = expand(request, subject, held=False, each=2, nouns=asked, seed=seed + 1)
    prompts += expand(request, subject, held=True, each=EACH, nouns=asked, seed=seed)
    near = allowed(request, held=True, seed=seed)
    others = unknown_like(
        [prompt for prompt in prompts if not prompt.spared], request, invented_names(40, seed + 11, request.names)
    )
    every = [*prompts, *(_as_prompt(one.sample) for one in near)]
    old = ask(loaded, every, stage="verify, before", stages=stages)
    new = ask(loaded, [*every, *others], eraser, stage="verify, after", stages=stages)
    rows = forget_rows(old[: len(prompts)], new[: len(prompts)], today.golds)
    kept = allowances([one.group for one in near], old[len(prompts) :], new[len(prompts) : len(every)])
    spared = [i for i, prompt in enumerate(prompts) if prompt.spared]
    if spared:
        kept += allowances(["spared facts"] * len(spared), [old[i] for i in spared], [new[i] for i in spared])
    hidden = [answer for answer in new[: len(prompts)] if answer.prompt.way == "name" and not answer.prompt.spared]
    told = _telling(hidden, new[len(every) :], request)
    return Report(tuple(rows), tuple(kept), told, NOT_TESTED), new


def _with_reply(
    loaded: LoadedModel, eraser: Eraser, request: Request, subject: str, today: Before, folder: Folder,
    how: dict[str, Any], seed: int, stages: Stages,
) -> Eraser:  # fmt: skip
    """The first reply that holds on the request's own prompts."""
    tried = [one for one in expand(request, subject, held=False, each=_TRIED, seed=seed) if not one.spared]
    facts = {one.sample.id: one.fact for one in tried}
    return fit_reply(
        loaded,
        eraser,
        [one.sample for one in tried],
        acceptance=Acceptance(tokens=LONGEST),
        golds=lambda sample: today.golds(facts[sample.id]),
        report=folder.path / "reply.json",
        stages=stages,
        **how,
    )


def _named(unknown: Sequence[Answer], seed: int) -> list[tuple[str, str]]:
    """Answers about invented subjects, each with the name."""
    names = invented_names(INVENTED, seed + 7)
    return [(names[int(one.prompt.sample.subject.split("/")[1])], one.text) for one in unknown]


def _hidden(request: Request, today: Before, folder: Folder) -> dict[str, Any]:
    """What an eraser says of what it hides: keyed digests, and the kind."""
    hidden = [gold for noun in scope(request).hidden for gold in today.golds(noun)]
    return {"golds": sorted({folder.pseudonym("gold", gold) for gold in hidden}), "kind": request.kind}


def _with_last_name(loaded: LoadedModel, request: Request, subject: str, today: Before, stages: Stages) -> Request:
    """The request with the last name as an alias, if the model takes the last name alone for this person."""
    last = last_name(request.name) if request.kind == "person" else None
    if last is None or last in request.names:
        return request
    alone = replace(request, name=last, aliases=(), images=())
    prompts = [p for p in bare(alone, subject) if p.fact != ANYTHING and today.golds(p.fact)]
    said = [answer.leaked(today.golds(answer.prompt.fact)) for answer in ask(loaded, prompts, stages=stages)]
    understood = bool(said) and sum(map(bool, said)) >= len(said) / 2
    return replace(request, aliases=(*request.aliases, last)) if understood else request


def _telling(forgotten: Sequence[Answer], unknown: Sequence[Answer], request: Request) -> Telling | None:
    if min(len(forgotten), len(unknown)) < LEAST:
        return None
    names = [*request.names, *(a.prompt.sample.question for a in (*forgotten, *unknown))]
    return telling([a.text for a in forgotten], [a.text for a in unknown], names)


def _as_prompt(sample: Sample) -> Prompt:
    return Prompt(sample, "", "allowed", "image" if sample.image else "name", True)
