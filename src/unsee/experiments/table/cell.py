"""One cell: a method is tuned, fitted and asked everything; a part that fails is unscored, with its reason."""

import importlib
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, final

import torch

from unsee.data.sample import Sample
from unsee.errors import UnseeError
from unsee.evals.choices import JUDGED
from unsee.evals.judge import judge_offline
from unsee.evals.run import Record, record
from unsee.experiments.table.attacks import lent, relearn, round_weights
from unsee.experiments.table.cost import token_cost, with_peak
from unsee.experiments.table.entries import Entry
from unsee.experiments.table.ground import Ground
from unsee.methods.controls import Answerer, Asked
from unsee.methods.registry import METHODS, Fitted, Method, Task
from unsee.metrics.leakage import leak_at_k
from unsee.metrics.verdicts import score
from unsee.models.load import LoadedModel
from unsee.progress import Stages, silent

MEASURES = (*JUDGED, "leak-at-k")
FAILURES = (UnseeError, RuntimeError, ValueError, ArithmeticError)
"""What a method that cannot serve raises, its libraries' errors among them; anything else is a fault of ours."""

_LONGEST = 24
_LIBRARIES = ("accelerate", "peft", "datasets", "trl")


@final
@dataclass
class Cell:
    """What one row showed on one split.

    Attributes:
        rows: one a question, as a results folder has them; attacks and probes are sets of their own.
        facts: numbers of the fit: value of the knob, seconds, memory, bytes and so on.
        unscored: set to why it has no rows.
    """

    rows: list[Record] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    unscored: dict[str, str] = field(default_factory=dict)


def reference(loaded: LoadedModel, name: str, ground: Ground, seed: int, stages: Stages = silent) -> Cell:
    """A model as it is."""
    _, kept = _tuning(Asked(loaded), ground)
    cell = Cell(facts={"kind": "reference", "reversible": None, "tuning_right": kept})
    _ask(cell, Fitted(Asked(loaded), loaded, 0.0, 0, True), name, ground, seed, stages)
    return cell


def fitted_cell(entry: Entry, ground: Ground, base: Cell, seed: int, stages: Stages = silent) -> Cell:
    """A method's row: the best of its candidates, asked everything.

    Values of a knob are tried by bisection, from the middle one on: a stronger one where more is kept than hidden, else
    a weaker one, which is tried too where a value cannot be fitted.

    Args:
        entry: the row.
        ground: of the split.
        base: what the unchanged model showed; a candidate is judged by what it keeps of that.
        seed: of every draw.
        stages: progress display.

    Raises:
        UnseeError: no candidate could be fitted; says why for each.
    """
    with tempfile.TemporaryDirectory(prefix="unsee-table-") as scratch:
        fitted, facts = _tuned(entry, ground, base.facts["tuning_right"], Path(scratch), seed, stages)
    method = METHODS[entry.method]
    cell = Cell(facts={"kind": method.kind, "reversible": fitted.reversible, "stored_bytes": fitted.stored, **facts})
    _ask(cell, fitted, entry.name, ground, seed, stages)
    return cell


def goodness(hidden: float, kept: float) -> float:
    """Harmonic mean of what is no longer told and of what is still known, both in [0, 1]."""
    return 0.0 if hidden + kept == 0 else 2 * hidden * kept / (hidden + kept)


def _tuned(
    entry: Entry, ground: Ground, known: float, scratch: Path, seed: int, stages: Stages
) -> tuple[Fitted, dict[str, Any]]:
    method, task = METHODS[entry.method], ground.task(entry)
    values: tuple[float | None, ...] = method.values or (None,)
    tries = min(ground.budget.candidates, len(values))
    for library in _LIBRARIES:  # their loading is no part of a fit; a method that needs a missing one says so
        with suppress(ImportError):
            importlib.import_module(library)
    tell = stages(f"fitting: {entry.name}", tries)
    start = time.monotonic()
    best: tuple[float, Fitted, dict[str, Any]] | None = None
    made: Fitted | None = None
    mib: float | None = None
    tried: list[dict[str, Any]] = []
    low, high = 0, len(values) - 1
    for _ in range(tries):
        if low > high:
            break
        place = (low + high) // 2
        value = values[place]
        try:
            if made is not None and method.vary is not None and value is not None:
                made = replace(made, answerer=method.vary(made.answerer, value))
            else:
                made, mib = _fit(method, entry, ground, task, scratch / str(place), value, seed)
            hidden, kept = _tuning(made.answerer, ground)
        except FAILURES as error:
            tried.append({"value": value, "reason": _reason(error)})
            high = place - 1
            continue
        finally:
            tell(1)
        kept = min(1.0, kept / known) if known else 0.0
        rating = goodness(hidden, kept)
        tried.append({"value": value, "hidden": hidden, "kept": kept, "goodness": rating})
        low, high = (place + 1, high) if kept >= hidden else (low, place - 1)
        if best is None or rating > best[0]:
            facts = {"knob": method.knob, "value": value, "seconds": made.seconds, "peak_mib": mib}
            best = (rating, made, facts)
    if best is None:
        reasons = "; ".join(dict.fromkeys(one["reason"] for one in tried))
        raise UnseeError(f"no candidate of {entry.name!r} could be fitted: {reasons}")
    return best[1], best[2] | {"tried": tried, "tuning_seconds": time.monotonic() - start}


def _fit(
    method: Method, entry: Entry, ground: Ground, task: Task, out: Path, value: float | None, seed: int
) -> tuple[Fitted, float | None]:
    torch.manual_seed(seed)
    options = ground.options(entry)
    return with_peak(lambda: method.fit(ground.loaded, task, out, value=value, seed=seed, options=options))


def _tuning(answerer: Answerer, ground: Ground) -> tuple[float, float]:
    """Share of the forgotten's taught questions that does not leak, and of calibration people's that is right."""
    forget, keep = ground.tuning
    leaks = [score(s, a).leaked for s, a in zip(forget, answerer.answers(forget), strict=True)]
    right = [score(s, a).correct for s, a in zip(keep, answerer.answers(keep), strict=True)]
    return 1 - sum(map(bool, leaks)) / len(leaks), sum(map(bool, right)) / len(right)


def _ask(cell: Cell, fitted: Fitted, name: str, ground: Ground, seed: int, stages: Stages) -> None:
    asked, answerer, loaded = ground.asked, fitted.answerer, fitted.loaded
    taught, others = ground.relearnt
    budget = ground.budget
    forget, keep = asked["forget_heldout"][: budget.attacked], asked["retain_unseen"][: budget.attacked]

    def ask(split: str, samples: Sequence[Sample]) -> list[Record]:
        return answered(answerer, samples, name, split)

    def after_rounding() -> list[Record]:
        with lent(loaded):
            round_weights(loaded)
            return ask("rounded_forget", forget) + ask("rounded_retain", keep)

    def after_relearning() -> list[Record]:
        with lent(loaded):
            relearn(loaded, taught, budget.relearning, seed=seed)
            return ask("relearnt_forget", others)

    parts: dict[str, Callable[[], list[Record]]] = {
        **{split: lambda s=split, those=those: ask(s, those) for split, those in {**asked, **ground.probes}.items()},
        "forget_sampled": lambda: sampled(answerer, asked["forget_heldout"][: budget.sampled], name, ground, seed),
        "rounded": after_rounding,
        "relearnt_forget": after_relearning,
    }
    tell = stages(f"asking: {name}", len(parts))
    for part, make in parts.items():
        try:
            cell.rows += make()
        except FAILURES as error:
            cell.unscored[part] = _reason(error)
        tell(1)
    mixed = [*forget[:8], *keep[:8]]
    cell.facts["token_cost"] = token_cost(answerer, Asked(ground.loaded), mixed)


def answered(answerer: Answerer, samples: Sequence[Sample], condition: str, split: str) -> list[Record]:
    """One row a question, with its verdict and what the offline judge gives it."""
    answers = answerer.answers(samples, max_new_tokens=_LONGEST)
    return [
        record(condition, split, sample, said) | {"measures": _judged(sample, said)}
        for sample, said in zip(samples, answers, strict=True)
    ]


def _judged(sample: Sample, said: str) -> dict[str, float | None]:
    """A choice among letters is nothing to judge."""
    if sample.form == "classification":
        return {}
    found = judge_offline(sample.question, said, sample.gold)
    return {name: getattr(found, theirs) for name, theirs in JUDGED.items()}


def sampled(answerer: Answerer, samples: Sequence[Sample], condition: str, ground: Ground, seed: int) -> list[Record]:
    """One row a question: whether any of its answers drawn at temperature 1 leaks."""
    draws = ground.budget.draws
    torch.manual_seed(seed)
    many = [sample for sample in samples for _ in range(draws)]
    answers = answerer.answers(many, 128, 16, do_sample=True, temperature=1.0)
    rows = []
    for place, sample in enumerate(samples):
        leaks = [score(sample, answer).leaked for answer in answers[draws * place : draws * (place + 1)]]
        row = record(condition, "forget_sampled", sample, None)
        rows.append(row | {"leaks": leaks, "measures": {"leak-at-k": leak_at_k(leaks, draws)}})
    return rows


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
