"""From options to a plan: what is asked, checked before a model is loaded."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast, final, get_args

from unsee.errors import OptionError

if TYPE_CHECKING:
    from unsee.data.benchmarks.items import Protocol
    from unsee.data.task import Role
    from unsee.evals.plan import Plan


@final
@dataclass(frozen=True)
class What:
    """What the command line asks.

    Attributes:
        data: folder, hub id, DIR:CONFIG or .jsonl.
        benchmark: registered name, or None for data of one's own.
        protocol: honest or official.
        ratio: forget ratio in percent.
        sets: names of the sets to ask.
        role: of data of one's own.
        split: name of its set.
        unknown: questions about unknown subjects, as data.
        options: as for `unsee.evals.plan.planned`.
    """

    data: str | None
    benchmark: str | None
    protocol: str = "honest"
    ratio: int | None = None
    sets: Sequence[str] = ()
    role: str | None = None
    split: str | None = None
    unknown: str | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def plan(self) -> "Plan":
        """The plan.

        Raises:
            OptionError: an option is not legal, or does not go with another.
            DataError: the data cannot be read.
        """
        from unsee.data import read
        from unsee.data.benchmarks.items import Protocol
        from unsee.data.prompts import Style
        from unsee.data.task import require_role
        from unsee.evals.plan import own_task, planned, planned_benchmark
        from unsee.registry import BENCHMARKS

        legal("protocol", self.protocol, get_args(Protocol))
        if self.options.get("style") is not None:
            legal("style", self.options["style"], get_args(Style))
        if self.benchmark is not None and (self.role or self.split):
            raise OptionError("--role and --split are for data of your own: a benchmark's sets have theirs.")
        role = None if self.role is None else require_role(self.role)
        needed = self.benchmark is None or BENCHMARKS.named(self.benchmark).facts["needs_data"]
        if self.data is None and needed:
            raise OptionError("there is no --data, so there is nothing to ask. Name a folder, or --benchmark world.")
        options = {**self.options, "unknown": () if self.unknown is None else read(self.unknown)}
        source = self.data or ""
        if self.benchmark is not None:
            protocol = cast("Protocol", self.protocol)
            return planned_benchmark(self.benchmark, source, protocol, self.ratio, chosen=tuple(self.sets), **options)
        if self.protocol != "honest" or self.ratio is not None or self.sets:
            raise OptionError("--protocol, --ratio and --set need --benchmark. Name it, or leave them out.")
        return planned(own_task(read(source), cast("Role | None", role), self.split), **options)


def legal(name: str, got: str, known: Sequence[str]) -> None:
    """Refuse a value that is none of the known ones.

    Raises:
        OptionError: lists them.
    """
    if got not in known:
        raise OptionError(f"{name} is {got!r}, expected one of {list(known)}. Pass one of these.")
