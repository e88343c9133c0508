"""A proof on a natural vocabulary: requests in force on a language model, and what that did, from one loop."""

import base64
import hashlib
import json
import resource
import time
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from jinja2 import Environment

from unsee.data.benchmarks.items import Item
from unsee.data.sample import spread
from unsee.data.task import Role, Task, prompt_digest
from unsee.erase.artifact import library_versions
from unsee.erase.artifact_files import replace_file
from unsee.evals.answerers import Answerer, Local, Recorded
from unsee.evals.code import code_version
from unsee.evals.evaluate import evaluate
from unsee.evals.plan import Plan
from unsee.evals.store import complete, rows_of
from unsee.experiments.natural.conditions import BATCH, conditions
from unsee.experiments.natural.fit import ACCEPTANCE, SETTINGS, Fitted, fit_natural
from unsee.experiments.natural.score import Record, judged, rows
from unsee.experiments.natural.split import Split
from unsee.models.load import LoadedModel, load
from unsee.progress import Stages

LONGEST = 40
"""Tokens of an answer: a leak may come behind a refusal."""
SHOWN = 20


def load_quick(model: str) -> LoadedModel:
    """In the precision that this machine is quick at: where a CPU has no arithmetic of half precision, float32."""
    return load(model, dtype="auto" if torch.cuda.is_available() else "float32")


def run_natural(
    out: Path, seed: int, stages: Stages, loaded: LoadedModel, split: Split, twin: str | None = None
) -> dict[str, Any]:
    """Fit, ask every condition, and write `metrics.json`, `answers.jsonl` and `report.html`.

    A run that was killed goes on where it stopped; what the base model says is kept for the next run.

    Args:
        out: folder for the three files and the fitted artifacts.
        seed: of the split.
        stages: progress display.
        loaded: a language model.
        split: who is forgotten and kept.
        twin: name of a model that was never taught what is forgotten.

    Returns:
        What is in `metrics.json`.

    Raises:
        DirectionError: unknown entities are no different to it.
        CalibrationError: no reply holds.
        SaveError: a file cannot be written.
    """
    start = time.monotonic()
    found = fitted(loaded, split, seed, out, stages)
    fit_seconds = time.monotonic() - start
    never: Answerer | None = None if twin is None else Local(load_quick(twin))
    plan = Plan(Task("natural", split.tests), max_new_tokens=LONGEST, batch_size=BATCH, seed=seed)
    compared = conditions(Recorded.of(loaded), loaded, found, split.requests, never, seed)
    evaluate(compared, plan, out, stages=stages, renew=True)
    records = judged_rows(rows_of(out), split)
    metrics = {
        "schema": 1,
        "seed": seed,
        "model": {"name": loaded.name, "digest": loaded.digest},
        "forgotten": {one.id: list(one.known) for one in split.requests if not one.spared},
        "selective": {one.id: list(one.spared) for one in split.requests if one.spared},
        "reply": found.erasers[0].reply.as_json(),
        "coefficient": found.erasers[0].strength,
        "report": [*found.profile.report, *(line for eraser in found.erasers for line in eraser.report)],
        "rows": rows(records, seed),
        "cost": {
            "fit_seconds": round(fit_seconds, 1),
            "total_seconds": round(time.monotonic() - start, 1),
            "cpu_seconds": round(time.process_time(), 1),
            "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "eraser_bytes": found.erasers[0].stored_bytes,
        },
        "environment": library_versions() | {"threads": torch.get_num_threads()},
    }
    complete(out, records, metrics)
    replace_file(out / "report.html", _page(metrics, records, split).encode())
    return metrics


def fitted(loaded: LoadedModel, split: Split, seed: int, out: Path, stages: Stages) -> Fitted:
    """As an earlier run with the same settings left it, or fitted now."""
    asked = [split.forget, split.retain, split.calibration, split.general, split.refusal, split.unknown]
    seen = [[prompt_digest(sample) for sample in some] for some in asked]
    about = [[one.id, *one.subject.names, *one.known, "", *one.spared] for one in split.requests]
    settings = [code_version(), loaded.digest, seed, SETTINGS.as_json(), ACCEPTANCE.as_json(), about, seen]
    key, place = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest(), out / "fit.txt"
    if place.is_file() and place.read_text(encoding="utf-8") == key:
        return Fitted.load(out)
    place.unlink(missing_ok=True)
    made = fit_natural(loaded, split, out, stages)
    made.save(out)
    replace_file(place, key.encode())
    return Fitted.load(out)


def judged_rows(found: Sequence[Mapping[str, Any]], split: Split) -> list[Record]:
    """Every row with what its answer did, beside what the condition `base` says."""
    items: dict[str, tuple[Item, Role]] = {
        item.sample.id: (item, one.role) for one in split.tests.values() for item in one.items
    }
    said = {row["id"]: row["answer"] for row in found if row["condition"] == "base"}
    return [judged(row, *items[row["id"]], said[row["id"]]) for row in found]


def _page(metrics: Mapping[str, Any], records: Sequence[Record], split: Split) -> str:
    template = files("unsee.experiments.natural").joinpath("report.html.j2").read_text(encoding="utf-8")
    shown: dict[str, dict[str, str]] = {}
    for name in (name for name, one in split.tests.items() if one.role == "forget"):
        images = {item.sample.id: item.sample.image for item in split.tests[name].items}
        for one in records:
            if one["split"] == name:
                image = images[one["id"]]
                told = shown.setdefault(one["id"], {"question": one["question"]})
                told[one["condition"]] = one["answer"]
                if image is not None:
                    told["image"] = base64.b64encode(image.encoded).decode()
    page = Environment(autoescape=True).from_string(template)
    return page.render(metrics=metrics, answers=spread(list(shown.values()), SHOWN))
