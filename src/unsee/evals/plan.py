"""What an evaluation asks, how, and what it measures: everything that decides its rows, before a model is asked."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, final

from unsee.data.benchmarks import benchmark_named, benchmark_sets
from unsee.data.items import Item, Protocol, Sets
from unsee.data.prompts import Style
from unsee.data.released import RELEASED
from unsee.data.samples import Picture, Sample
from unsee.errors import DataError, OptionError
from unsee.evals.choices import default_measures, require_measures

LONGEST = 48
"""Tokens of an answer, where no release says how many."""

_LONGER: Mapping[tuple[str, str], int] = {("umu", "generation"): 200}
"""Style and form for which a release allows more tokens than for its other forms."""

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
    _digest: list[str] = field(default_factory=list, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name, items in self.sets.items():
            ids = [item.sample.id for item in items]
            if len(set(ids)) < len(ids):
                twice = next(id for id in ids if ids.count(id) > 1)
                raise DataError(f"set {name!r} has two questions of id {twice!r}, expected each once. Mend the data.")
        if self.batch_size < 1 or (self.limit is not None and self.limit < 1):
            raise OptionError(f"batch_size is {self.batch_size}, limit {self.limit}; expected at least 1 each")

    def tokens(self, sample: Sample) -> int:
        """Longest answer to one question."""
        if self.max_new_tokens is not None:
            return self.max_new_tokens
        return _LONGER.get((self.style, sample.form), RELEASED[self.style].tokens)

    def digest(self) -> str:
        """`"sha256:" + sha256` over every question, its references and its picture's bytes, by set and in order."""
        if not self._digest:
            found = hashlib.sha256()
            for name, items in self.sets.items():
                for item in items:
                    sample = asdict(item.sample) | {"picture": None}
                    text = json.dumps([name, sample, asdict(item.references)], sort_keys=True).encode()
                    for part in (text, _octets(item.sample.picture)):
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
        }


def planned(
    source: Path | str,
    sets: Sets,
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

    Raises:
        OptionError: no such set or measure, or "official" is asked to depart from the release.
        DataError: two questions of a set have the same id.
    """
    if unknown := [name for name in chosen if name not in sets.items]:
        raise OptionError(f"there is no set {unknown[0]!r} in {str(source)!r}: expected some of {list(sets.items)}.")
    official = benchmark is not None and sets.protocol == "official"
    if official and (style is not None or max_new_tokens is not None):
        raise OptionError(
            "the official protocol asks in the release's own words and lengths, so it takes neither a style nor a "
            "number of tokens. Leave them out, or take the honest protocol."
        )
    kept = {name: items for name, items in sets.items.items() if not chosen or name in chosen}
    own = benchmark_named(benchmark) if benchmark is not None else None
    asked = own.style if official and own is not None else style or "plain"
    return Plan(
        {name: _spread(items, limit) for name, items in kept.items()},
        sets.left_out,
        benchmark,
        sets.protocol,
        asked,
        None if official else max_new_tokens or LONGEST,
        official and RELEASED[asked].sampled,
        require_measures(measures or default_measures(benchmark, sets.protocol)),
        (5 if ratio is None else ratio) if own is not None and own.ratios else None,
        limit,
        batch_size,
        seed,
    )


def planned_benchmark(name: str, source: Path | str, protocol: Protocol, ratio: int | None, **options: Any) -> Plan:
    """The plan for a benchmark, options as for `planned`.

    Raises:
        DataError: the data cannot be had, is not as published, or is too small to be split.
        OptionError: an option is not legal.
    """
    sets = benchmark_sets(name, source, protocol, ratio, options.get("seed", 0))
    return planned(source, sets, benchmark=name, ratio=ratio, **options)


def planned_samples(source: Path | str, name: str, samples: Sequence[Sample], **options: Any) -> Plan:
    """The plan for questions of one's own, all in one set of that name; options as for `planned`.

    Raises:
        DataError: no question, or two with the same id.
        OptionError: an option is not legal.
    """
    return planned(source, Sets("", "honest", {name: [Item(sample) for sample in samples]}), **options)


def _spread(items: Sequence[Item], limit: int | None) -> list[Item]:
    """At most `limit` of them, evenly spaced over the whole set, so that people and forms stay represented."""
    if limit is None or limit >= len(items):
        return list(items)
    return [items[number * len(items) // limit] for number in range(limit)]


def _octets(picture: Picture | None) -> bytes:
    if picture is None:
        return b""
    try:
        return picture.source if isinstance(picture.source, bytes) else picture.source.read_bytes()
    except OSError as error:
        raise DataError(
            f"cannot read picture {picture.id!r}: {error}. Expected the file that its row names."
        ) from error
