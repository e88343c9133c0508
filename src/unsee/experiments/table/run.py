"""All rows of a table: one results folder a split and part; what is finished stays, so an interrupted run goes on.

`unsee compare OUT/cells/10-0/asked` shows the same rows with paired differences.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, final

from unsee.erase.config import Settings
from unsee.erase.profile import Profile, identity
from unsee.errors import OptionError, UnseeError
from unsee.evals.answerers import Answerer, Local
from unsee.evals.choices import JUDGED
from unsee.evals.evaluate import evaluate, lacking
from unsee.evals.held import Condition
from unsee.evals.plan import Plan
from unsee.evals.store import Record, read_object, rows_of
from unsee.evals.tables import save
from unsee.experiments.table.budget import Budget
from unsee.experiments.table.cost import with_peak
from unsee.experiments.table.entries import Entry
from unsee.experiments.table.ground import Ground
from unsee.experiments.table.tuning import HOW, hidden_and_kept, tuned
from unsee.experiments.trial import fit_world_profile
from unsee.models.load import LoadedModel
from unsee.progress import Stages, silent
from unsee.registry import METHODS
from unsee.workers import Workers
from unsee.world.generate import World
from unsee.world.shipped import NEVER_KNEW_RATIO, NEVER_KNEW_SEED
from unsee.world.splits import Exam

PERCENTS = (5, 10, 15)
ATTACKS = ("longer", "turns", "sampling", "rounding", "relearning")
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

    def folder(self, percent: int, split: int) -> Path:
        """Where all of a split lies."""
        return self.out / "cells" / f"{percent}-{split}"

    def knows(self, percent: int, split: int) -> LoadedModel | None:
        """The never-knew model, for the one split that it was made for."""
        return self.never_knew if (percent / 100, split) == (NEVER_KNEW_RATIO, NEVER_KNEW_SEED) else None


def run(
    table: Table, say: Say = lambda text: None, stages: Stages = silent, workers: Workers[Table] | None = None
) -> None:
    """Fit and ask everything that is not finished; a row that cannot be fitted says why.

    Args:
        table: what is to be run.
        say: told of each split that is finished.
        stages: progress display.
        workers: that hold this table and fit and ask one row at a time each; this process by default.

    Raises:
        SettingsError: the folder holds rows of other settings, another model or other code.
        SaveError: it cannot be written.
        WorkerError: workers are lost for good.
    """
    for split in table.splits:
        for percent in table.percents:
            start = time.monotonic()
            conditions, plans = _split(table, percent, split, stages)
            made: dict[str, list[list[Record]]] = {name: [] for name in plans}

            def given(part: str, place: tuple[int, int] = (percent, split), made: Any = made) -> Iterator[list[Record]]:
                yield from made[part]
                if workers is not None and part == "asked":
                    yield from _elsewhere(table, workers, place, made, stages)

            for part, plan in plans.items():
                evaluate(conditions, plan, table.folder(percent, split) / part, stages=stages, given=given(part))
            say(f"{percent} % forgotten, split {split}: {time.monotonic() - start:.0f} s")


def _split(table: Table, percent: int, split: int, stages: Stages) -> tuple[list[Condition], dict[str, Plan]]:
    ground = Ground(Exam(table.world, split, percent / 100), percent, table.budget, table.loaded)
    length = HOW.max_new_tokens
    plans = {
        "asked": Plan(ground.asked, max_new_tokens=length, measures=tuple(JUDGED)),
        "attacked": Plan(ground.attacked, max_new_tokens=length, attacks=ATTACKS, tries=table.budget.draws),
    }
    seeded = {name: replace(plan, seed=table.seed) for name, plan in plans.items()}
    return _conditions(table, ground, split, stages), seeded


def _elsewhere(
    table: Table, workers: Workers[Table], place: tuple[int, int], made: dict[str, list[list[Record]]], stages: Stages
) -> Iterator[list[Record]]:
    """Rows of what is asked, condition by condition as workers finish them; those of attacks are put into `made`."""
    conditions, plans = _split(table, *place, stages)
    folder = table.folder(*place)
    open_ = dict.fromkeys(name for part, plan in plans.items() for name in lacking(conditions, plan, folder / part))
    if any(METHODS.named(one.method).facts["kind"] == "steered" for one in table.entries if one.name in open_):
        _profile(table, Ground(Exam(table.world, place[1], place[0] / 100), place[0], table.budget, table.loaded),
                 place[1], stages)  # fmt: skip
    tell = stages("rows of the table", len(open_))
    for _, (name, facts, rows) in workers.map(_row, [(*place, name) for name in open_]):
        if facts:
            save(_facts(table, *place, name), facts)
        made["attacked"].append(rows["attacked"])
        tell(1)
        yield rows["asked"]


def _row(table: Table, part: tuple[int, int, str]) -> tuple[str, dict[str, Any], dict[str, list[Record]]]:
    """One row of a split, fitted and asked in this process: its name, what the fit took, and its rows."""
    percent, split, name = part
    conditions, plans = _split(table, percent, split, silent)
    one = [condition for condition in conditions if condition.name == name]
    rows = dict[str, list[Record]]()
    with TemporaryDirectory() as folder:
        for which, plan in plans.items():
            evaluate(one, plan, Path(folder) / which)
            rows[which] = rows_of(Path(folder) / which)
    facts = _facts(table, percent, split, name)
    return name, read_object(facts) if facts.exists() else {}, rows


def rows_in(table: Table, percent: int, split: int) -> list[Record]:
    """Every row of a split: what was asked, then what attacks got; empty where nothing is finished."""
    folder = table.folder(percent, split)
    if not (folder / "attacked" / "answers.jsonl").exists():
        return []
    attacked = [row for row in rows_of(folder / "attacked") if "/" in row["split"] or row["answer"] is None]
    return rows_of(folder / "asked") + attacked


def facts_of(table: Table, percent: int, split: int, name: str) -> dict[str, Any]:
    """What the fit of a row took; empty where there was none."""
    path = _facts(table, percent, split, name)
    return read_object(path)["facts"] if path.exists() else {}


def _conditions(table: Table, ground: Ground, split: int, stages: Stages) -> list[Condition]:
    """The references, then a row for each entry, fitted when the first question is put to it."""
    base = Local(table.loaded)
    shared = {
        "model": identity(table.loaded),
        "world": table.world.seed,
        "forget": ground.percent,
        "split": split,
        "seed": table.seed,
        "budget": table.budget.as_json(),
    }

    @cache
    def known() -> float:
        return hidden_and_kept(base, ground)[1]

    @cache
    def steered() -> Ground:
        return replace(ground, profile=_profile(table, ground, split, stages))

    def row(entry: Entry) -> Condition:
        method = METHODS.named(entry.method).facts
        settings = {**shared, **entry.as_json(), "values": list(method["values"])}

        @cache
        def make() -> Answerer:
            mine = steered() if method["kind"] == "steered" else ground
            path = _facts(table, ground.percent, split, entry.name)
            try:
                found = tuned(entry, mine, known(), table.seed, stages)
            except UnseeError as error:
                save(path, {"settings": settings, "facts": {"kind": method["kind"], "failed": str(error)}})
                raise
            save(path, {"settings": settings, "facts": found.facts})
            return found.answerer

        return Condition(entry.name, settings, make)

    references = [Condition.of("base", base)]
    if (never := table.knows(ground.percent, split)) is not None:
        references.append(Condition.of("never_knew", Local(never)))
    return [*references, *map(row, table.entries)]


def _profile(table: Table, ground: Ground, split: int, stages: Stages) -> Profile:
    folder = table.out / "profiles" / f"{ground.percent}-{split}"
    cost = folder / "cost.json"
    settings = Settings(pgd_images=12)
    wanted = {"model": identity(table.loaded), "fit": settings.as_json(), "seed": table.seed}
    if cost.exists() and read_object(cost).get("settings") == wanted:
        return Profile.from_pretrained(folder)
    start = time.monotonic()
    profile, mib = with_peak(
        lambda: fit_world_profile(table.loaded, ground.exam, ground.data, settings, table.seed, stages)
    )
    profile.save_pretrained(folder)
    save(cost, {"settings": wanted, "seconds": time.monotonic() - start, "peak_mib": mib})
    return profile


def _facts(table: Table, percent: int, split: int, name: str) -> Path:
    return table.folder(percent, split) / "fits" / f"{name}.json"
