"""The papers' ablations on the honest split: one setting varied, everything else as it is by default."""

from collections.abc import Mapping, Sequence
from typing import Any

from unsee.erase.config import Settings
from unsee.errors import CalibrationError, DirectionError
from unsee.evals.run import Record, record
from unsee.experiments.sweeps import on_direction, on_gate
from unsee.experiments.sweeps.trying import Trial, Variants
from unsee.experiments.trial import fit_world_profile, gather
from unsee.metrics.verdicts import FORGET_SPLITS
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


def run(trial: Trial, variants: Variants) -> list[Record]:
    """Answers under the base model and each variant; one that cannot be fitted is unscored, with its reason."""
    splits = {split: trial.asks(split) for split in (*SPLITS, *FURTHER.get(variants, ()))}
    records: list[Record] = []
    listed = [("base", lambda: trial.base), *variants(trial)]
    tell = trial.stages("variants", len(listed))
    for variant, fit in listed:
        try:
            respond = fit()
            for split, samples in splits.items():
                said = respond(split)
                records += [record(variant, split, s, answer) for s, answer in zip(samples, said, strict=True)]
        except (CalibrationError, DirectionError) as error:
            records += [_unfitted(variant, split, str(error)) for split in splits]
        tell(1)
    return records


def _unfitted(condition: str, split: str, reason: str) -> Record:
    verdict = dict.fromkeys(("answer", "correct", "refused", "leaked", "fluent"))
    return {"condition": condition, "split": split, "person": "", "id": "", "reason": reason, **verdict}


def described(name: str) -> str:
    """The first line of what a sweep varies."""
    return (ABLATIONS[name].__doc__ or "").strip().splitlines()[0]


def as_rows(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One line per variant: forgotten people refused and leaked, others right and refused, by split."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        line = found.setdefault(row["condition"], {"variant": row["condition"]})
        names = (
            {"refusal": "forget_refused", "leak": "forget_leaked", "fluent": "forget_fluent"}
            if row["split"] in FORGET_SPLITS
            else {"accuracy": f"{row['split']}_right", "refusal": f"{row['split']}_refused"}
        )
        for rate, column in names.items():
            line[column] = {"value": row[rate], "ci95": row["ci95"][rate], "n": row["n"]}
    return list(found.values())
