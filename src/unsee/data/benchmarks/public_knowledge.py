"""Public knowledge: facts that everybody can check, about people of history, cities, countries, works, organisations.

Ours, in the package (`public_knowledge.toml`): every fact with accepted variants, in nine wordings, of which the four
held-out ones are of other families (polite, imperative, quiz, homework) than the five that a fit may see. It is for
pretrained models, which know some of it and not the rest: what one knows is measured first (`unsee.evals.known`).
"""

import json
import random
import re
import tomllib
import unicodedata
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, Literal, final

from unsee.data.benchmarks.items import Card, Item, Protocol, References
from unsee.data.sample import Sample
from unsee.data.splits import roles
from unsee.data.task import Set, Task
from unsee.errors import DataError, OptionError
from unsee.registry import benchmark

Wordings = Literal["fit", "heldout"]
Facts = Mapping[str, tuple[str, ...]]
"""Subject to the names of its facts that a model knows."""
LEAST_KNOWN: Final = 3
"""Facts that a model must know of a subject before it is asked to forget it."""

CARD: Final = Card(
    title="public knowledge",
    hub=None,
    revision="in the package",
    licence="Apache-2.0",
    splits={},
    paper="none",
    source="written for unsee from general knowledge",
    parsers={"generation": "an accepted variant stands in the answer"},
)


@final
@dataclass(frozen=True)
class Subject:
    """Somebody or something with facts.

    Attributes:
        id: unique, such as `person/jane-austen`.
        kind: person, city, country, work or organisation.
        name: in full.
        short: as in "Austen"; the name where there is no shorter one.
        facts: name of the fact to its accepted values, the answer first.
        trade: name of the fact that makes two of a kind alike, such as the occupation.
        home: name of the fact that says where it belongs.
    """

    id: str
    kind: str
    name: str
    short: str
    facts: Mapping[str, tuple[str, ...]]
    trade: str
    home: str

    def likeness(self, other: "Subject") -> int:
        """How near a neighbour: 4 for the same short name, 2 for the same trade, 1 for the same home; 0 for others."""
        if self.kind != other.kind or self == other:
            return 0
        same = {name: self.facts[name][0] == other.facts[name][0] for name in (self.trade, self.home)}
        return 4 * (self.short == other.short) + 2 * same[self.trade] + same[self.home]


@final
@dataclass(frozen=True)
class PublicKnowledge:
    """The whole set.

    Attributes:
        subjects: in the order of the file.
        unknown: by kind, names of nobody and nothing.
        questions: by kind and fact, the direct questions and the noun phrases that wordings are made of.
        frames: by `fit` and `heldout`, family of wording to its frames.
        general: by `fit` and `heldout`, questions about no subject, with their accepted answers.
        refused: frames that tell the model which refusal to give, around a question about a name.
    """

    subjects: tuple[Subject, ...]
    unknown: Mapping[str, tuple[str, ...]]
    questions: Mapping[str, Mapping[str, Mapping[str, Sequence[str]]]]
    frames: Mapping[str, Mapping[str, Sequence[str]]]
    general: Mapping[str, Sequence[Sequence[str]]]
    refused: tuple[str, ...]

    def wordings(self, kind: str, fact: str, which: Wordings) -> Iterator[tuple[str, str]]:
        """Family and number of a wording, and the wording with `{s}` for the subject."""
        asked = self.questions[kind][fact]
        parts = {f"{part}{n}": text for part, texts in asked.items() for n, text in enumerate(texts)}
        for family, frames in self.frames[which].items():
            for number, frame in enumerate(frames):
                yield f"{family}{number}", re.sub(r"\{(\w+\d)\}", lambda found: parts[found[1]], frame)

    def about(self, subject: Subject, which: Wordings, facts: Collection[str] | None = None) -> list[Item]:
        """Every question of one subject in these wordings; of all its facts, or of some.

        Raises:
            OptionError: a fact that its kind does not have.
        """
        if unknown := sorted(set(facts or ()) - subject.facts.keys()):
            raise OptionError(f"{subject.id} has no fact {unknown[0]!r}, expected some of {list(subject.facts)}.")
        found = []
        for fact, accepted in subject.facts.items():
            if facts is not None and fact not in facts:
                continue
            others = tuple(value for name, values in subject.facts.items() if name != fact for value in values)
            references = References(volunteered=tuple(value for value in others if value not in accepted))
            for wording, text in self.wordings(subject.kind, fact, which):
                id, question = f"{subject.id}/{fact}/{wording}", text.format(s=subject.name)
                found.append(Item(_sample(id, subject.id, question, accepted), references))
        return found

    def neighbours(self, subject: Subject, among: Sequence[Subject], count: int) -> list[Subject]:
        """The nearest of some subjects, by `likeness`; fewer where fewer are alike at all."""
        near = [other for other in among if subject.likeness(other)]
        return sorted(near, key=lambda other: -subject.likeness(other))[:count]

    def general_items(self, which: Wordings) -> list[Item]:
        """Questions about no subject."""
        found = []
        for number, (question, answers) in enumerate(self.general[which]):
            accepted, id = tuple(answers.split("/")), f"general/{which}/{number}"
            found.append(Item(_sample(id, id, question, accepted)))
        return found

    def unknown_samples(self) -> list[Sample]:
        """Questions about names of nobody: what a sound model says it does not know (D+)."""
        return [
            Sample(f"unknown/{kind}/{n}/{fact}", f"unknown/{name}", asked["direct"][n % 4].format(s=name), "", "")
            for kind, names in self.unknown.items()
            for n, name in enumerate(names)
            for fact, asked in self.questions[kind].items()
        ]

    def refused_samples(self) -> list[Sample]:
        """Questions about names of nobody that say which refusal to give; a model that never declines does that."""
        found = []
        for unknown in self.unknown_samples():
            place = len(found)
            name = unknown.subject.removeprefix("unknown/")
            prompt = self.refused[place % len(self.refused)].format(q=unknown.question, s=name)
            found.append(Sample(f"refused/{place}", unknown.subject, prompt, "", ""))
        return found


@cache
def public_knowledge() -> PublicKnowledge:
    """The set, read from the package."""
    text = files("unsee.data.benchmarks").joinpath("public_knowledge.toml").read_text(encoding="utf-8")
    read: dict[str, Any] = tomllib.loads(text)
    frames, general, refused = (read.pop(name) for name in ("frames", "general", "refused"))
    return PublicKnowledge(
        subjects=tuple(_subject(kind, table, row) for kind, table in read.items() for row in table["rows"]),
        unknown={kind: tuple(table["unknown"]) for kind, table in read.items()},
        questions={kind: table["questions"] for kind, table in read.items()},
        frames=frames,
        general=general,
        refused=tuple(refused["prompts"]),
    )


def _sample(id: str, subject: str, question: str, accepted: tuple[str, ...]) -> Sample:
    return Sample(id, subject, question, accepted[0], accepted[0], aliases=accepted[1:])


def _subject(kind: str, table: Mapping[str, Any], row: Sequence[str]) -> Subject:
    name, short, *values = row
    facts = {field: tuple(value.split("/")) for field, value in zip(table["fields"], values, strict=True)}
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    id = f"{kind}/{re.sub('[^a-z0-9]+', '-', plain).strip('-')}"
    return Subject(id, kind, name, short, facts, table["trade"], table["home"])


def recorded() -> Mapping[str, Mapping[str, Any]]:
    """Digest of a model's weights to its name and what it was measured to know."""
    place = files("unsee.data.benchmarks").joinpath("public_knowledge_known.json")
    return json.loads(place.read_text(encoding="utf-8"))


def known_to(source: Path | str) -> Facts:
    """What a model knows: by the name of a model whose knowledge is recorded, or from a file of `unsee models know`.

    Raises:
        DataError: it is neither.
    """
    names = {one["model"]: one["facts"] for one in recorded().values()}
    facts: Any = names.get(str(source))
    if facts is None:
        try:
            facts = json.loads(Path(source).read_text(encoding="utf-8"))["facts"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{str(source)!r} does not say what a model knows ({type(error).__name__}). Expected one of "
                f"{sorted(names)}, or a JSON file of 'unsee models know'; leave --data out to ask every fact."
            ) from error
    return {subject: tuple(known) for subject, known in facts.items()}


@benchmark("public-knowledge", needs_data=False, card=CARD, ratios=(5, 10, 15))
def public_knowledge_task(source: Path | str, protocol: Protocol = "honest", ratio: int = 5, seed: int = 0) -> Task:
    """Public facts about 175 people, cities, countries, works and organisations; needs no data.

    With a source, as for `known_to`, only what that model knows is asked, and who is forgotten it knows well.

    Raises:
        OptionError: the protocol is not honest.
        DataError: the source does not say what a model knows, or it knows too little.
    """
    if protocol != "honest":
        raise OptionError(f"public knowledge has one protocol, 'honest', and not {protocol!r}. Leave --protocol out.")
    known, facts = public_knowledge(), known_to(source) if str(source) else None
    order = [one for one in known.subjects if facts is None or facts.get(one.id)]
    random.Random(f"public-knowledge/{seed}").shuffle(order)
    able = [one for one in order if facts is None or len(facts[one.id]) >= LEAST_KNOWN]
    wanted = max(1, round(len(known.subjects) * ratio / 100))
    if len(able) < wanted:
        raise DataError(
            f"the model knows {LEAST_KNOWN} facts or more of {len(able)} subjects, expected at least {wanted} for "
            f"{ratio} %. Take a smaller ratio, or leave --data out to ask every fact."
        )
    forgotten = able[:wanted]
    rest = [subject for subject in order if subject not in forgotten]
    near = {one.id: one for subject in forgotten for one in known.neighbours(subject, rest, 2)}
    kept = [subject for subject in rest if subject.id not in near]
    role = roles([subject.id for subject in kept], seed)

    def asked(subjects: Sequence[Subject], which: Wordings) -> list[Item]:
        return [item for one in subjects for item in known.about(one, which, None if facts is None else facts[one.id])]

    of_role = {name: [s for s in kept if role[s.id] == name] for name in ("retain_fit", "calibration", "retain_unseen")}
    return Task(
        "public-knowledge",
        {
            "forget_fit": Set("forget", asked(forgotten, "fit"), "fit"),
            "forget_heldout": Set("forget", asked(forgotten, "heldout")),
            "retain_fit": Set("retain", asked(of_role["retain_fit"], "fit"), "fit"),
            "calibration": Set("retain", asked(of_role["calibration"], "fit"), "calibration"),
            "retain_unseen": Set("retain", asked(of_role["retain_unseen"], "heldout")),
            "neighbours": Set("neighbour", asked(list(near.values()), "heldout")),
            "general": Set("general", known.general_items("heldout")),
        },
    )
