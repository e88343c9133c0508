"""The papers' ablations on the honest split: one setting varied, everything else as it is by default."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unsee.data.task import Role, Set, Task, Use
from unsee.erase.config import Settings
from unsee.erase.profile import identity
from unsee.evals.evaluate import Condition, evaluate
from unsee.evals.plan import Plan
from unsee.evals.stats import Row
from unsee.experiments.sweeps import on_direction, on_gate
from unsee.experiments.sweeps.trying import HOW, Trial, Variants
from unsee.experiments.trial import ROLES, fit_world_profile, gather
from unsee.models.load import LoadedModel
from unsee.progress import Stages, silent
from unsee.world.splits import Exam

SPLITS = ("forget_heldout", "retain_fit", "retain_unseen", "visible")
"""What every variant is asked."""
FURTHER: Mapping[Variants, tuple[str, ...]] = {
    on_gate.overlap: ("twin_face", "twin_name"),
    on_direction.refusals: ("sensitive", "strangers"),
}
"""What those of some presets are asked besides."""

ABLATIONS: Mapping[str, Variants] = {
    "unconditional": on_direction.unconditional,
    "direction": on_direction.direction,
    "epsilon": on_direction.epsilon,
    "strength": on_direction.strength,
    "pairs": on_direction.pairs,
    "positions": on_direction.positions,
    "refusals": on_direction.refusals,
    "null-space": on_gate.null_space,
    "layers": on_gate.layers,
    "ridge": on_gate.ridge,
    "mlp": on_gate.mlp,
    "retained": on_gate.retained,
    "questions": on_gate.questions,
    "overlap": on_gate.overlap,
}


def begin(loaded: LoadedModel, exam: Exam, stages: Stages = silent) -> Trial:
    """Questions and default profile of one split; of its settings only the images of PGD are fewer, for time."""
    data, settings = gather(exam), Settings(pgd_images=12)
    return Trial(loaded, exam, data, fit_world_profile(loaded, exam, data, settings, stages=stages), settings, stages)


def run(trial: Trial, name: str, out: Path, seed: int = 0) -> list[Row]:
    """Rates of the base model and each variant; one that cannot be fitted is unscored, with its reason."""
    variants = ABLATIONS[name]
    asked = {split: trial.asks(split) for split in (*SPLITS, *FURTHER.get(variants, ()))}
    roles: dict[str, tuple[Role, Use]] = {
        split: ("neighbour", "fit") if split.startswith("twin_") else ROLES[split] for split in asked
    }
    task = Task("world", {split: Set.of(roles[split][0], samples, roles[split][1]) for split, samples in asked.items()})
    settings = {
        "model": identity(trial.loaded),
        "world": trial.exam.world.seed,
        "split": trial.exam.seed,
        "ratio": trial.exam.ratio,
        "fit": trial.settings.as_json(),
    }

    listed = [("base", trial.asked), *variants(trial)]
    conditions = [Condition(name, {**settings, "variant": name}, make) for name, make in listed]
    plan = Plan(task, max_new_tokens=HOW.max_new_tokens, seed=seed)
    metrics = evaluate(conditions, plan, out, stages=trial.stages)
    assert metrics is not None
    return metrics["rows"]


def described(name: str) -> str:
    """The first line of what a sweep varies."""
    return (ABLATIONS[name].__doc__ or "").strip().splitlines()[0]


def as_rows(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """One line per variant: forgotten people refused and leaked, others right and refused, by split."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        line = found.setdefault(row["condition"], {"variant": row["condition"]})
        names = (
            {"refusal": "forget_refused", "leak": "forget_leaked", "fluent": "forget_fluent"}
            if row["role"] == "forget"
            else {"accuracy": f"{row['split']}_right", "refusal": f"{row['split']}_refused"}
        )
        for rate, column in names.items():
            line[column] = {"value": row[rate], "ci95": row["ci95"][rate], "n": row["n"]}
    return list(found.values())
