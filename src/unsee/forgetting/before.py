"""What the model says of a subject today, held against what it says of subjects that nobody ever knew."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

from unsee.data.text import bare_words
from unsee.erase.artifact_files import replace_file
from unsee.erase.request.expansion import NAME, bare, scope, wording_words
from unsee.erase.request.invented import invented_names
from unsee.erase.request.knowledge import Knowledge, Said, common_words, consistent, stated
from unsee.erase.request.request import Kind, Request
from unsee.forgetting.asking import LONGEST, Answer, ask
from unsee.forgetting.informed import OTHERS, informed
from unsee.models.load import LoadedModel
from unsee.models.names import cache_folder
from unsee.progress import Stages, silent

INVENTED, NAMES = 12, 3
"""Invented subjects that are asked about for comparison, and names of the subject that are tried."""


@final
@dataclass(frozen=True)
class Before:
    """What was said before anything is erased.

    Attributes:
        answers: about the subject, greedy and sampled.
        unknown: greedy answers about invented subjects, in the same wordings.
        by_name: what is consistent where the subject is named.
        by_image: the same where it is shown; None without images.
        stated: what the request itself states.
    """

    answers: tuple[Answer, ...]
    unknown: tuple[Answer, ...]
    by_name: Knowledge
    by_image: Knowledge | None
    stated: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        """Whether the model knows the subject by name or by image."""
        return self.by_name.known or (self.by_image is not None and self.by_image.known)

    def golds(self, fact: str) -> tuple[str, ...]:
        """The phrases that give one fact away: those said by name and by image; all of them for "" (anything)."""
        both = [self.by_name, *([self.by_image] if self.by_image else [])]
        nouns = {noun for one in both for noun in one.facts} if not fact else {fact}
        said = [p for one in both if one.known for noun in sorted(nouns) for p in one.facts.get(noun, ())]
        return tuple(dict.fromkeys([*said, *(self.stated if fact != NAME else ())]))


def unknown_answers(loaded: LoadedModel, kind: Kind, *, seed: int = 0, stages: Stages = silent) -> list[Answer]:
    """What the model says of invented subjects of a kind: asked once per model, and kept in the cache.

    Raises:
        SaveError: the cache cannot be written.
    """
    prompts = [
        replace(prompt, sample=replace(prompt.sample, id=f"invented/{index}/{prompt.sample.id}"))
        for index, name in enumerate(invented_names(INVENTED, seed + 7))
        for prompt in bare(_invented(name, kind), f"invented/{index}")
    ]
    key = hashlib.sha256(json.dumps([loaded.digest, LONGEST, [p.sample.question for p in prompts]]).encode())
    kept = cache_folder() / "unknown" / f"{key.hexdigest()[:24]}.json"
    if kept.is_file():
        texts = json.loads(kept.read_text(encoding="utf-8"))
        return [Answer(prompt, text) for prompt, text in zip(prompts, texts, strict=True)]
    answers = ask(loaded, prompts, seed=seed, stage="unknown entities", stages=stages)
    replace_file(kept, json.dumps([answer.text for answer in answers]).encode())
    return answers


def _invented_names(kind: Kind, seed: int) -> list[str]:
    return [_invented(name, kind).name for name in invented_names(INVENTED, seed + 7)]


def _invented_depends(
    loaded: LoadedModel, unknown: Sequence[Answer], names: Sequence[str], stages: Stages
) -> tuple[float, ...]:
    """Of each invented subject against others of them; kept in the cache."""
    said = [[loaded.digest, OTHERS], *([a.prompt.sample.id, a.prompt.sample.question, a.text] for a in unknown)]
    key = hashlib.sha256(json.dumps(said).encode()).hexdigest()[:24]
    kept = cache_folder() / "unknown" / f"{key}-depends.json"
    if kept.is_file():
        return tuple(json.loads(kept.read_text(encoding="utf-8")))
    found, tell = list[float](), stages("do answers depend on the name", len(names))
    for index, name in enumerate(names):
        mine = [a for a in unknown if a.prompt.sample.subject == f"invented/{index}"]
        others = [names[(index + step) % len(names)] for step in range(1, OTHERS + 1)]
        found.append(informed(loaded, mine, name, others))
        tell(1)
    replace_file(kept, json.dumps(found).encode())
    return tuple(found)


def _invented(name: str, kind: Kind) -> Request:
    return Request(name if kind == "person" else name.split()[0], kind=kind, erase=("value",) * (kind == "fact"))


def before(
    loaded: LoadedModel,
    request: Request,
    subject: str,
    unknown: Sequence[Answer],
    *,
    draws: int = 1,
    seed: int = 0,
    stages: Stages = silent,
) -> Before:
    """Ask by name and by image, in several wordings, greedy and sampled, and look for what recurs.

    Args:
        loaded: the model.
        request: the request.
        subject: its pseudonymous id.
        unknown: of `unknown_answers`.
        draws: sampled answers to each question.
        seed: of the draws.
        stages: progress display.
    """
    prompts = bare(request, subject, names=NAMES)
    answers = ask(loaded, prompts, draws=draws, seed=seed, stage="what it says today", stages=stages)
    common = common_words(_said(unknown))
    by_subject: dict[str, list[Answer]] = {}
    for answer in unknown:
        by_subject.setdefault(answer.prompt.sample.subject, []).append(answer)
    invented = tuple(sorted(sum(map(bool, _facts(of, request, common).values())) for of in by_subject.values()))

    def knowledge(way: str, called: str = "") -> Knowledge:
        mine = [a for a in answers if a.prompt.way == way and a.prompt.sample.id.startswith(f"{subject}/{called}")]
        found = _facts(mine, request, common)
        refused = sum(answer.refused for answer in mine) / len(mine)
        return Knowledge(found, refused, invented)

    shown = knowledge("image") if request.images else None
    asked = {word for noun in scope(request).hidden for word in wording_words(request.kind, noun)}
    own = {word for name in request.names for word in bare_words(name).split()}
    # By the name that it knows best: a subject that is known by a nickname is known.
    ways = {name: knowledge("name", f"{name}/") for name in request.names[:NAMES]}
    name = max(ways, key=lambda name: ways[name].count)
    called = ways[name]
    if called.count and not called.known and not (shown and shown.known):
        mine = [a for a in answers if a.prompt.way == "name" and a.prompt.sample.id.startswith(f"{subject}/{name}/")]
        made_up = _invented_names(request.kind, seed)
        called = replace(
            called,
            depends=informed(loaded, [a for a in mine if not a.draw], name, made_up[:OTHERS]),
            invented_depends=_invented_depends(loaded, unknown, made_up, stages),
        )
    return Before(tuple(answers), tuple(unknown), called, shown, stated(request.text, asked | own))


def _facts(
    answers: Sequence[Answer], request: Request, common: dict[str, frozenset[str]]
) -> dict[str, tuple[str, ...]]:
    """What recurs, by fact; the subject's name is a fact only where an image is to be named."""
    said, own = _said(answers), {word for name in request.names for word in bare_words(name).split()}
    found: dict[str, tuple[str, ...]] = {}
    for fact in dict.fromkeys(one.fact for one in said):
        without = common.get(fact, frozenset()) | wording_words(request.kind, fact) | (set() if fact == "name" else own)
        found[fact] = consistent([one for one in said if one.fact == fact], without)
    return found


def _said(answers: Sequence[Answer]) -> list[Said]:
    return [Said(a.prompt.fact, a.prompt.sample.question, a.text) for a in answers]
