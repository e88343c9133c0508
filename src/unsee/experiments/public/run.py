"""`unsee demo --family smollm2`: forget public facts in a real language model, and measure what that did."""

import hashlib
import json
import resource
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from jinja2 import Environment

from unsee.data.benchmarks.public_knowledge import PublicKnowledge, public_knowledge
from unsee.erase.artifact import library_versions
from unsee.erase.artifact_files import replace_file
from unsee.evals.answerers import Recorded
from unsee.evals.code import code_version
from unsee.evals.evaluate import evaluate
from unsee.evals.known import measure_known
from unsee.evals.plan import Plan
from unsee.evals.store import complete, rows_of
from unsee.experiments.public.conditions import BATCH, conditions
from unsee.experiments.public.data import Facts, PublicSplit, Sizes, draw
from unsee.experiments.public.fit import ACCEPTANCE, SETTINGS, Fitted, fit_public
from unsee.experiments.public.score import Record, judged, rows
from unsee.models.load import LoadedModel, load
from unsee.progress import Stages

QUICK = Sizes(
    forget=5, selective=1, retain=24, calibration=10, unseen=10, neighbours=1, general=24, wordings=2, kept_wordings=1
)
"""What a demo asks; `Sizes()` is what the figures of the documentation may be measured with."""
LONGEST = 40
"""Tokens of an answer: a leak may come behind a refusal."""
SHOWN = 20


def run_public_demo(
    out: Path, seed: int, stages: Stages, sizes: Sizes = QUICK, model: str = "real:smollm2"
) -> dict[str, Any]:
    """Fit, ask every condition, and write `metrics.json`, `answers.jsonl` and `report.html`.

    A run that was killed goes on where it stopped; what the base model says is kept for the next run.

    Args:
        out: folder for the three files and the fitted artifacts.
        seed: of the split.
        stages: progress display.
        sizes: how many subjects.
        model: a language model that knows some of the public facts.

    Returns:
        What is in `metrics.json`.

    Raises:
        ModelError: the model is not on this machine.
        DataError: it knows too little.
        DirectionError: unknown entities are no different to it.
        CalibrationError: no reply holds.
        SaveError: a file cannot be written.
    """
    start = time.monotonic()
    # Where a CPU has no arithmetic of half precision, float32 is four times as fast.
    loaded = load(model, dtype="auto" if torch.cuda.is_available() else "float32")
    base, knowledge = Recorded.of(loaded), public_knowledge()
    known = what_it_knows(loaded, base, knowledge, stages)
    split = draw(knowledge, known, seed, sizes)
    fitted = _fitted(loaded, knowledge, known, split, seed, sizes, out, stages)
    fit_seconds = time.monotonic() - start
    subjects = [*split.forgotten, *(one for one, _ in split.selective)]
    plan = Plan(split.task(), max_new_tokens=LONGEST, batch_size=BATCH, seed=seed)
    evaluate(conditions(base, loaded, fitted, subjects, seed), plan, out, stages=stages, renew=True)
    records = _judged(rows_of(out), split)
    metrics = {
        "schema": 1,
        "seed": seed,
        "model": {"name": model, "digest": loaded.digest},
        "forgotten": {one.id: list(known[one.id]) for one in split.forgotten},
        "selective": {one.id: list(spared) for one, spared in split.selective},
        "reply": fitted.erasers[0].reply.as_json(),
        "coefficient": fitted.profile.strength,
        "report": [*fitted.profile.report, *(line for eraser in fitted.erasers for line in eraser.report)],
        "rows": rows(records, seed),
        "cost": {
            "fit_seconds": round(fit_seconds, 1),
            "total_seconds": round(time.monotonic() - start, 1),
            "cpu_seconds": round(time.process_time(), 1),
            "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "eraser_bytes": fitted.erasers[0].stored_bytes,
        },
        "environment": library_versions() | {"threads": torch.get_num_threads()},
    }
    complete(out, records, metrics)
    replace_file(out / "report.html", _page(metrics, records).encode())
    return metrics


def what_it_knows(loaded: LoadedModel, base: Recorded, knowledge: PublicKnowledge, stages: Stages) -> Facts:
    """As recorded for these very weights, or else measured now; what is asked is asked once."""
    place = files("unsee.experiments.public").joinpath("known.json")
    recorded: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
    if loaded.digest in recorded:
        return {subject: tuple(facts) for subject, facts in recorded[loaded.digest]["facts"].items()}
    return measure_known(base, knowledge, knowledge.subjects, stages=stages).facts


def _fitted(
    loaded: LoadedModel,
    knowledge: PublicKnowledge,
    known: Facts,
    split: PublicSplit,
    seed: int,
    sizes: Sizes,
    out: Path,
    stages: Stages,
) -> Fitted:
    """As an earlier run with the same settings left it, or fitted now."""
    settings = [code_version(), loaded.digest, seed, asdict(sizes), SETTINGS.as_json(), ACCEPTANCE.as_json()]
    # What is known decides who is forgotten.
    whole = json.dumps([*settings, {name: sorted(facts) for name, facts in known.items()}], sort_keys=True)
    key, place = hashlib.sha256(whole.encode()).hexdigest(), out / "fit.txt"
    if place.is_file() and place.read_text(encoding="utf-8") == key:
        return Fitted.load(out)
    place.unlink(missing_ok=True)
    fitted = fit_public(loaded, knowledge, known, split, out, stages)
    fitted.save(out)
    replace_file(place, key.encode())
    return Fitted.load(out)


def _judged(found: Sequence[Mapping[str, Any]], split: PublicSplit) -> list[Record]:
    items = {item.sample.id: item for items in split.tests.values() for item in items}
    said = {row["id"]: row["answer"] for row in found if row["condition"] == "base"}
    return [judged(row, items[row["id"]], said[row["id"]]) for row in found]


def _page(metrics: Mapping[str, Any], records: Sequence[Record]) -> str:
    template = files("unsee.experiments.public").joinpath("report.html.j2").read_text(encoding="utf-8")
    shown: dict[str, dict[str, str]] = {}
    for one in records:
        if one["split"] == "forget_heldout":
            shown.setdefault(one["id"], {"question": one["question"]})[one["condition"]] = one["answer"]
    page = Environment(autoescape=True).from_string(template)
    return page.render(metrics=metrics, answers=list(shown.values())[:SHOWN])
