"""Results folders as they are compared: finished, of the same questions, and named apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from unsee.errors import OptionError
from unsee.evals.memorised import Memorised, memorised
from unsee.evals.roles import role_of
from unsee.evals.store import ANSWERS, SETTINGS, Record, ResultsError, SettingsError, read_object, rows_of

SHARED = (
    "format", "benchmark", "protocol", "ratio", "data", "sets", "limit", "style", "prompts", "max_new_tokens",
    "replies", "tries", "engine", "judge", "detectors",
)  # fmt: skip
"""Settings that must be equal for two conditions to stand in one table."""


@final
@dataclass(frozen=True)
class Result:
    """One condition.

    Attributes:
        name: of the condition, unlike any other's in the comparison.
        settings: as in `settings.json`.
        rows: as in `answers.jsonl`.
    """

    name: str
    settings: dict[str, Any]
    rows: list[Record]

    def splits(self) -> list[str]:
        """Names of the sets, in order."""
        return list(dict.fromkeys(row["split"] for row in self.rows))


def read_result(given: str) -> Result:
    """A results folder that is finished.

    Args:
        given: the folder, or `NAME=FOLDER` to call its condition otherwise than its settings do.

    Raises:
        ResultsError: there is none, it is not finished, or it is damaged.
    """
    name, named, rest = given.partition("=")
    folder = Path(rest) if named and not Path(given).is_dir() else Path(given)
    if not (folder / SETTINGS).is_file():
        raise ResultsError(
            f"{str(folder)!r} holds no {SETTINGS}, so it is no results folder. Expected what 'unsee eval --out' wrote; "
            "check the path."
        )
    settings = read_object(folder / SETTINGS)
    rows = rows_of(folder)
    if not (folder / ANSWERS).is_file():
        raise ResultsError(
            f"{folder} is not finished: it has {len(rows)} of {sum(settings['sets'].values())} answers. Run the same "
            "'unsee eval' again; it goes on where it stopped."
        )
    return Result(settings["condition"] if folder == Path(given) else name, settings, rows)


def read_results(given: Sequence[str]) -> list[Result]:
    """Results that can stand in one table, in the order given.

    Raises:
        ResultsError: as for `read_result`.
        SettingsError: they are of different benchmarks, protocols or questions, or were asked differently.
        OptionError: two conditions have the same name.
    """
    found = [read_result(one) for one in given]
    for result in found[1:]:
        require_comparable(found[0], result)
    names = [result.name for result in found]
    if twice := [name for name in names if names.count(name) > 1]:
        raise OptionError(
            f"two results are called {twice[0]!r}, expected every condition to have its own name. Pass NAME=FOLDER."
        )
    return found


def require_comparable(first: Result, second: Result) -> None:
    """Refuse results of different questions.

    Raises:
        SettingsError: names every difference.
    """
    differing = [name for name in SHARED if first.settings.get(name) != second.settings.get(name)]
    if differing:
        listed = "; ".join(
            f"{name} is {first.settings.get(name)!r} and {second.settings.get(name)!r}" for name in differing
        )
        raise SettingsError(
            f"results {first.name!r} and {second.name!r} are not of the same questions, asked alike: {listed}. "
            "Expected one benchmark, protocol and set of questions in a table; compare them apart, or run one again."
        )


def about(settings: Mapping[str, Any]) -> str:
    """What a table or image is of: benchmark, forget ratio and protocol."""
    ratio = settings["ratio"]
    forgotten = f", {ratio} % forgotten" if ratio else ""
    return f"{settings['benchmark'] or 'own data'}{forgotten}; {settings['protocol']} protocol"


def knew(base: Result, never_knew: Result) -> list[Memorised]:
    """Whether the base model knew what each set to be forgotten asks (`unsee.evals.memorised`)."""
    splits = [split for split in base.splits() if role_of(split) == "forget"]
    renamed = [
        row | {"condition": name} for name, one in (("base", base), ("never_knew", never_knew)) for row in one.rows
    ]
    return memorised(renamed, splits, seed=base.settings["seed"]) if splits else []
