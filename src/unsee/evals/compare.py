"""Conditions side by side: each figure with its interval over people, and its difference from a chosen one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, final

from unsee.data.task import Role
from unsee.errors import OptionError
from unsee.evals.aggregates import KEPT, against_never_knew, utility
from unsee.evals.choices import AGAINST
from unsee.evals.results import Result
from unsee.evals.roles import better, limits, rates_of
from unsee.evals.stats import holm
from unsee.evals.summary import UTILITY, applicable, by_modality, with_attack
from unsee.evals.values import Asked, Difference, Figure, Row, asked, figure, paired, values_of

_ALWAYS = ("forget-quality-log10", "js-distance-histogram")
"""Shown wherever there are truth ratios of a model that never knew; the others reproduce what a release prints."""


@final
@dataclass(frozen=True)
class Cell:
    """One condition's figure; no difference for the reference, nor where nothing pairs."""

    condition: str
    figure: Figure
    difference: Difference | None = None


@final
@dataclass(frozen=True)
class Line:
    """One rate or measure of one set, for every condition that has it; `in_sample` where a fit had the prompts."""

    split: str
    role: Role
    asked: Asked
    measure: str
    cells: dict[str, Cell]
    in_sample: bool = False

    @property
    def better(self) -> str:
        """Which way is good: higher, lower, same (as the never-knew model), or empty."""
        return better(self.measure, self.role)


@final
@dataclass(frozen=True)
class Comparison:
    """A table.

    Attributes:
        conditions: names of the columns, in order.
        reference: the one that differences are taken from.
        lines: by set, then by measure.
        settings: what all conditions share.
    """

    conditions: list[str]
    reference: str
    lines: list[Line]
    settings: dict[str, Any]


def compare(
    results: Sequence[Result],
    against: str | None = None,
    *,
    never_knew: str = "never_knew",
    sets: Sequence[str] = (),
    modalities: bool = False,
    seed: int = 0,
) -> Comparison:
    """The table of results that `unsee.evals.results.read_results` has found comparable.

    Args:
        results: conditions, at least one.
        against: name of the reference; by default "base", else the first.
        never_knew: name of the condition that forget quality is measured against, where there is one.
        sets: names of the sets to show; all by default, and then what takes several of them together.
        modalities: also apart for questions with and without image, where a set has both.
        seed: of the bootstrap.

    Raises:
        OptionError: no condition has the reference's name, or there is no such set.
    """
    names = [result.name for result in results]
    reference = against or ("base" if "base" in names else names[0])
    if reference not in names:
        raise OptionError(f"the reference is {reference!r}, expected one of {names}. Pass one of these with --against.")
    if unknown := [name for name in sets if name not in results[0].splits()]:
        raise OptionError(f"there is no set {unknown[0]!r} in the results: expected some of {results[0].splits()}.")
    lines: list[Line] = []
    untaught = {result.name: [row for row in result.rows if row["role"] == "unknown"] for result in results}
    measured = dict.fromkeys(name for result in results for name in result.settings["measures"])
    for split in sets or results[0].splits():
        rows = {result.name: [row for row in result.rows if row["split"] == split] for result in results}
        if not rows[reference]:
            continue
        role: Role = rows[reference][0]["role"]
        seen = any(row["in_sample"] for own in rows.values() for row in own)
        ways: list[Asked] = [how for how, _ in by_modality(rows[reference])]
        for how in ways if modalities else ways[:1]:
            shown = {name: asked(own, how) for name, own in rows.items()}
            others = {name: asked(own, how) for name, own in untaught.items()}
            for measure in (*rates_of(role), *applicable(with_attack(measured, split), role)):
                if cells := _cells(shown, measure, reference, others, seed):
                    lines.append(Line(split, role, how, measure, cells, seen))
            if never_knew in names and role == "forget" and "/" not in split:
                named = [name for name in AGAINST if name in measured or name in _ALWAYS]
                lines += [
                    Line(split, role, how, name, cells, seen)
                    for name in named
                    if (cells := _against(shown, name, never_knew))
                ]
    if UTILITY in measured and not sets and (cells := _utility(results)):
        lines.append(Line(KEPT, "retain", "both", UTILITY, cells))
    return Comparison(names, reference, _adjusted(lines, names), results[0].settings)


def _adjusted(lines: Sequence[Line], names: Sequence[str]) -> list[Line]:
    """P-values adjusted by Holm over all lines of a condition: one family a column."""
    given = list(lines)
    for name in names:
        column = [n for n, line in enumerate(given) if name in line.cells and line.cells[name].difference is not None]
        differences = [found for n in column if (found := given[n].cells[name].difference) is not None]
        for n, found, p in zip(column, differences, holm([one.p for one in differences]), strict=True):
            cell = replace(given[n].cells[name], difference=replace(found, p=p))
            given[n] = replace(given[n], cells={**given[n].cells, name: cell})
    return given


def _cells(
    shown: dict[str, list[Row]], measure: str, reference: str, unknown: dict[str, list[Row]], seed: int
) -> dict[str, Cell]:
    cells: dict[str, Cell] = {}
    for name, rows in shown.items():
        found = figure(rows, measure, seed, unknown[name])
        if found is None:
            continue
        difference = None
        if name != reference:
            columns = (values_of(shown[side], measure, unknown[side]) for side in (name, reference))
            difference = paired(*columns, limits(measure), seed)
        cells[name] = Cell(name, found, difference)
    return cells


def _against(shown: dict[str, list[Row]], measure: str, never_knew: str) -> dict[str, Cell]:
    """A distance from the never-knew model, for each other condition with truth ratios."""
    return {
        name: Cell(name, found)
        for name, rows in shown.items()
        if name != never_knew and (found := against_never_knew(measure, rows, shown[never_knew])) is not None
    }


def _utility(results: Sequence[Result]) -> dict[str, Cell]:
    return {
        result.name: Cell(result.name, found)
        for result in results
        if (found := utility(result.rows, result.settings["protocol"])) is not None
    }
