"""What an evaluation asks, how, and what it measures: everything that decides its rows, before a model is asked."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, final

from unsee.data.benchmarks import benchmark_task
from unsee.data.benchmarks.items import Item, Protocol
from unsee.data.benchmarks.released_prompts import RELEASED
from unsee.data.prompts import Style, chat
from unsee.data.sample import ImageFile, Sample, require_disjoint
from unsee.data.task import Set, Task
from unsee.errors import DataError, OptionError
from unsee.evals.choices import MEMBERSHIP, SAFETY, default_measures, require_measures
from unsee.evals.roles import STRANGERS
from unsee.metrics.detectors import IN_USE
from unsee.registry import BENCHMARKS

LONGEST = 48
"""Tokens of an answer, where no release says how many."""

_LONGER: Mapping[tuple[str, str], int] = {("umu", "generation"): 200}
"""Style and form for which a release allows more tokens than for its other forms."""

_ATTACKS = ("safeeraser",)
"""Benchmarks whose questions of the forget sets are harmful ones."""

TRIES = 4
"""Guesses that an attacker has, where nobody says how many; UnLOK-VQA reads the 4 likeliest tokens."""

FORMAT = 1


@final
@dataclass(frozen=True)
class Plan:
    """One evaluation, but for the model.

    Attributes:
        sets: name to questions.
        left_out: why questions are in no set, to how many.
        benchmark: registered name, or None for data of one's own.
        protocol: "official" asks and samples as the release does.
        style: of the prompts.
        max_new_tokens: longest answer, or None for the release's.
        sampled: whether replies are drawn rather than greedy, as two releases do.
        measures: what each row holds.
        ratio: forget ratio in percent, where the benchmark has any.
        limit: at most so many questions a set, evenly spaced; None takes all.
        batch_size: prompts per forward pass.
        seed: of the splits and of sampled replies.
        tries: k of the measures that say what k guesses of an attacker get.
    """

    sets: Mapping[str, Sequence[Item]]
    left_out: Mapping[str, int]
    benchmark: str | None
    protocol: Protocol
    style: Style
    max_new_tokens: int | None
    sampled: bool
    measures: tuple[str, ...]
    ratio: int | None = None
    limit: int | None = None
    batch_size: int = 64
    seed: int = 0
    tries: int = TRIES
    _digest: list[str] = field(default_factory=list, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, items in self.sets.items():
            ids = [item.sample.id for item in items]
            if len(set(ids)) < len(ids):
                twice = next(id for id in ids if ids.count(id) > 1)
                raise DataError(f"set {name!r} has two questions of id {twice!r}, expected each once. Mend the data.")
        if min(self.batch_size, self.tries, 1 if self.limit is None else self.limit) < 1:
            raise OptionError(
                f"batch_size is {self.batch_size}, tries {self.tries}, limit {self.limit}; expected at least 1 each"
            )

    def tokens(self, sample: Sample) -> int:
        """Longest answer to one question."""
        if self.max_new_tokens is not None:
            return self.max_new_tokens
        return _LONGER.get((self.style, sample.form), RELEASED[self.style].tokens)

    def digest(self) -> str:
        """`"sha256:" + sha256` over every question, its references and what it shows, by set and in order."""
        if not self._digest:
            found = hashlib.sha256()
            for name, items in self.sets.items():
                for item in items:
                    sample = asdict(item.sample) | {"image": None}
                    unset = {"video"} | {name for name in ("aliases", "role", "turns") if not sample[name]}
                    sample = {name: value for name, value in sample.items() if name not in unset}
                    if item.sample.turns:
                        sample["turns"] = [chat(item.sample, "plain")]
                    text = json.dumps([name, sample, asdict(item.references)], sort_keys=True).encode()
                    for part in (text, *map(_octets, item.sample.shown or (None,))):
                        found.update(len(part).to_bytes(8, "little"))
                        found.update(part)
            self._digest.append(f"sha256:{found.hexdigest()}")
        return self._digest[0]

    def settings(self) -> dict[str, Any]:
        """All of this as JSON values, for `settings.json`."""
        return {
            "format": FORMAT,
            "benchmark": self.benchmark,
            "protocol": self.protocol,
            "ratio": self.ratio,
            "data": self.digest(),
            "sets": {name: len(items) for name, items in self.sets.items()},
            "limit": self.limit,
            "style": self.style,
            "max_new_tokens": self.max_new_tokens or "as released",
            "replies": "sampled" if self.sampled else "greedy",
            "measures": list(self.measures),
            "batch_size": self.batch_size,
            "seed": self.seed,
            "tries": self.tries,
            "detectors": dict(IN_USE),
        }


def planned(
    source: Path | str,
    sets: Task,
    *,
    benchmark: str | None = None,
    ratio: int | None = None,
    chosen: Sequence[str] = (),
    style: Style | None = None,
    max_new_tokens: int | None = None,
    measures: Sequence[str] = (),
    limit: int | None = None,
    batch_size: int = 64,
    seed: int = 0,
    tries: int = TRIES,
    strangers: Sequence[Sample] = (),
) -> Plan:
    """The plan for some sets, with the defaults of their protocol.

    Args:
        source: where the data lies, for messages.
        sets: what there is to ask.
        benchmark: registered name, or None for data of one's own.
        ratio: forget ratio, as asked for.
        chosen: names of the sets to ask; all by default.
        style: of the prompts; "plain" by default, and the benchmark's under "official".
        max_new_tokens: longest answer; 48 by default, and the release's under "official".
        measures: names; by default those of the protocol.
        limit: at most so many questions a set.
        batch_size: prompts per forward pass.
        seed: of sampled replies.
        tries: k of `leak-at-k`, `answer-in-top-k` and `token-in-top-k`.
        strangers: questions about people whom no model was taught: what membership is told apart from.

    Raises:
        OptionError: no such set or measure, one that the data cannot give, or "official" is asked to depart from the
            release.
        DataError: two questions of a set have the same id, or a stranger is in another set too.
    """
    if unknown := [name for name in chosen if name not in sets.sets]:
        raise OptionError(f"there is no set {unknown[0]!r} in {str(source)!r}: expected some of {list(sets.sets)}.")
    official = benchmark is not None and sets.protocol == "official"
    if official and (style is not None or max_new_tokens is not None):
        raise OptionError(
            "the official protocol asks in the release's own words and lengths, so it takes neither a style nor a "
            "number of tokens. Leave them out, or take the honest protocol."
        )
    kept = {name: one.items for name, one in sets.sets.items() if not chosen or name in chosen}
    if strangers:
        kept = _with_strangers(kept, strangers)
    taken = require_measures(measures or default_measures(benchmark, sets.protocol))
    _require_data(taken, kept, benchmark)
    own = BENCHMARKS.named(benchmark).facts if benchmark is not None else None
    asked = own["style"] if official and own is not None else style or "plain"
    return Plan(
        {name: _spread(items, limit) for name, items in kept.items()},
        sets.left_out,
        benchmark,
        sets.protocol,
        asked,
        None if official else max_new_tokens or LONGEST,
        official and RELEASED[asked].sampled,
        taken,
        (5 if ratio is None else ratio) if own is not None and own["ratios"] else None,
        limit,
        batch_size,
        seed,
        tries,
    )


def planned_benchmark(name: str, source: Path | str, protocol: Protocol, ratio: int | None, **options: Any) -> Plan:
    """The plan for a benchmark, options as for `planned`.

    Raises:
        DataError: the data cannot be had, is not as published, or is too small to be split.
        OptionError: an option is not legal.
    """
    sets = benchmark_task(name, source, protocol, ratio, options.get("seed", 0))
    return planned(source, sets, benchmark=name, ratio=ratio, **options)


def planned_samples(source: Path | str, name: str, samples: Sequence[Sample], **options: Any) -> Plan:
    """The plan for questions of one's own, all in one set of that name; options as for `planned`.

    Raises:
        DataError: no question, or two with the same id.
        OptionError: an option is not legal.
    """
    return planned(source, Task("own data", {name: Set.of("unlabelled", samples)}), **options)


def _with_strangers(kept: Mapping[str, Sequence[Item]], strangers: Sequence[Sample]) -> dict[str, Sequence[Item]]:
    if STRANGERS in kept:
        raise OptionError(f"there is a set {STRANGERS!r} already: expected strangers from one place. Leave one out.")
    for name, items in kept.items():
        require_disjoint(strangers, [item.sample for item in items], (STRANGERS, name))
    return {**kept, STRANGERS: [Item(sample) for sample in strangers]}


def _require_data(measures: Sequence[str], kept: Mapping[str, Sequence[Item]], benchmark: str | None) -> None:
    """Refuse measures that nothing in the data could be scored by."""
    asked = [name for name in measures if name in MEMBERSHIP]
    if asked and STRANGERS not in kept:
        raise OptionError(
            f"{asked[0]} tells what was taught from what was not, but there is no set {STRANGERS!r} among "
            f"{list(kept)}. Give questions about people whom no model was taught, with --strangers."
        )
    if SAFETY in measures and benchmark not in (None, *_ATTACKS):
        raise OptionError(
            f"{SAFETY} is the share of attacks that succeed, but {benchmark!r} has no attacks: expected one of "
            f"{list(_ATTACKS)}, or data of your own. Leave the measure out."
        )


def _spread(items: Sequence[Item], limit: int | None) -> list[Item]:
    """At most `limit` of them, evenly spaced over the whole set, so that people and forms stay represented."""
    if limit is None or limit >= len(items):
        return list(items)
    return [items[number * len(items) // limit] for number in range(limit)]


def _octets(image: ImageFile | None) -> bytes:
    if image is None:
        return b""
    try:
        return image.source if isinstance(image.source, bytes) else image.source.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read image {image.id!r}: {error}. Expected the file that its row names.") from error
