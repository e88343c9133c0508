"""`unsee demo`: forget people, a topic and some outdated facts of the built-in world, and prove what that did."""

import resource
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, final

import torch

from unsee.data.sample import Sample, spread
from unsee.erase.artifact import library_versions
from unsee.erase.config import Settings
from unsee.erase.eraser import Eraser
from unsee.erase.fit.activations import capture_features
from unsee.erase.fit_eraser import fit_published
from unsee.erase.gates.base import require_kind
from unsee.erase.gates.null_space import RELEASED_LLAVA, RELEASED_QWEN
from unsee.erase.gates.prompt_ridge import PromptRidgeGate
from unsee.erase.profile import Profile
from unsee.evals.answerers import Local
from unsee.evals.asking import asked
from unsee.evals.evaluate import Condition, evaluate
from unsee.evals.plan import Plan
from unsee.evals.report import write_report
from unsee.evals.stats import Row, summarise
from unsee.evals.store import METRICS, Record, complete, read_object, rows_of
from unsee.experiments.trial import Data, fit_requests, fit_world_profile, gather, some, world_task
from unsee.models.load import LoadedModel, load
from unsee.progress import Stages
from unsee.world.generate import World
from unsee.world.shipped import NEVER_KNEW_SEED, require_shipped
from unsee.world.splits import Exam

MOST_ASKED = 120
"""Questions of one split."""
LONGEST = 24
"""Tokens of an answer: the world's are short."""
LAMBDAS = {"erased": (0.25, 0.5, 1.0, 2.0), "published": (0.05, 0.1, 0.25, 0.5)}


def run_demo(out: Path, seed: int, stages: Stages, family: str = "llava") -> dict[str, Any]:
    """Fit, ask every condition, and write `metrics.json`, `answers.jsonl` and `report.html`.

    Args:
        out: folder for the three files and the fitted artifacts.
        seed: who is forgotten, and how the others are split.
        stages: progress display.
        family: whose checkpoints are asked, one of `FAMILIES`.

    Returns:
        What is in `metrics.json`.

    Raises:
        OptionError: no checkpoints of that family come with the package.
        SaveError: a file cannot be written.
    """
    require_shipped(family)
    clock = Clock()
    loaded = load(f"world:{family}")
    exam = Exam(World(), seed)
    # Less than by default, here and below: a demo is short, 'unsee sweep honest' takes all.
    data = gather(exam, talk=0.25, wordings=1)
    data = replace(data, task=world_task({name: some(asked, MOST_ASKED) for name, asked in data.splits.items()}))
    clock.lap("load and draw")
    quick = Settings(pgd_images=6, trajectory_prompts=64, strengths=(1.0, 3.0))
    profile = fit_world_profile(loaded, exam, data, quick, seed, stages)
    clock.lap("profile, once per model")
    erasers = fit_requests(loaded, profile, data, stages=stages)
    clock.lap("three erasure requests")
    preset = RELEASED_LLAVA if family == "llava" else RELEASED_QWEN
    published = fit_published(loaded, profile, spread(data.requests["people"][0], 600), preset=preset, stages=stages)
    clock.lap("the published gate")
    profile.save_pretrained(out / "profile")
    answerers = _answerers(loaded, erasers, published, out, seed)
    if seed == NEVER_KNEW_SEED:
        answerers["never_knew"] = Local(load(f"world:{family}-never-knew"))
    conditions = [
        Condition.of(name, one, frozenset(digest for eraser in one.erasers for digest in eraser.fitted_on))
        for name, one in answerers.items()
    ]
    evaluate(conditions, Plan(data.task, max_new_tokens=LONGEST, seed=seed), out, stages=stages, renew=True)
    clock.lap("asking")
    tradeoff = _tradeoff(loaded, data, list(erasers.values()), published, stages)
    clock.lap("trade-off over lambda")
    gates = _gate_scores(loaded, erasers["people"], data)
    cost = clock.cost() | {"eraser_bytes": erasers["people"].stored_bytes}
    environment = library_versions() | {"threads": torch.get_num_threads(), "model": loaded.name.rsplit("/", 1)[-1]}
    records = rows_of(out)
    metrics = read_object(out / METRICS) | {"cost": cost, "environment": environment}
    complete(out, records, metrics)
    _report(out, metrics, records, data, profile, erasers, gates, tradeoff)
    return metrics


@final
class Clock:
    """Seconds of each stage of a run, one after the other."""

    def __init__(self) -> None:
        """Start."""
        self._start = time.monotonic()
        self._seconds: dict[str, float] = {}

    def lap(self, name: str) -> None:
        """End a stage."""
        self._seconds[name] = time.monotonic() - self._start - sum(self._seconds.values())

    def cost(self) -> dict[str, Any]:
        """By stage, in all, and the most memory that the process has held."""
        return {
            "seconds": {name: round(value, 1) for name, value in self._seconds.items()},
            "total_seconds": round(time.monotonic() - self._start, 1),
            "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        }


def _answerers(
    loaded: LoadedModel, erasers: Mapping[str, Eraser], published: Eraser, out: Path, seed: int
) -> dict[str, Local]:
    """Every condition of this model; its erasers are saved."""
    saved = {**erasers, "published": published}
    ids = {name: e.save_pretrained(out / "erasers" / name.replace(" ", "-")) for name, e in saved.items()}
    in_force, own = list(erasers.values()), [ids[name] for name in erasers]
    aimless = [eraser.with_random_direction(seed) for eraser in in_force]
    return {
        "base": Local(loaded),
        "erased": Local(loaded, in_force, own),
        "published": Local(loaded, [published], [ids["published"]]),
        "random": Local(loaded, aimless, [f"{one}, random direction {seed}" for one in own]),
    }


def _report(
    out: Path,
    metrics: dict[str, Any],
    records: Sequence[Record],
    data: Data,
    profile: Profile,
    erasers: Mapping[str, Eraser],
    gates: dict[str, Any],
    tradeoff: dict[str, Any],
) -> None:
    shown = {r["image"] for r in records if r["image"]}
    images = {
        s.image.id: s.image.source
        for split in data.splits.values()
        for s in split
        if s.image and s.image.id in shown and isinstance(s.image.source, bytes)
    }
    of_erasers = [{**f, "check": f"{name}: {f['check']}"} for name, e in erasers.items() for f in e.report]
    cost: dict[str, Any] = {name: {"seconds": value} for name, value in metrics["cost"]["seconds"].items()}
    cost["peak memory"] = {"peak_mib": metrics["cost"]["peak_mib"]}
    pgd = profile.curves["pgd"] or None
    diagnosis = [*profile.report, *of_erasers]
    write_report(out, metrics, records, images, gates, tradeoff, diagnosis, cost, pgd_history=pgd)


def _tradeoff(
    loaded: LoadedModel, data: Data, erasers: list[Eraser], published: Eraser, stages: Stages
) -> dict[str, Any]:
    """Refusal of the forgotten against accuracy on the unseen, over lambda."""
    forget, retain = some(data.splits["forget_heldout"], 40), some(data.splits["retain_unseen"], 40)
    plan = Plan(world_task({"forget_heldout": forget, "retain_unseen": retain}), max_new_tokens=LONGEST)
    curves: dict[str, Any] = {
        "n_forget": len(forget),
        "n_retain": len(retain),
        "runs": 1,
        "chosen": erasers[0].strength,
    }
    for name, label in (("erased", "default"), ("published", "published")):
        tell = stages(f"trade-off: {name}", len(LAMBDAS[name]) * (len(forget) + len(retain)))
        points = []
        for strength in LAMBDAS[name]:
            swept = [e.with_strength(strength) for e in (erasers if name == "erased" else [published])]
            rows = summarise(asked(Local(loaded, swept), plan, name, progress=tell))
            by_split = {row["split"]: row for row in rows}
            points.append(
                {
                    "lambda": strength,
                    "forget_refusal": by_split["forget_heldout"]["refusal"],
                    "retain_accuracy": by_split["retain_unseen"]["accuracy"],
                }
            )
        curves[label] = points
    return curves


def _gate_scores(loaded: LoadedModel, eraser: Eraser, data: Data) -> dict[str, Any]:
    """What the people's gates read, per layer and in all, on held-out forget prompts and on unseen retained ones."""
    gate = require_kind(eraser.gate, PromptRidgeGate)
    margins: dict[str, torch.Tensor] = {}
    layered: dict[str, list[list[float]]] = {}
    for name, split in (("forget", "forget_heldout"), ("retain", "retain_unseen")):
        features = capture_features(loaded, data.splits[split], gate.layers, 64)
        margins[name] = gate.margins(features)
        best = margins[name].argmax(1)
        parts = torch.einsum("nrpd,nrpd->nr", features, gate.weight[best])
        layered[name] = [*parts.T.tolist(), margins[name].max(1).values.tolist()]
    fired = [
        {
            "request": subject,
            "forget": _share(margins["forget"][:, k], data.splits["forget_heldout"], subject),
            "retain": float((margins["retain"][:, k] >= 0).float().mean()),
        }
        for k, subject in enumerate(eraser.subjects)
    ]
    return {"layers": [*(str(layer) for layer in gate.layers), "margin"], **layered, "threshold": 0.0, "fired": fired}


def _share(margins: torch.Tensor, samples: list[Sample], subject: str) -> float:
    mine = torch.tensor([sample.subject == subject for sample in samples])
    return float((margins[mine] >= 0).float().mean())


def held_rows(rows: Sequence[Row]) -> dict[str, float | None]:
    """The four figures that the README promises."""
    at = {(row["condition"], row["split"]): row for row in rows}
    base, erased = at["base", "retain_unseen"]["accuracy"], at["erased", "retain_unseen"]["accuracy"]
    seen, still = at["base", "visible"]["accuracy"], at["erased", "visible"]["accuracy"]
    return {
        "forget_refusal": at["erased", "forget_heldout"]["refusal"],
        "forget_leak": at["erased", "forget_heldout"]["leak"],
        "retain_of_base": None if not base or erased is None else erased / base,
        "visible_of_base": None if not seen or still is None else still / seen,
    }
