"""Results folders as they are compared: finished, of the same questions, and named apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from unsee.data.task import Role
from unsee.errors import OptionError
from unsee.evals.memorised import Memorised, memorised
from unsee.evals.store import ANSWERS, SCHEMA, SETTINGS, Record, ResultsError, SettingsError, read_object, rows_of

SHARED = (
    "benchmark", "protocol", "ratio", "data", "sets", "limit", "style", "prompts", "max_new_tokens", "replies",
    "attacks", "tries", "judge", "detectors",
)  # fmt: skip
"""Settings that must be equal for two conditions to stand in one table."""


@final
@dataclass(frozen=True)
class Result:
    """One condition.

    Attributes:
        name: of the condition, unlike any other's in the comparison.
        settings: as in `settings.json`, with those of this condition alone under `condition`.
        rows: as in `answers.jsonl`, of this condition.
    """

    name: str
    settings: dict[str, Any]
    rows: list[Record]

    def splits(self) -> list[str]:
        """Names of the sets and of the attacks on them, in order."""
        return list(dict.fromkeys(row["split"] for row in self.rows))

    def role(self, split: str) -> Role:
        """What the set of that name is for."""
        return next(row["role"] for row in self.rows if row["split"] == split)

    @property
    def engine(self) -> str:
        """What answered: in half precision two engines break ties otherwise."""
        return self.settings["condition"].get("engine", "transformers")

    @property
    def erases(self) -> bool:
        """Whether erasers are in force."""
        return bool(self.settings["condition"].get("erasers"))


def read_folder(given: str) -> list[Result]:
    """Every condition of a results folder that is finished.

    Args:
        given: the folder, or `NAME=FOLDER` to call its one condition otherwise than its settings do.

    Raises:
        ResultsError: there is none, it is not finished, of another schema, or damaged.
        OptionError: a name for a folder with several conditions.
    """
    name, named, rest = given.partition("=")
    folder = Path(rest) if named and not Path(given).is_dir() else Path(given)
    if not (folder / SETTINGS).is_file():
        raise ResultsError(
            f"{str(folder)!r} holds no {SETTINGS}, so it is no results folder. Expected what 'unsee eval --out' or "
            "'unsee demo --out' wrote; check the path."
        )
    settings = read_object(folder / SETTINGS)
    if settings.get("schema") != SCHEMA:
        raise ResultsError(
            f"{folder} is of schema {settings.get('schema')!r}, expected {SCHEMA}. Run the evaluation again."
        )
    rows = rows_of(folder)
    if not (folder / ANSWERS).is_file():
        expected = sum(one["n"] for one in settings["sets"].values()) * len(settings["conditions"])
        raise ResultsError(
            f"{folder} is not finished: it has {len(rows)} of {expected} answers. Run the same command again; it goes "
            "on where it stopped."
        )
    conditions = settings.pop("conditions")
    if folder != Path(given) and len(conditions) != 1:
        raise OptionError(
            f"{folder} holds {list(conditions)}, so it cannot be called {name!r}. Pass the folder without a name."
        )
    return [
        Result(
            called if folder == Path(given) else name,
            settings | {"condition": about},
            [row for row in rows if row["condition"] == called],
        )
        for called, about in conditions.items()
    ]


def read_results(given: Sequence[str]) -> list[Result]:
    """Results that can stand in one table, in the order given.

    Raises:
        ResultsError: as for `read_folder`.
        SettingsError: they are of different benchmarks, protocols or questions, or were asked differently.
        OptionError: two conditions have the same name.
    """
    found = [result for one in given for result in read_folder(one)]
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
    mine, theirs = ({**one.settings, "engine": one.engine} for one in (first, second))
    differing = [name for name in (*SHARED, "engine") if mine.get(name) != theirs.get(name)]
    if differing:
        listed = "; ".join(f"{name} is {mine.get(name)!r} and {theirs.get(name)!r}" for name in differing)
        raise SettingsError(
            f"results {first.name!r} and {second.name!r} are not of the same questions, asked alike: {listed}. "
            "Expected one benchmark, protocol and set of questions in a table; compare them apart, or run one again."
        )


def about(settings: Mapping[str, Any]) -> str:
    """What a table or image is of: benchmark, forget ratio and protocol."""
    ratio = settings["ratio"]
    forgotten = f", {ratio} % forgotten" if ratio else ""
    return f"{settings['benchmark'] or settings['task']}{forgotten}; {settings['protocol']} protocol"


def knew(base: Result, never_knew: Result) -> list[Memorised]:
    """Whether the base model knew what each set to be forgotten asks (`unsee.evals.memorised`)."""

    def of(result: Result, split: str) -> list[Record]:
        return [row for row in result.rows if row["split"] == split]

    splits = [split for split in base.splits() if base.role(split) == "forget" and "/" not in split]
    return [memorised(one, of(base, one), of(never_knew, one), base.settings["seed"]) for one in splits]
