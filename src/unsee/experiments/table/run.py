"""All cells of a table, each in a folder of its own; what is finished stays, so that an interrupted run goes on.

A cell's folder is also a results folder: `unsee compare OUT/cells/10-0/*` shows its sets with paired differences.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

from unsee.data.task import Set, Task
from unsee.erase.config import Settings
from unsee.erase.profile import Profile, identity
from unsee.errors import OptionError, SaveError
from unsee.evals.plan import planned
from unsee.evals.store import ANSWERS, SETTINGS, read_object, require_same, rows_of
from unsee.experiments.table.budget import Budget
from unsee.experiments.table.cell import FAILURES, MEASURES, Cell, fitted_cell, reference
from unsee.experiments.table.cost import with_peak
from unsee.experiments.table.entries import REFERENCES, Entry
from unsee.experiments.table.ground import Ground
from unsee.experiments.trial import fit_world_profile
from unsee.methods.registry import METHODS
from unsee.models.load import LoadedModel
from unsee.progress import Stages, silent
from unsee.world.generate import World
from unsee.world.shipped import NEVER_KNEW_RATIO, NEVER_KNEW_SEED
from unsee.world.splits import Exam

PERCENTS = (5, 10, 15)
CELL = "cell.json"
Say = Callable[[str], None]


@final
@dataclass(frozen=True, eq=False)
class Table:
    """What is to be run.

    Attributes:
        out: folder of the table.
        loaded: the model that knows everybody.
        never_knew: one that was never taught split 0 at 10 %, where there is one.
        world: that they know.
        entries: rows.
        percents: shares of the private people to forget, in percent.
        splits: seeds of who is forgotten.
        budget: how much each row may take.
        seed: of every other draw.
    """

    out: Path
    loaded: LoadedModel
    never_knew: LoadedModel | None
    world: World
    entries: Sequence[Entry]
    percents: Sequence[int] = (10,)
    splits: Sequence[int] = (0,)
    budget: Budget = field(default_factory=Budget)
    seed: int = 0

    def __post_init__(self) -> None:
        if wrong := [percent for percent in self.percents if percent not in PERCENTS]:
            raise OptionError(f"forget is {wrong[0]} %, expected some of {list(PERCENTS)}. Pass one of these.")

    def folder(self, percent: int, split: int, name: str = "") -> Path:
        """Where a cell lies, or all of a split."""
        return self.out / "cells" / f"{percent}-{split}" / name

    def knows(self, percent: int, split: int) -> LoadedModel | None:
        """The never-knew model, for the one split that it was made for."""
        return self.never_knew if (percent / 100, split) == (NEVER_KNEW_RATIO, NEVER_KNEW_SEED) else None


def run(table: Table, say: Say = lambda text: None, stages: Stages = silent) -> None:
    """Fit and ask every cell that is not finished; a row that cannot be fitted says why.

    Raises:
        SettingsError: the folder holds cells of other settings.
        SaveError: it cannot be written.
    """
    plan = [(percent, split) for split in table.splits for percent in table.percents]
    todo = {where: _open(table, *where) for where in plan}
    left, spent, done = sum(map(len, todo.values())), 0.0, 0
    tell = stages("cells", left)
    for where, names in todo.items():
        if not names:
            continue
        ground = _ground(table, *where, names, stages)
        for name in names:
            start = time.monotonic()
            cell = _make(table, ground, *where, name, stages)
            _save(table, ground, *where, name, cell)
            done, spent = done + 1, spent + time.monotonic() - start
            tell(1)
            took = f"{done}/{left} {name}, {where[0]} % forgotten, split {where[1]}: {time.monotonic() - start:.0f} s"
            rest = f", about {spent / done * (left - done) / 60:.0f} min left" if left > done else ""
            failed = f": {cell.facts['failed']}" if "failed" in cell.facts else ""
            say(f"{took}{rest}{failed}")


def finished(table: Table, percent: int, split: int) -> list[str]:
    """Names of the cells of a split that have been fitted and asked, in the order of the table."""
    names = [*REFERENCES, *(entry.name for entry in table.entries)]
    return [name for name in names if (table.folder(percent, split, name) / CELL).exists()]


def read_cell(table: Table, percent: int, split: int, name: str) -> Cell:
    """A finished cell.

    Raises:
        ResultsError: it is damaged.
    """
    folder = table.folder(percent, split, name)
    found = read_object(folder / CELL)
    return Cell(rows_of(folder), found["facts"], found["unscored"])


def _open(table: Table, percent: int, split: int) -> list[str]:
    """What is left to do; cells that failed are tried again."""
    never = ["never_knew"] if table.knows(percent, split) else []
    names = ["base", *never, *(entry.name for entry in table.entries)]
    left = []
    for name in names:
        path = table.folder(percent, split, name) / CELL
        if path.exists():
            found = read_object(path)
            wanted = _settings(table, percent, split, name)
            require_same(found["settings"], wanted, f"the cell {path.parent}", "this run")
            if "failed" not in found["facts"]:
                continue
        left.append(name)
    return left


def _settings(table: Table, percent: int, split: int, name: str) -> dict[str, Any]:
    model = table.never_knew if name == "never_knew" and table.never_knew is not None else table.loaded
    entry = next((entry for entry in table.entries if entry.name == name), None)
    return {
        "condition": name,
        "model": identity(model),
        "world": table.world.seed,
        "forget": percent,
        "split": split,
        "seed": table.seed,
        "budget": table.budget.as_json(),
        "options": {} if entry is None else dict(entry.options),
    }


def _ground(table: Table, percent: int, split: int, names: Sequence[str], stages: Stages) -> Ground:
    ground = Ground(Exam(table.world, split, percent / 100), percent, table.budget, table.loaded)
    steers = any(METHODS[e.method].kind == "steered" for e in table.entries if e.name in names)
    if not steers:
        return ground
    folder = table.out / "profiles" / f"{percent}-{split}"
    if (folder / "cost.json").exists():
        profile = Profile.from_pretrained(folder)
    else:
        start = time.monotonic()
        profile, mib = with_peak(
            lambda: fit_world_profile(
                table.loaded, ground.exam, ground.data, Settings(pgd_images=12), table.seed, stages
            )
        )
        profile.save_pretrained(folder)
        _write(folder / "cost.json", {"seconds": time.monotonic() - start, "peak_mib": mib})
    return Ground(ground.exam, percent, table.budget, table.loaded, profile)


def _make(table: Table, ground: Ground, percent: int, split: int, name: str, stages: Stages) -> Cell:
    if name == "base":
        return reference(table.loaded, name, ground, table.seed, stages)
    if name == "never_knew" and table.never_knew is not None:
        return reference(table.never_knew, name, ground, table.seed, stages)
    entry = next(entry for entry in table.entries if entry.name == name)
    base = read_cell(table, percent, split, "base")
    try:
        return fitted_cell(entry, ground, base, table.seed, stages)
    except FAILURES as error:
        return Cell(facts={"kind": METHODS[entry.method].kind, "failed": f"{type(error).__name__}: {error}"})


def _save(table: Table, ground: Ground, percent: int, split: int, name: str, cell: Cell) -> None:
    folder = table.folder(percent, split, name)
    settings = _settings(table, percent, split, name)
    if cell.rows:
        sets = {kind: Set.of("unlabelled", samples) for kind, samples in ground.asked.items()}
        plan = planned("world", Task("world", sets), max_new_tokens=24, measures=MEASURES, seed=table.seed)
        asked = {"ratio": percent, "prompts": "chat template", "judge": "offline", "erasers": []}
        _write(folder / SETTINGS, plan.settings() | settings | asked)
        _write_text(folder / ANSWERS, "".join(json.dumps(row) + "\n" for row in cell.rows))
    _write(folder / CELL, {"settings": settings, "facts": cell.facts, "unscored": cell.unscored})


def _write(path: Path, value: dict[str, Any]) -> None:
    _write_text(path, json.dumps(value, indent=1) + "\n")


def _write_text(path: Path, text: str) -> None:
    """Whole or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".{path.name}.new")
        draft.write_text(text, encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise SaveError(f"cannot write {str(path)!r}: {error}. Choose another folder with --out.") from error
