"""Carry a plan out: ask in batches that are the same however many processes share them, and write each as it comes.

A batch is the unit of work. Which questions share one depends on the plan alone, so neither a kill nor the number of
processes changes what a row says: a batch that a kill has cut short is asked again as a whole, and only the rows that
are missing are written.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from unsee.data.sample import Sample
from unsee.erase.artifact import library_versions
from unsee.erase.eraser import Eraser
from unsee.erase.profile import identity
from unsee.errors import OptionError
from unsee.evals.answerer import Draw, Engine, Library
from unsee.evals.choices import SAFETY, SAMPLED
from unsee.evals.judge import Judge, judge_offline
from unsee.evals.judge_safety import SafetyJudge
from unsee.evals.plan import Plan
from unsee.evals.processes import Processes
from unsee.evals.prompting import Asking, asking
from unsee.evals.roles import role_of
from unsee.evals.run import record_of_any
from unsee.evals.scoring import scored_rows
from unsee.evals.store import Part, Record, complete, key_of, prepare, rows_of
from unsee.evals.summary import summary
from unsee.models.generate import batches_by_length
from unsee.models.load import LoadedModel
from unsee.progress import Stages, silent

Note = Callable[[str], None]


@final
@dataclass(frozen=True)
class Batch:
    """Questions of one set that are asked together, by their places in it."""

    split: str
    tokens: int
    places: tuple[int, ...]


def evaluate(
    loaded: LoadedModel,
    plan: Plan,
    out: Path,
    condition: str,
    *,
    erasers: Sequence[Eraser] = (),
    eraser_ids: Sequence[str] = (),
    judge: Judge = judge_offline,
    judge_name: str = "offline",
    safety: SafetyJudge | None = None,
    engine: Engine | None = None,
    processes: Processes | None = None,
    stages: Stages = silent,
    note: Note = lambda text: None,
) -> Record | None:
    """Ask what the folder has no answer to yet, then write `answers.jsonl` and `metrics.json`.

    Args:
        loaded: the model.
        plan: what is asked, and how.
        out: results folder, new or one that the same settings have begun.
        condition: name of the row in tables.
        erasers: requests in force; none asks the model as it is.
        eraser_ids: their content ids, in order.
        judge: of generation quality.
        judge_name: what `settings.json` calls it.
        safety: judge of safety, which attack success takes.
        engine: that answers, with the same erasers in force; transformers by default.
        processes: that share the work; this one alone by default.
        stages: told how far this process is.
        note: told what a kill has cost.

    Returns:
        What `metrics.json` holds, in the main process; None in others.

    Raises:
        OptionError: attack success is to be measured and nobody judges safety.
        SettingsError: the folder's rows were made with other settings.
        ResultsError: the folder is damaged, in use, or another's.
        SaveError: it cannot be written.
        SteeringError: steering did not happen as an eraser requires.
    """
    if SAFETY in plan.measures and safety is None:
        raise OptionError(
            f"{SAFETY} takes a judge of safety, and no rule could stand in for one. Name an endpoint with --judge and "
            "--judge-model, or leave the measure out."
        )
    several, answering = processes or Processes(), engine or Library(erasers)
    asks = asking(loaded, plan.style, verbatim=plan.protocol == "official" and plan.benchmark is not None)
    settings = plan.settings() | {
        "condition": condition,
        "model": identity(loaded),
        "precision": str(loaded.model.dtype).removeprefix("torch."),
        "erasers": list(eraser_ids),
        "style": asks.whole or asks.style,
        "prompts": "whole strings of the release" if asks.whole else "chat template",
        "judge": judge_name,
        "engine": answering.name,
        "engine_options": dict(answering.options),
    }
    if several.main:
        for lost in prepare(out, settings):
            note(lost)
    several.wait()
    done = {key_of(row) for row in rows_of(out)}
    several.wait()  # nobody writes before everybody has read
    left = [batch for batch in _batches(asks, plan) if _missing(plan, batch, done)]
    mine = left[several.index :: several.count]
    if mine:
        tell = stages("asking", sum(len(_missing(plan, batch, done)) for batch in mine))
        with Part(out, several.index) as part:
            for batch in mine:
                rows = _ask(asks, plan, batch, condition, answering, erasers, judge, safety)
                missing = _missing(plan, batch, done)
                part.append([row for row in rows if key_of(row) in missing])
                tell(len(missing))
    several.wait()
    if not several.main:
        return None
    found = {key_of(row): row for row in rows_of(out)}
    rows = [found[split, item.sample.id] for split, items in plan.sets.items() for item in items]
    metrics = summary(rows, settings, plan.left_out)
    complete(out, rows, metrics)
    return metrics


def _batches(asks: Asking, plan: Plan) -> Iterator[Batch]:
    for split, items in plan.sets.items():
        prompts = asks.prompts([item.sample for item in items])
        lengths = [plan.tokens(item.sample) for item in items]
        for tokens in sorted(set(lengths)):
            places = [place for place, length in enumerate(lengths) if length == tokens]
            chosen = [prompts[place] for place in places]
            for group in batches_by_length(asks.loaded, chosen, plan.batch_size, asks.style):
                yield Batch(split, tokens, tuple(places[number] for number in group))


def _missing(plan: Plan, batch: Batch, done: set[tuple[str, str]]) -> set[tuple[str, str]]:
    items = plan.sets[batch.split]
    return {(batch.split, items[place].sample.id) for place in batch.places} - done


def _ask(
    asks: Asking,
    plan: Plan,
    batch: Batch,
    condition: str,
    engine: Engine,
    erasers: Sequence[Eraser],
    judge: Judge,
    safety: SafetyJudge | None,
) -> list[Record]:
    items = [plan.sets[batch.split][place] for place in batch.places]
    samples = [item.sample for item in items]
    draw = Draw(_seed(plan, batch, samples, "reply")) if plan.sampled else None
    answers = engine.answers(asks, asks.prompts(samples), batch.tokens, draw)
    tries = _tries(asks, plan, batch, samples, engine)
    scored = scored_rows(
        asks,
        batch.split,
        items,
        answers,
        plan.measures,
        judge=judge,
        safety=safety,
        tries=tries,
        k=plan.tries,
        erasers=erasers,
        batch_size=plan.batch_size,
    )
    versions = library_versions() | dict(engine.versions)
    rows = []
    for sample, said, drawn, one in zip(samples, answers, tries, scored, strict=True):
        row = record_of_any(condition, batch.split, sample, said) | {"measures": one.measures}
        beside = {
            "log_truth_ratio": one.log_truth_ratio,
            "membership": one.membership,
            "judged": one.judged,
            "safety": one.safety,
            "tries": drawn,
        }
        row |= {name: value for name, value in beside.items() if value is not None}
        rows.append(row | {"engine": engine.name, "versions": versions})
    return rows


def _tries(asks: Asking, plan: Plan, batch: Batch, samples: Sequence[Sample], engine: Engine) -> list[list[str] | None]:
    """Further answers to what must be forgotten, drawn from the model's whole distribution; choices are not tried.

    A letter drawn often enough is right by chance.
    """
    found: list[list[str] | None] = [None] * len(samples)
    tried = [row for row, sample in enumerate(samples) if sample.form != "classification"]
    if SAMPLED not in plan.measures or role_of(batch.split) != "forget" or not tried:
        return found
    prompts = asks.prompts([samples[row] for row in tried])
    drawn = [
        engine.answers(asks, prompts, batch.tokens, Draw(_seed(plan, batch, samples, f"try {number}"), 1.0))
        for number in range(plan.tries)
    ]
    for place, row in enumerate(tried):
        found[row] = [said[place] for said in drawn]
    return found


def _seed(plan: Plan, batch: Batch, samples: Sequence[Sample], what: str) -> int:
    # Of the batch alone, so that a reply does not depend on what was asked before it, or by which process.
    mark = hashlib.sha256(f"{what}/{plan.seed}/{batch.split}/{samples[0].id}".encode()).digest()
    return int.from_bytes(mark[:7], "little")
