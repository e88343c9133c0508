"""Carry a plan out: ask in batches that are the same however many processes share them, and write each as it comes.

A batch is the unit of work. Which questions share one depends on the plan alone, so neither a kill nor the number of
processes changes what a row says: a batch that a kill has cut short is asked again as a whole, and only the rows that
are missing are written.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch

from unsee.erase.artifact_config import library_versions
from unsee.erase.eraser import Eraser
from unsee.erase.profile import identity
from unsee.evals.judge import Judge, judge_offline
from unsee.evals.plan import Plan
from unsee.evals.processes import Processes
from unsee.evals.prompting import Asking, asking
from unsee.evals.run import answers_of, record_of_any
from unsee.evals.scoring import scored_rows
from unsee.evals.store import Part, Record, complete, key_of, prepare, rows_of
from unsee.evals.summary import summary
from unsee.models.encode import batches_by_length
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
        processes: that share the work; this one alone by default.
        stages: told how far this process is.
        note: told what a kill has cost.

    Returns:
        What `metrics.json` holds, in the main process; None in others.

    Raises:
        SettingsError: the folder's rows were made with other settings.
        ResultsError: the folder is damaged, in use, or another's.
        SaveError: it cannot be written.
        SteeringError: steering did not happen as an eraser requires.
    """
    several = processes or Processes()
    asks = asking(loaded, plan.style, verbatim=plan.protocol == "official" and plan.benchmark is not None)
    settings = plan.settings() | {
        "condition": condition,
        "model": identity(loaded),
        "precision": str(loaded.model.dtype).removeprefix("torch."),
        "erasers": list(eraser_ids),
        "style": asks.whole or asks.style,
        "prompts": "whole strings of the release" if asks.whole else "chat template",
        "judge": judge_name,
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
                rows = _ask(asks, plan, batch, condition, erasers, judge)
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
    asks: Asking, plan: Plan, batch: Batch, condition: str, erasers: Sequence[Eraser], judge: Judge
) -> list[Record]:
    items = [plan.sets[batch.split][place] for place in batch.places]
    samples = [item.sample for item in items]
    drawn: dict[str, Any] = {}
    if plan.sampled:
        # Of the batch alone, so that a reply does not depend on what was asked before it, or by which process.
        mark = hashlib.sha256(f"reply/{plan.seed}/{batch.split}/{samples[0].id}".encode()).digest()
        torch.manual_seed(int.from_bytes(mark[:7], "little"))
        drawn = {"do_sample": True}
    answers = answers_of(
        asks.loaded,
        asks.prompts(samples),
        erasers,
        batch_size=len(samples),
        max_new_tokens=batch.tokens,
        style=asks.style,
        **drawn,
    )
    scored = scored_rows(
        asks,
        batch.split,
        items,
        answers,
        plan.measures,
        judge=judge,
        erasers=erasers,
        batch_size=plan.batch_size,
    )
    versions = library_versions()
    rows = []
    for sample, said, one in zip(samples, answers, scored, strict=True):
        row = record_of_any(condition, batch.split, sample, said) | {"measures": one.measures}
        if one.log_truth_ratio is not None:
            row["log_truth_ratio"] = one.log_truth_ratio
        if one.judged is not None:
            row["judged"] = one.judged
        rows.append(row | {"versions": versions})
    return rows
