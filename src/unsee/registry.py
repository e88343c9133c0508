"""What is asked for by name: benchmarks, metrics, methods, attacks and model families, ours and other packages'.

One decorator a kind. A package of one's own names its modules under the entry points `unsee.benchmarks`,
`unsee.metrics`, `unsee.methods`, `unsee.attacks` and `unsee.models`; docs/extend.md shows one of each:

    @attack("shouting", access="ask", queries=1, recovered="the fact is said")
    def shouting(victim, questions, seed): ...

Nothing is imported before it is asked for by its name, so a broken package breaks no run that does not use it.
"""

import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal, TypeVar, final, get_args

from unsee.errors import OptionError

Made = TypeVar("Made", bound=Callable[..., Any])
Better = Literal["higher", "lower", "same", ""]
"""Which way is good: `same` means as the never-knew model has it, empty that the set is not scored so."""
Access = Literal["ask", "ask many", "log-probabilities", "prefill", "image", "weights"]
"""What an attacker needs: to write the prompt, to draw many answers, to read how likely given answers are, to begin the
answer, to choose the image, or to hold the weights."""


@final
@dataclass(frozen=True)
class Entry:
    """One registered thing.

    Attributes:
        name: as it is asked for.
        make: what was decorated.
        facts: what the decorator was told, plain values and functions.
    """

    name: str
    make: Callable[..., Any]
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return (inspect.getdoc(self.make) or "").partition("\n")[0]

    def as_json(self) -> dict[str, Any]:
        """Name, summary, module and every plain fact."""
        plain = {k: v for k, v in self.facts.items() if isinstance(v, (str, int, float, tuple, type(None)))}
        return {"name": self.name, "summary": self.summary, "module": self.make.__module__, **plain}


@final
class Registry:
    """Everything of one kind, by name."""

    def __init__(self, kind: str, homes: tuple[str, ...]) -> None:
        """Name the kind and where ours are."""
        self.kind, self._homes = kind, homes
        self._entries: dict[str, Entry] = {}
        self._ours_known = False

    def add(self, entry: Entry) -> None:
        """Register.

        Raises:
            OptionError: another thing has that name.
        """
        other = self._entries.get(entry.name)
        if other is not None and _place(other.make) != _place(entry.make):
            raise OptionError(
                f"two of kind {self.kind} are called {entry.name!r}: {_place(other.make)} and {_place(entry.make)}. "
                "Expected one name each; rename one of them, or uninstall its package."
            )
        self._entries[entry.name] = entry

    def named(self, name: str) -> Entry:
        """The one of that name.

        Raises:
            OptionError: there is none, lists those that there are; or its package cannot be imported.
        """
        self._know_ours()
        if name not in self._entries and name in (others := self._others()):
            self._load(others[name])
        if name not in self._entries:
            near = difflib.get_close_matches(name, self.names(), 1, 0.5)
            nearest = f" Did you mean {near[0]!r}?" if near else " Pass one of these."
            raise OptionError(f"the {self.kind} is {name!r}, expected one of {self.names()}.{nearest}")
        return self._entries[name]

    def names(self) -> list[str]:
        """Ours, then other packages', without importing these."""
        self._know_ours()
        return list(dict.fromkeys((*self._entries, *self._others())))

    def __contains__(self, name: str) -> bool:
        return name in self.names()

    def __iter__(self) -> Iterator[Entry]:
        return (self.named(name) for name in self.names())

    def _others(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=f"unsee.{self.kind}s")}

    def _know_ours(self) -> None:
        if self._ours_known:
            return
        self._ours_known = True
        for home in self._homes:
            module = importlib.import_module(home)
            for found in pkgutil.iter_modules(getattr(module, "__path__", ()), f"{home}."):
                importlib.import_module(found.name)

    def _load(self, point: EntryPoint) -> None:
        source = point.dist.name if point.dist is not None else point.value
        try:
            point.load()
        except (ImportError, AttributeError) as error:
            raise OptionError(
                f"the {self.kind} {point.name!r} of package {source!r} cannot be imported: {error}. Install what it "
                "needs, or uninstall the package."
            ) from error
        if point.name not in self._entries:
            raise OptionError(
                f"package {source!r} promises the {self.kind} {point.name!r} in {point.value!r}, but that module "
                f"registers none of that name. Expected @{self.kind}({point.name!r}, ...) in it."
            )


def _place(made: Callable[..., Any]) -> str:
    return f"{made.__module__}.{getattr(made, '__qualname__', made)}"


BENCHMARKS = Registry("benchmark", ("unsee.data.benchmarks", "unsee.world.benchmark", "unsee.world.natural_benchmark"))
METRICS = Registry("metric", ("unsee.metrics",))
METHODS = Registry("method", ("unsee.methods.registry", "unsee.methods.defences"))
ATTACKS = Registry("attack", ("unsee.attacks",))
MODELS = Registry("model", ("unsee.models",))
KINDS: Mapping[str, Registry] = {
    "benchmarks": BENCHMARKS, "metrics": METRICS, "methods": METHODS, "attacks": ATTACKS, "models": MODELS,
}  # fmt: skip
"""By what `unsee list` takes."""


def benchmark(
    name: str,
    *,
    style: str = "plain",
    ratios: tuple[int, ...] = (),
    measures: tuple[str, ...] = (),
    own: tuple[str, ...] = (),
    harmful: bool = False,
    needs_data: bool = True,
    read: Callable[..., Any] | None = None,
    card: object = None,
) -> Callable[[Made], Made]:
    """Register `(source, protocol, ratio, seed) -> Task`.

    Args:
        name: for `--benchmark`.
        style: prompt style of the released evaluation.
        ratios: forget ratios in percent; none where there are none.
        measures: what the release measures, taken under the official protocol.
        own: what the honest protocol takes beside the strict measures, since only this data can give it.
        harmful: whether its forget sets ask for harm, so that a judge of safety can be asked about them.
        needs_data: whether a source has to be named.
        read: one split's items, as (source, split, protocol); None where only whole tasks can be read.
        card: what is known of the published data.
    """
    facts = {
        "style": style, "ratios": ratios, "measures": measures, "own": own, "harmful": harmful,
        "needs_data": needs_data, "read": read, "card": card,
    }  # fmt: skip
    return _into(BENCHMARKS, name, facts)


def metric(
    name: str,
    *,
    forget: Better = "",
    keep: Better = "",
    low: float | None = 0.0,
    high: float | None = 1.0,
    forms: tuple[str, ...] = ("generation", "cloze", "classification"),
) -> Callable[[Made], Made]:
    """Register `(item, answer) -> number or None`, None where it cannot be scored.

    Args:
        name: in result files; it names the variant.
        forget: which way is good on what must be forgotten.
        keep: which way is good on what must be kept.
        low: least possible value, or None where there is none.
        high: greatest possible value, or None where there is none.
        forms: of the questions that it applies to.
    """
    return _into(METRICS, name, {"forget": forget, "keep": keep, "low": low, "high": high, "forms": forms})


def method(
    name: str,
    *,
    kind: Literal["trained", "reinforced", "prompted", "filtered", "steered"],
    knob: str = "",
    values: tuple[float, ...] = (),
    reversible: bool = True,
    vary: Callable[..., Any] | None = None,
) -> Callable[[Made], Made]:
    """Register `(request) -> Fitted`.

    Args:
        name: for `--method` and the table.
        kind: what is changed.
        knob: the one number that is tuned; "" where there is none.
        values: what it may be, from the weakest forgetting to the strongest.
        reversible: taken away without keeping a copy of the base model.
        vary: what was fitted, at another value of the knob, where that takes no new fit.
    """
    facts = {"kind": kind, "knob": knob, "values": values, "reversible": reversible, "vary": vary}
    return _into(METHODS, name, facts)


def attack(
    name: str,
    *,
    access: Access,
    queries: int,
    recovered: str,
    roles: tuple[str, ...] = ("forget",),
    needs: tuple[str, ...] = (),
    forms: tuple[str, ...] = ("generation", "cloze", "classification"),
    whole: bool = False,
    source: str = "",
) -> Callable[[Made], Made]:
    """Register `(victim, questions, seed) -> what the attacker got to each question, or None where he did not ask`.

    Args:
        name: for `--attack`.
        access: what the attacker needs.
        queries: answers that he gets to one question, where the budget allows so many.
        recovered: what counts as having the fact, in words.
        roles: of the sets that it is carried out on; beside "forget", what it does to the others is a control.
        needs: of a question: "image", or "no image".
        forms: of the questions that it applies to.
        whole: whether it needs all questions of a set at once, rather than a batch.
        source: where it comes from.

    Raises:
        OptionError: it is called as a class of access, which `--attacks` could not tell apart.
    """
    if name in ("all", *get_args(Access)):
        raise OptionError(f"an attack is called {name!r}, as a class of access. Expected another name; give it one.")
    facts = {
        "access": access, "queries": queries, "recovered": recovered, "roles": roles, "needs": needs, "forms": forms,
        "whole": whole, "source": source,
    }  # fmt: skip
    return _into(ATTACKS, name, facts)


def model(name: str) -> Callable[[Made], Made]:
    """Register an adapter class for a family, by the `model_type` of its configuration."""
    return _into(MODELS, name, {})


def _into(registry: Registry, name: str, facts: Mapping[str, Any]) -> Callable[[Made], Made]:
    def enter(made: Made) -> Made:
        registry.add(Entry(name, made, facts))
        return made

    return enter
