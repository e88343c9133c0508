"""What the rows of one evaluation amount to: `metrics.json`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from unsee.data.task import Role
from unsee.evals.aggregates import KEPT, utility, utility_parts
from unsee.evals.roles import shown
from unsee.evals.stats import summarise
from unsee.evals.store import SCHEMA
from unsee.evals.values import Asked, Figure, Row, asked, figure

UTILITY = "model-utility"


def summary(rows: Sequence[Row], settings: Mapping[str, Any], left_out: Mapping[str, int]) -> dict[str, Any]:
    """Rates as `unsee.evals.stats.summarise` has them, and each measure by set and by how it was asked.

    Args:
        rows: of one condition or several.
        settings: as in `settings.json`; names protocol, measures and seed.
        left_out: why questions of the data are in no set, to how many.
    """
    seed = settings["seed"]
    measures = []
    for condition in dict.fromkeys(row["condition"] for row in rows):
        mine = [row for row in rows if row["condition"] == condition]
        measures += [{"condition": condition, **one} for one in _measures(mine, settings)]
    return {
        "schema": SCHEMA,
        "seed": seed,
        "settings": dict(settings),
        "rows": summarise(rows, seed),
        "measures": measures,
        "left_out": dict(left_out),
    }


def _measures(rows: Sequence[Row], settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    seed, unknown = settings["seed"], [row for row in rows if row["role"] == "unknown"]
    names = settings["measures"]
    found = []
    for split in dict.fromkeys(row["split"] for row in rows):
        of = [row for row in rows if row["split"] == split]
        for name in applicable(with_attack(names, split), of[0]["role"]):
            for how, chosen in by_modality(of):
                if (one := figure(chosen, name, seed, asked(unknown, how))) is not None:
                    found.append({"split": split, "asked": how, "measure": name, **_plain(one)})
    if UTILITY in names and (whole := utility(rows, settings["protocol"])) is not None:
        parts = {"parts": utility_parts(rows, settings["protocol"])}
        found.append({"split": KEPT, "asked": "both", "measure": UTILITY, **_plain(whole), **parts})
    return found


def with_attack(names: Iterable[str], split: str) -> list[str]:
    """An attack's rows have what several answers get, and none of the measures that the questions have."""
    return ["leak-at-k"] if "/" in split else list(names)


def applicable(names: Iterable[str], role: Role) -> list[str]:
    """Those of the measures that a set of that role is scored by."""
    return [name for name in names if shown(name, role)]


def by_modality(rows: Sequence[Row]) -> list[tuple[Asked, list[Row]]]:
    """All rows, then those with and those without an image where there are both."""
    parts: list[tuple[Asked, list[Row]]] = [(how, asked(rows, how)) for how in get_args(Asked)]
    return parts if all(shown for _, shown in parts) else parts[:1]


def _plain(found: Figure) -> dict[str, Any]:
    counts = {"n": found.n, "people": found.people, "unscored": found.unscored}
    return {"value": found.value, "ci95": found.interval, **counts}
