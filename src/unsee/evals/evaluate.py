"""The one loop: every question of a task to every condition, one row each, going on where a killed run stopped.

A batch is the unit of work. Which questions share one depends on the plan alone, so neither a kill nor the number of
processes changes what a row says: a batch that a kill has cut short is asked again as a whole, and only the rows that
are missing are written.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from unsee.errors import OptionError, UnseeError
from unsee.evals.asking import Batch, attack_batches, unasked
from unsee.evals.choices import SAFETY
from unsee.evals.code import code_version
from unsee.evals.held import Attack, Condition, Held, every_batch, made
from unsee.evals.held import rows as answered
from unsee.evals.plan import Plan
from unsee.evals.processes import Processes
from unsee.evals.rows import row_of
from unsee.evals.scoring import Judges
from unsee.evals.store import SCHEMA, SETTINGS, Part, Record, complete, key_of, prepare, read_object, rows_of
from unsee.evals.summary import summary
from unsee.progress import Stages, silent
from unsee.workers import Here, WorkerError, Workers

Note = Callable[[str], None]


def evaluate(
    conditions: Sequence[Condition],
    plan: Plan,
    out: Path,
    *,
    judges: Judges | None = None,
    processes: Processes | None = None,
    workers: Workers[Held] | None = None,
    stages: Stages = silent,
    note: Note = lambda text: None,
    beside: Mapping[str, Any] | None = None,
    renew: bool = False,
    given: Iterable[Sequence[Record]] = (),
) -> Record | None:
    """Ask what the folder has no answer to yet, then write `answers.jsonl` and `metrics.json`.

    A condition that cannot be made (a method that cannot serve this model or data) and a question that cannot be put
    have rows without an answer, with the reason. Steering that did not happen and an unexpected error end the run.

    Args:
        conditions: of different names.
        plan: what is asked, and how.
        out: results folder, new or one that the same settings have begun.
        judges: of quality and safety; the offline rule by default.
        processes: that share the work; this one alone by default.
        workers: that hold these conditions and this plan and share the batches; this process by default.
        stages: told how far this process is.
        note: told what a kill has cost.
        beside: further entries of `metrics.json`.
        renew: start again where the folder has other settings, rather than refuse.
        given: rows that this very evaluation made elsewhere; written as they come, before anything is asked.

    Returns:
        What `metrics.json` holds, in the main process; None in others.

    Raises:
        OptionError: two conditions of one name, or attack success is to be measured and nobody judges safety.
        SettingsError: the folder's rows were made with other settings, by another model or by other code.
        ResultsError: the folder is damaged, in use, or another's.
        SaveError: it cannot be written.
        SteeringError: steering did not happen.
        WorkerError: workers are lost for good; what they had answered is kept.
    """
    judges, several = judges or Judges(), processes or Processes()
    _require(conditions, plan, judges)
    for lost in prepare(out, _settings(conditions, plan, judges), renew=renew) if several.main else ():
        note(lost)
    several.wait()
    rows = rows_of(out)
    several.wait()  # nobody writes before everybody has read
    with Part(out, several.index) as part:
        for more in given:
            done = {key_of(row) for row in rows}
            part.append(new := [row for row in more if key_of(row) not in done])
            rows += new
    workers = workers or Here(Held(conditions, plan, judges))
    for one in conditions:
        _run(one, plan, out, rows, workers, several, stages)
    several.wait()
    return _completed(plan, out, beside or {}) if several.main else None


def _settings(conditions: Sequence[Condition], plan: Plan, judges: Judges) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "code": code_version(),
        **plan.settings(),
        "judge": judges.name,
        "conditions": {one.name: dict(one.settings) for one in conditions},
    }


def _completed(plan: Plan, out: Path, beside: Mapping[str, Any]) -> Record:
    settings = read_object(out / SETTINGS)  # with the conditions that were there before
    found = {key_of(row): row for row in rows_of(out)}
    rows = _in_order(list(found.values()), plan, list(settings["conditions"]))
    metrics = summary(rows, settings, plan.task.left_out) | dict(beside)
    complete(out, rows, metrics)
    return metrics


def _require(conditions: Sequence[Condition], plan: Plan, judges: Judges) -> None:
    names = [one.name for one in conditions]
    if twice := [name for name in names if names.count(name) > 1]:
        raise OptionError(f"two conditions are called {twice[0]!r}, expected a name each. Rename one.")
    if SAFETY in plan.measures and judges.safety is None:
        raise OptionError(
            f"{SAFETY} takes a judge of safety, and no rule could stand in for one. Name an endpoint with --judge and "
            "--judge-model, or leave the measure out."
        )


def _run(
    one: Condition,
    plan: Plan,
    out: Path,
    rows: Sequence[Record],
    workers: Workers[Held],
    several: Processes,
    stages: Stages,
) -> None:
    done, expected, open_ = _left(one, plan, rows)
    if expected <= done and not open_:
        return
    with Part(out, several.index) as part:
        try:
            next(workers.map(made, [one.name]))
        except WorkerError:
            raise
        except UnseeError as error:
            if several.main:
                reason = f"{type(error).__name__}: {error}"
                part.append(_unmade(one, plan, reason, expected - done))
                for of in open_:
                    failed = unasked(plan, of.name, of.split, one.name, reason, of.places)
                    part.append([row for row in failed if key_of(row) not in done])
            return
        asked = next(workers.map(every_batch, [one.name]))[1]
        left = [batch for batch in asked if batch.keys(one.name, plan) - done]
        mine = [*left[several.index :: several.count], *open_[several.index :: several.count]]
        counts = [len(of.keys(one.name, plan) - done if isinstance(of, Batch) else of.places) for of in mine]
        tell = stages(f"asking: {one.name}", sum(counts))
        for place, found in workers.map(answered, [(one.name, of) for of in mine]):
            part.append([row for row in found if key_of(row) not in done])
            tell(counts[place])


def lacking(conditions: Sequence[Condition], plan: Plan, out: Path) -> list[str]:
    """Names of the conditions of which the folder has not every row."""
    rows = rows_of(out) if out.exists() else []
    left = {one.name: _left(one, plan, rows) for one in conditions}
    return [name for name, (done, expected, open_) in left.items() if open_ or not expected <= done]


_Keys = set[tuple[str, str, str]]


def _left(one: Condition, plan: Plan, rows: Sequence[Record]) -> tuple[_Keys, _Keys, list[Attack]]:
    """Rows that are there, those of questions that should be, and batches of attacks that are not there."""
    done = {key_of(row) for row in rows if row["condition"] == one.name}
    expected = {(one.name, split, item.sample.id) for split, of in plan.task.sets.items() for item in of.items}
    whole = _carried_out(rows, one.name)
    return (
        done,
        expected,
        [of for of in _attacks(plan) if (f"{of.split}/{of.name}", min(of.places, default=0)) not in whole],
    )


def _attacks(plan: Plan) -> list[Attack]:
    """Every batch of every attack."""
    return [Attack(name, split, at) for name, split in plan.attacked() for at in attack_batches(plan, name, split)]


def _carried_out(rows: Sequence[Record], condition: str) -> set[tuple[str, int]]:
    """Batches of attacks of which every row is there; a kill may have torn one, and not every question has a row."""
    mine = [row for row in rows if row["condition"] == condition and "batch" in row]
    there = Counter((row["split"], row["batch"][0]) for row in mine)
    return {key for row in mine if there[key := (row["split"], row["batch"][0])] == row["batch"][1]}


def _unmade(one: Condition, plan: Plan, reason: str, keys: set[tuple[str, str, str]]) -> list[Record]:
    return [
        row_of(one.name, split, of, item.sample, None, reason=reason) | {"measures": {}}
        for split, of in plan.task.sets.items()
        for item in of.items
        if (one.name, split, item.sample.id) in keys
    ]


def _in_order(rows: Sequence[Record], plan: Plan, names: Sequence[str]) -> list[Record]:
    """By condition, then by set with its attacks, then as the data has them."""
    sets = list(plan.task.sets)
    splits = [*sets, *(f"{split}/{name}" for name in plan.attacks for split in sets)]
    places = {name: {item.sample.id: n for n, item in enumerate(of.items)} for name, of in plan.task.sets.items()}

    def place(row: Record) -> tuple[int, int, int]:
        split = row["split"].partition("/")[0]
        return names.index(row["condition"]), splits.index(row["split"]), places[split][row["id"]]

    return sorted(rows, key=place)
