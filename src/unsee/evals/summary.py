"""What the rows of one evaluation amount to: `metrics.json`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from unsee.evals.overall import KEPT, utility, utility_parts
from unsee.evals.roles import STRANGERS, better, role_of
from unsee.evals.stats import summarise
from unsee.evals.values import Asked, Figure, Row, asked, figure

UTILITY = "model-utility"


def summary(rows: Sequence[Row], settings: Mapping[str, Any], left_out: Mapping[str, int]) -> dict[str, Any]:
    """Rates as `unsee.evals.stats.summarise` has them, and each measure by set and by how it was asked.

    Args:
        rows: of one condition.
        settings: as in `settings.json`; names protocol, measures and seed.
        left_out: why questions of the data are in no set, to how many.
    """
    seed = settings["seed"]
    strangers = [row for row in rows if row["split"] == STRANGERS]
    measures = [
        {"split": split, "asked": how, "measure": name, **_plain(found)}
        for split in dict.fromkeys(row["split"] for row in rows)
        for name in applicable(settings["measures"], split)
        for how, shown in by_modality([row for row in rows if row["split"] == split])
        if (found := figure(shown, name, seed, asked(strangers, how))) is not None
    ]
    if UTILITY in settings["measures"] and (whole := utility(rows, settings["protocol"])) is not None:
        parts = {"parts": utility_parts(rows, settings["protocol"])}
        measures.append({"split": KEPT, "asked": "both", "measure": UTILITY, **_plain(whole), **parts})
    return {
        "schema": 1,
        "seed": seed,
        "settings": dict(settings),
        "rows": summarise(rows, seed),
        "measures": measures,
        "left_out": dict(left_out),
    }


def applicable(names: Iterable[str], split: str) -> list[str]:
    """Those of the measures that a set of that name is scored by."""
    return [name for name in names if better(name, role_of(split))]


def by_modality(rows: Sequence[Row]) -> list[tuple[Asked, list[Row]]]:
    """All rows, then those with and those without an image where there are both."""
    parts: list[tuple[Asked, list[Row]]] = [(how, asked(rows, how)) for how in get_args(Asked)]
    return parts if all(shown for _, shown in parts) else parts[:1]


def _plain(found: Figure) -> dict[str, Any]:
    counts = {"n": found.n, "people": found.people, "unscored": found.unscored}
    return {"value": found.value, "ci95": found.interval, **counts}
