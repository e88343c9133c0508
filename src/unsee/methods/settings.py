"""Every number of a training run, and the two presets of each method: as released, and sane."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, final, get_args

from pydantic import Field

from unsee.errors import OptionError
from unsee.methods.errors import MethodError
from unsee.methods.plan import Order
from unsee.schema import Schema

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
Preset = Literal["sane", "released"]


@final
class TrainSettings(Schema):
    """How weights are changed.

    Attributes:
        order: see `unsee.methods.plan.plan`.
        answer_only: labels are the answer's tokens; else the prompt's too, without images and pads.
        end_token: the answer ends in the end token, so that a model learns where to stop.
        lora: train low-rank adapters and merge them at the end; else the weights themselves.
        rank: of the adapters.
        lora_alpha: their scale, times 1/rank.
        dropout: on their input, in [0, 1).
        parts: which part of the model is trained: all of it, or the language model.
        rate: peak step size of AdamW.
        schedule: "linear" falls to 0 step by step, "per-epoch" falls by one step's share once an epoch.
        epochs: see `plan`.
        batch_size: items of one optimiser step, over all processes.
        clip: largest norm of the gradient; 0 for none.
        weight_decay: of AdamW.
        forget_weight: gamma, of the forget term.
        retain_weight: alpha, of the retain term.
        beta: of NPO, SimNPO and DPO.
        delta: margin of SimNPO.
        batch_mean: NPO compares the mean token loss of a batch, not the loss of each answer.
        all_positions: KL over every position, pads included, plus the retain loss.
        layer: block whose output RMU and ASRU move; None takes the published share of the depth.
        scale: c of RMU, lambda of ASRU.
        trainer: further arguments of `transformers.TrainingArguments`.
    """

    order: Order = "joint"
    answer_only: bool = True
    end_token: bool = True
    lora: bool = True
    rank: Count = 16
    lora_alpha: Count = 16
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.05
    parts: Literal["all", "language"] = "language"
    rate: Positive = 1e-4
    schedule: Literal["linear", "per-epoch"] = "linear"
    epochs: Count = 3
    batch_size: Count = 4
    clip: float = 1.0
    weight_decay: float = 0.0
    forget_weight: float = 1.0
    retain_weight: float = 1.0
    beta: Positive = 0.1
    delta: float = 0.0
    batch_mean: bool = False
    all_positions: bool = False
    layer: int | None = None
    scale: float = 1.0
    trainer: dict[str, Any] = Field(default_factory=dict)


_OF_METHOD: Mapping[str, Mapping[str, Any]] = {
    "ga": {"order": "forget", "epochs": 1},
    "grad_diff": {},
    "kl_min": {},
    "npo": {"beta": 0.1},
    "simnpo": {"beta": 4.5, "forget_weight": 0.125},
    "dpo": {"beta": 0.1},
    "po": {},
    "rmu": {"lora": False, "scale": 2.0, "rate": 1e-4},
    "mmunlearner": {"order": "alternate", "parts": "all", "lora": False, "rate": 1e-5, "epochs": 1},
    "asru_gradient": {"order": "alternate", "lora": False, "rate": 1e-4, "batch_size": 2, "scale": 3.0, "clip": 0.0},
}
_MLLMU: Mapping[str, Any] = {
    "answer_only": False, "end_token": False, "rate": 2e-5, "epochs": 1, "clip": 0.0, "weight_decay": 0.01,
}  # fmt: skip
# open-unlearning trains full weights for 5 to 10 epochs with a joint loss over the answer.
_OPEN: Mapping[str, Any] = {"lora": False, "rate": 1e-5, "epochs": 10, "batch_size": 32, "weight_decay": 0.01}
_AS_RELEASED: Mapping[str, Mapping[str, Any]] = {
    "ga": _MLLMU,
    "grad_diff": {**_MLLMU, "order": "phases", "schedule": "per-epoch"},
    "kl_min": {**_MLLMU, "order": "phases", "schedule": "per-epoch", "all_positions": True},
    "npo": {**_MLLMU, "order": "forget", "beta": 0.4, "batch_mean": True},
    "simnpo": _OPEN,
    "dpo": {**_OPEN, "forget_weight": 20.0},
    "po": _OPEN,
    "rmu": {**_OPEN, "scale": 2.0},
    "mmunlearner": {**_MLLMU, "rate": 1e-5, "schedule": "per-epoch", "clip": 1.0},
    "asru_gradient": {"schedule": "per-epoch", "weight_decay": 0.01},
}


def preset(method: str, name: str = "sane") -> TrainSettings:
    """The settings of a trained method.

    `sane`: a joint loss on answer tokens. `released`: what the official code does where that is known, MLLMU-Bench's
    baselines for GA, GradDiff, KL_Min and NPO, open-unlearning's for SimNPO, DPO, PO and RMU, the authors' for
    MMUnlearner and ASRU; `docs/methods.md` sets both beside their sources.

    Raises:
        MethodError: it is no trained method.
        OptionError: no such preset.
    """
    if method not in _OF_METHOD:
        raise MethodError(f"the method is {method!r}, expected one of {sorted(_OF_METHOD)}. Pass one of these.")
    if name not in get_args(Preset):
        raise OptionError(f"the preset is {name!r}, expected one of {list(get_args(Preset))}. Pass one of these.")
    sane = TrainSettings().changed(**_OF_METHOD[method])
    return sane if name == "sane" else sane.changed(**_AS_RELEASED[method])
