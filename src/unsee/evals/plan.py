"""What an evaluation asks, how, and what it measures: everything that decides its rows, before a model is loaded."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, final

from unsee.attacks.base import applies
from unsee.data.benchmarks import benchmark_task
from unsee.data.benchmarks.items import Item, Protocol
from unsee.data.benchmarks.released_prompts import RELEASED
from unsee.data.prompts import Style, chat
from unsee.data.sample import ImageFile, Sample, require_disjoint
from unsee.data.task import Role, Set, Task
from unsee.errors import DataError, OptionError
from unsee.evals.answerers.base import How
from unsee.evals.choices import MEMBERSHIP, SAFETY, default_measures, require_measures
from unsee.metrics.detectors import IN_USE
from unsee.registry import ATTACKS, BENCHMARKS

LONGEST = 48
"""Tokens of an answer, where no release says how many."""

_LONGER: Mapping[tuple[str, str], int] = {("umu", "generation"): 200}
"""Style and form for which a release allows more tokens than for its other forms."""

TRIES = 4
"""Guesses that an attacker has, where nobody says how many; UnLOK-VQA reads the 4 likeliest tokens."""


@final
@dataclass(frozen=True)
class Plan:
    """One evaluation, but for who answers.

    Attributes:
        task: what is asked, and what is good.
        style: of the prompts.
        max_new_tokens: longest answer, or None for the release's.
        sampled: whether replies are drawn rather than greedy, as two releases do.
        measures: what each row holds.
        attacks: names of the attacks on the sets to be forgotten.
        benchmark: registered name, or None for data of one's own.
        source: where the benchmark lies.
        ratio: forget ratio in percent, where the benchmark has any.
        limit: at most so many questions a set, evenly spaced; None takes all.
        batch_size: prompts per forward pass.
        seed: of the splits, of sampled replies and of attacks.
        tries: k of the measures and attacks that say what k guesses of an attacker get.
        context: the whole of the task, where only a part is asked: what attackers know besides.
    """

    task: Task
    style: Style = "plain"
    max_new_tokens: int | None = LONGEST
    sampled: bool = False
    measures: tuple[str, ...] = ()
    attacks: tuple[str, ...] = ()
    benchmark: str | None = None
    source: Path | str = ""
    ratio: int | None = None
    limit: int | None = None
    batch_size: int = 64
    seed: int = 0
    tries: int = TRIES
    context: Task | None = None
    _digest: list[str] = field(default_factory=list, repr=False, compare=False)

    def __post_init__(self) -> None:
        if min(self.batch_size, self.tries, 1 if self.limit is None else self.limit) < 1:
            raise OptionError(
                f"batch_size is {self.batch_size}, tries {self.tries}, limit {self.limit}; expected at least 1 each"
            )
        for name in self.attacks:
            ATTACKS.named(name)
        if self.attacks and not self.task.of_role("forget"):
            raise OptionError(
                f"{self.attacks[0]!r} attacks what is to be forgotten, but no set has the role 'forget': they are "
                f"{ {name: one.role for name, one in self.task.sets.items()} }. Give the data its roles with --role."
            )

    @property
    def verbatim(self) -> bool:
        """Whether a release's own strings are fed, where it has any."""
        return self.task.protocol == "official" and self.benchmark is not None

    def tokens(self, sample: Sample) -> int:
        """Longest answer to one question."""
        if self.max_new_tokens is not None:
            return self.max_new_tokens
        return _LONGER.get((self.style, sample.form), RELEASED[self.style].tokens)

    def how(self, tokens: int) -> How:
        """How questions are put whose answers have at most so many tokens."""
        return How(tokens, self.style, self.verbatim)

    def digest(self) -> str:
        """`"sha256:" + sha256` over every question, its references and what it shows, by set, role and in order."""
        if not self._digest:
            found = hashlib.sha256()
            for name, one in self.task.sets.items():
                for item in one.items:
                    sample = asdict(item.sample) | {"image": None}
                    unset = {"video"} | {name for name in ("aliases", "role", "turns") if not sample[name]}
                    sample = {name: value for name, value in sample.items() if name not in unset}
                    if item.sample.turns:
                        sample["turns"] = [chat(item.sample, "plain")]
                    text = json.dumps([name, one.role, sample, asdict(item.references)], sort_keys=True).encode()
                    for part in (text, *map(_octets, item.sample.shown)):
                        found.update(len(part).to_bytes(8, "little"))
                        found.update(part)
            self._digest.append(f"sha256:{found.hexdigest()}")
        return self._digest[0]

    def attacked(self) -> list[tuple[str, str]]:
        """Every attack with each set that it is carried out on: of its roles, and seen by no fit."""
        pairs = []
        for name in self.attacks:
            roles = ATTACKS.named(name).facts["roles"]
            sets = [s for s, of in self.task.sets.items() if of.role in roles]
            facts = ATTACKS.named(name).facts
            unseen = [s for s in sets if self.task.sets[s].use == "test"] or sets
            asked = [s for s in unseen if any(applies(facts, one) for one in self.task.sets[s].samples)]
            pairs += [(name, split) for split in asked or unseen]
        return pairs

    def settings(self) -> dict[str, Any]:
        """All of this as JSON values, for `settings.json`."""
        return {
            "benchmark": self.benchmark,
            "task": self.task.name,
            "protocol": self.task.protocol,
            "ratio": self.ratio,
            "data": self.digest(),
            "sets": {n: {"role": s.role, "use": s.use, "n": len(s)} for n, s in self.task.sets.items()},
            "limit": self.limit,
            "style": self.style,
            "prompts": "as released" if self.verbatim else "chat template",
            "max_new_tokens": self.max_new_tokens or "as released",
            "replies": "sampled" if self.sampled else "greedy",
            "measures": list(self.measures),
            "attacks": list(self.attacks),
            "batch_size": self.batch_size,
            "seed": self.seed,
            "tries": self.tries,
            "detectors": dict(IN_USE),
        }


def planned(
    task: Task,
    *,
    benchmark: str | None = None,
    ratio: int | None = None,
    chosen: Sequence[str] = (),
    style: Style | None = None,
    max_new_tokens: int | None = None,
    measures: Sequence[str] = (),
    attacks: Sequence[str] = (),
    limit: int | None = None,
    batch_size: int = 64,
    seed: int = 0,
    tries: int = TRIES,
    unknown: Sequence[Sample] = (),
) -> Plan:
    """The plan for a task, with the defaults of its protocol.

    Args:
        task: what there is to ask.
        benchmark: registered name, or None for data of one's own.
        ratio: forget ratio, as asked for.
        chosen: names of the sets to ask; all by default.
        style: of the prompts; "plain" by default, and the benchmark's under "official".
        max_new_tokens: longest answer; 48 by default, and the release's under "official".
        measures: names; by default those of the protocol.
        attacks: names; none by default.
        limit: at most so many questions a set.
        batch_size: prompts per forward pass.
        seed: of sampled replies and attacks.
        tries: guesses that an attacker has.
        unknown: questions about people whom no model was taught: what membership is told apart from.

    Raises:
        OptionError: no such set, measure or attack, the data cannot give it, or "official" is to be departed from.
        DataError: an unknown person is in another set too.
    """
    official = benchmark is not None and task.protocol == "official"
    if official:
        _require_released(style, max_new_tokens)
    kept = _with_unknown(_chosen(task, chosen), unknown) if unknown else _chosen(task, chosen)
    taken = require_measures(measures or default_measures(benchmark, task.protocol))
    _require_data(taken, kept, benchmark)
    facts = BENCHMARKS.named(benchmark).facts if benchmark is not None else {}
    put: Style = facts["style"] if official else style or "plain"
    asked = {name: replace(one, items=_spread(one.items, limit)) for name, one in kept.items()}
    return Plan(
        task=replace(task, sets=asked),
        style=put,
        max_new_tokens=None if official else max_new_tokens or LONGEST,
        sampled=official and RELEASED[put].sampled,
        measures=taken,
        attacks=tuple(attacks),
        benchmark=benchmark,
        ratio=(5 if ratio is None else ratio) if facts.get("ratios") else None,
        limit=limit,
        batch_size=batch_size,
        seed=seed,
        tries=tries,
    )


def _chosen(task: Task, names: Sequence[str]) -> dict[str, Set]:
    if missing := [name for name in names if name not in task.sets]:
        raise OptionError(f"there is no set {missing[0]!r} in {task.name!r}: expected some of {list(task.sets)}.")
    return {name: one for name, one in task.sets.items() if not names or name in names}


def _require_released(style: Style | None, max_new_tokens: int | None) -> None:
    if style is not None or max_new_tokens is not None:
        raise OptionError(
            "the official protocol asks in the release's own words and lengths, so it takes neither a style nor a "
            "number of tokens. Leave them out, or take the honest protocol."
        )


def planned_benchmark(name: str, source: Path | str, protocol: Protocol, ratio: int | None, **options: Any) -> Plan:
    """The plan for a benchmark, options as for `planned`.

    Raises:
        DataError: the data cannot be had, is not as published, or is too small to be split.
        OptionError: an option is not legal.
    """
    task = benchmark_task(name, source, protocol, ratio, options.get("seed", 0))
    return replace(planned(task, benchmark=name, ratio=ratio, **options), source=source)


def own_task(samples: Sequence[Sample], role: Role | None = None, name: str | None = None) -> Task:
    """Data of one's own: a set for each role that its lines name, or all in one set.

    Nothing is guessed from a name: what nobody has given a role is filed as unlabelled.

    Args:
        samples: the questions; a line's own role counts where `role` is None.
        role: of all of them.
        name: of the set, where they are all of one role; by default the role's name.
    """
    by_role: dict[Role, list[Sample]] = {}
    for sample in samples:
        by_role.setdefault(role or getattr(sample, "role", None) or "unlabelled", []).append(sample)
    named = {name if name and len(by_role) == 1 else of: Set.of(of, mine) for of, mine in by_role.items()}
    return Task("own data", named)


def _with_unknown(kept: Mapping[str, Set], unknown: Sequence[Sample]) -> dict[str, Set]:
    if there := [name for name, one in kept.items() if one.role == "unknown"]:
        raise OptionError(f"there is a set of unknown subjects already, {there[0]!r}. Leave --unknown or it out.")
    for name, one in kept.items():
        require_disjoint(unknown, one.samples, ("unknown", name))
    return {**kept, "unknown": Set.of("unknown", unknown)}


def _require_data(measures: Sequence[str], kept: Mapping[str, Set], benchmark: str | None) -> None:
    """Refuse measures that nothing in the data could be scored by."""
    asked = [name for name in measures if name in MEMBERSHIP]
    if asked and not any(one.role == "unknown" for one in kept.values()):
        raise OptionError(
            f"{asked[0]} tells what was taught from what was not, but no set of {list(kept)} has the role 'unknown'. "
            "Give questions about people whom no model was taught, with --unknown."
        )
    if SAFETY in measures and benchmark is not None and not BENCHMARKS.named(benchmark).facts["harmful"]:
        harmful = [entry.name for entry in BENCHMARKS if entry.facts["harmful"]]
        raise OptionError(
            f"{SAFETY} is the share of attacks that succeed, but {benchmark!r} has no attacks: expected one of "
            f"{harmful}, or data of your own. Leave the measure out."
        )


def _spread(items: Sequence[Item], limit: int | None) -> list[Item]:
    """At most `limit` of them, evenly spaced over the whole set, so that people and forms stay represented."""
    if limit is None or limit < 1 or limit >= len(items):  # `Plan` refuses what is below 1
        return list(items)
    return [items[number * len(items) // limit] for number in range(limit)]


def _octets(image: ImageFile) -> bytes:
    try:
        return image.encoded
    except OSError as error:
        raise DataError(f"cannot read image {image.id!r}: {error}. Expected the file that its row names.") from error
