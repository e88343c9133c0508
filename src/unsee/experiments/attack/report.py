"""What attacks brought: leak per attack and condition, with intervals over people, and how far above never-knew."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final, get_args

from unsee.evals.store import Record
from unsee.evals.tables import Sheet
from unsee.evals.values import Difference, Figure, Value, figure_of, paired
from unsee.registry import ATTACKS, Access

NONE, ANY = "no attack", "any attack"
ONE = (0.0, 1.0)


@final
@dataclass(frozen=True)
class Line:
    """One attack.

    Attributes:
        attack: its name, `NONE`, or `ANY` with a class.
        access: its class.
        leak: by condition, the share of questions whose best guess is the fact.
        anyhow: by condition, the share of which any answer that was got says the fact.
        above: by condition, leak above that of the model that never knew, question by question.
    """

    attack: str
    access: str
    leak: Mapping[str, Figure]
    anyhow: Mapping[str, Figure]
    above: Mapping[str, Difference]


def lines(rows: Sequence[Record], never_knew: str = "never_knew", seed: int = 0) -> list[Line]:
    """One line an attack, then the union of each class of access: what an attacker gets who may try them all."""
    conditions = list(dict.fromkeys(row["condition"] for row in rows))
    asked = [row for row in rows if row["role"] == "forget"]
    by_attack: dict[str, list[Record]] = {NONE: [row for row in asked if "attack" not in row]}
    for row in asked:
        if "attack" in row:
            by_attack.setdefault(row["attack"], []).append(row)
    found = [_line(name, _access(name), mine, conditions, never_knew, seed) for name, mine in by_attack.items()]
    found.sort(key=lambda line: (line.attack != NONE, get_args(Access).index(line.access)))
    classes: dict[str, list[Record]] = {}
    for name, mine in by_attack.items():
        classes.setdefault(_access(name), []).extend(mine)
    for access, mine in classes.items():
        if access and len({row.get("attack") for row in mine}) > 1:
            found.append(_union(access, mine, conditions, never_knew, seed))
    return found


def sheet(found: Sequence[Line], about: str) -> Sheet:
    """The table: best guess of each condition, its interval, and what is above never-knew."""
    conditions = list(dict.fromkeys(name for line in found for name in line.leak))
    above = [name for name in conditions if any(name in line.above for line in found)]
    columns = ["attack", "access", "n, people", *conditions]
    columns += [f"{name}, 95 %" for name in conditions]
    columns += [f"{name} - never knew" for name in above]
    rows, numbers = [], []
    for line in found:
        some = next(iter(line.leak.values()), None)
        cells = [line.attack, line.access, f"{some.n}, {some.people}" if some else ""]
        cells += [_value(line, name) for name in conditions]
        cells += [_span(line.leak.get(name)) for name in conditions]
        rows.append([*cells, *(_above(line.above.get(name)) for name in above)])
        numbers += [_number(line, name) for name in line.leak]
    short = [0, *range(3, 3 + len(conditions)), *range(len(columns) - len(above), len(columns))]
    legend = (
        "percent of questions whose fact the attacker's best guess is (in brackets: any answer that he got); "
        f"intervals over people; {about}"
    )
    return Sheet("attacks", columns, rows, legend, numbers, labels=3, short=short)


def _line(
    name: str, access: str, rows: Sequence[Record], conditions: Sequence[str], never_knew: str, seed: int
) -> Line:
    leak = {one: _values(rows, one, False) for one in conditions}
    anyhow = {one: _values(rows, one, True) for one in conditions}
    leak = {one: values for one, values in leak.items() if values}
    return Line(
        name,
        access,
        {one: figure_of(values, ONE, seed) for one, values in leak.items()},
        {one: figure_of(anyhow[one], ONE, seed) for one in leak},
        _differences(leak, never_knew, seed),
    )


def _differences(leak: Mapping[str, Sequence[Value]], never_knew: str, seed: int) -> dict[str, Difference]:
    if never_knew not in leak:
        return {}
    pairs = {name: paired(mine, leak[never_knew], ONE, seed) for name, mine in leak.items() if name != never_knew}
    return {name: one for name, one in pairs.items() if one is not None}


def _union(access: str, rows: Sequence[Record], conditions: Sequence[str], never_knew: str, seed: int) -> Line:
    """By question, whether any attack of a class brought the fact in any answer."""
    merged: dict[str, list[Value]] = {}
    for condition in conditions:
        told: dict[tuple[str, str], list[float]] = {}
        for value in _values(rows, condition, True):
            if value.number is not None:
                told.setdefault((value.person, value.key), []).append(value.number)
        if told:
            merged[condition] = [Value(person, key, max(of)) for (person, key), of in told.items()]
    figures = {name: figure_of(values, ONE, seed) for name, values in merged.items()}
    return Line(f"{ANY}: {access}", access, figures, figures, _differences(merged, never_knew, seed))


def _values(rows: Sequence[Record], condition: str, anyhow: bool) -> list[Value]:
    found = []
    for row in rows:
        if row["condition"] == condition:
            number = row["leaked"]
            if anyhow and number is not None:
                number = any(row.get("leaks", [number]))
            found.append(Value(str(row["person"]), str(row["id"]), None if number is None else float(number)))
    return found


def _access(name: str) -> str:
    return ATTACKS.named(name).facts["access"] if name in ATTACKS else "ask"


def _value(line: Line, condition: str) -> str:
    own, anyhow = line.leak.get(condition), line.anyhow.get(condition)
    if own is None or own.value is None:
        return "not asked"
    more = "" if anyhow is None or anyhow.value in (None, own.value) else f" ({100 * anyhow.value:.0f})"
    return f"{100 * own.value:.0f}{more}"


def _span(found: Figure | None) -> str:
    if found is None or found.interval is None:
        return ""
    return f"{100 * found.interval[0]:.0f} to {100 * found.interval[1]:.0f}"


def _above(found: Difference | None) -> str:
    if found is None:
        return ""
    span = f" [{100 * found.interval[0]:+.0f}, {100 * found.interval[1]:+.0f}]" if found.interval else ""
    return f"{100 * found.value:+.0f}{span}"


def _number(line: Line, condition: str) -> dict[str, object]:
    own, anyhow, above = line.leak[condition], line.anyhow[condition], line.above.get(condition)
    low, high = own.interval or (None, None)
    return {
        "attack": line.attack, "access": line.access, "condition": condition, "leak": own.value, "low": low,
        "high": high, "n": own.n, "people": own.people, "unscored": own.unscored, "any answer": anyhow.value,
        "above never knew": None if above is None else above.value,
    }  # fmt: skip
