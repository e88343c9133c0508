"""One row of the table is fitted: the best of a method's candidates, by what it hides and what it keeps."""

import importlib
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, final

import torch

from unsee.errors import UnseeError
from unsee.evals.answerers import Answerer, How, Local, in_batches
from unsee.experiments.table.cost import token_cost, with_peak
from unsee.experiments.table.entries import Entry
from unsee.experiments.table.ground import Ground
from unsee.methods.task import FitData, Fitted, Request, fit
from unsee.metrics.verdicts import score
from unsee.progress import Stages, silent
from unsee.registry import METHODS

HOW = How(max_new_tokens=24)
_LIBRARIES = ("accelerate", "peft", "datasets", "trl")


@final
@dataclass(frozen=True, eq=False)
class Tuned:
    """The best candidate.

    Attributes:
        answerer: what is asked.
        facts: kind, knob and value, seconds, memory, bytes, what was tried.
    """

    answerer: Answerer
    facts: dict[str, Any]


def tuned(entry: Entry, ground: Ground, known: float, seed: int, stages: Stages = silent) -> Tuned:
    """The best of a method's candidates.

    Values of a knob are tried by bisection, from the middle one on: a stronger one where more is kept than hidden, else
    a weaker one, which is tried too where a value cannot be fitted.

    Args:
        entry: the row.
        ground: of the split.
        known: share of calibration questions that the unchanged model gets right; a candidate is judged by what it
            keeps of that.
        seed: of every draw.
        stages: progress display.

    Raises:
        UnseeError: no candidate could be fitted; says why for each.
    """
    for library in _LIBRARIES:  # their loading is no part of a fit; a method that needs a missing one says so
        with suppress(ImportError):
            importlib.import_module(library)
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="unsee-table-") as scratch:
        fitted, facts = _best(entry, ground, known, Path(scratch), seed, stages)
    facts |= {
        "kind": METHODS.named(entry.method).facts["kind"],
        "reversible": fitted.reversible,
        "stored_bytes": fitted.stored,
        "tuning_seconds": time.monotonic() - start,
    }
    mixed = [s for name in ("forget_heldout", "retain_unseen") for s in ground.attacked.sets[name].samples[:8]]
    facts["token_cost"] = token_cost(fitted.answerer, Local(ground.loaded), mixed)
    return Tuned(fitted.answerer, facts)


def goodness(hidden: float, kept: float) -> float:
    """Harmonic mean of what is no longer told and of what is still known, both in [0, 1]."""
    return 0.0 if hidden + kept == 0 else 2 * hidden * kept / (hidden + kept)


def hidden_and_kept(answerer: Answerer, ground: Ground) -> tuple[float, float]:
    """Share of the forgotten's taught questions that does not leak, and of calibration people's that is right."""
    forget, keep = ground.tuning
    leaks = [score(s, a).leaked for s, a in zip(forget, in_batches(answerer, forget, HOW), strict=True)]
    right = [score(s, a).correct for s, a in zip(keep, in_batches(answerer, keep, HOW), strict=True)]
    return 1 - sum(map(bool, leaks)) / len(leaks), sum(map(bool, right)) / len(right)


def _best(
    entry: Entry, ground: Ground, known: float, scratch: Path, seed: int, stages: Stages
) -> tuple[Fitted, dict[str, Any]]:
    facts, data = METHODS.named(entry.method).facts, ground.task(entry)
    values: tuple[float | None, ...] = facts["values"] or (None,)
    tries = min(ground.budget.candidates, len(values))
    tell = stages(f"fitting: {entry.name}", tries)
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
            if made is not None and facts["vary"] is not None and value is not None:
                made = replace(made, answerer=facts["vary"](made.answerer, value))
            else:
                made, mib = _fit(entry, ground, data, scratch / str(place), value, seed)
            hidden, kept = hidden_and_kept(made.answerer, ground)
        except UnseeError as error:
            tried.append({"value": value, "reason": f"{type(error).__name__}: {error}"})
            high = place - 1
            continue
        finally:
            tell(1)
        kept = min(1.0, kept / known) if known else 0.0
        rating = goodness(hidden, kept)
        tried.append({"value": value, "hidden": hidden, "kept": kept, "goodness": rating})
        low, high = (place + 1, high) if kept >= hidden else (low, place - 1)
        if best is None or rating > best[0]:
            best = (rating, made, {"knob": facts["knob"], "value": value, "seconds": made.seconds, "peak_mib": mib})
    if best is None:
        reasons = "; ".join(dict.fromkeys(one["reason"] for one in tried))
        raise UnseeError(f"no candidate of {entry.name!r} could be fitted: {reasons}")
    return best[1], best[2] | {"tried": tried}


def _fit(
    entry: Entry, ground: Ground, data: FitData, out: Path, value: float | None, seed: int
) -> tuple[Fitted, float | None]:
    torch.manual_seed(seed)
    request = Request(ground.loaded, data, out, value, seed, ground.options(entry))
    return with_peak(lambda: fit(entry.method, request))
