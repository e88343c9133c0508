"""One run: transformers' Trainer over a plan, with any objective; it resumes to the very result it would have had."""

import json
import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import SequentialSampler
from transformers import PrinterCallback, Trainer, TrainingArguments, set_seed

from unsee.errors import OptionError, SaveError
from unsee.methods.errors import extra
from unsee.methods.guard import Guard, Restore, checkpoints
from unsee.methods.job import Job, save
from unsee.methods.losses import IGNORED
from unsee.methods.objectives import Context, Objective, Rows, Seen
from unsee.methods.plan import Item, plan
from unsee.methods.rows import Collate, Role
from unsee.methods.settings import TrainSettings
from unsee.methods.weights import Trained, reading_of, shard_by_block
from unsee.models.load import LoadedModel
from unsee.shapes import Tensor

RUN = "run.json"
Adjust = Callable[[nn.Module], Callable[[frozenset[Role]], None]]


@final
@dataclass(frozen=True)
class Target:
    """What of the model is read and trained, where that is less than the settings say.

    Attributes:
        layer: block whose output the objective reads.
        matrices: train these alone.
    """

    layer: int | None = None
    matrices: Sequence[nn.Linear] = ()


@final
class _Trainer(Trainer):
    """The library's loop with our loss, order and schedule."""

    def __init__(
        self,
        trained: Trained,
        objective: Objective,
        context: Context,
        block: nn.Module | None,
        steps_per_epoch: int,
        items: list[Item],
        **kwargs: Any,
    ) -> None:
        data: Any = items
        super().__init__(model=trained.model, train_dataset=data, **kwargs)
        self.model_accepts_loss_kwargs = False  # our loss is a mean already; accumulation divides it
        self.present: frozenset[Role] = frozenset()
        self.guard: Guard | None = None
        self._trained, self._objective, self._context, self._block = trained, objective, context, block
        self._steps_per_epoch, self._items = steps_per_epoch, items
        self.remove_callback(PrinterCallback)

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The objective's loss on one batch."""
        del num_items_in_batch
        roles = inputs.pop("roles")
        now = self._rows(model, self._block, inputs, roles)
        before: Rows = {}
        if self._objective.frozen:
            with self._trained.before(model) as frozen:
                twin = None if self._block is None else self._trained.twin(self._block)
                before = self._rows(frozen, twin, inputs, roles)
        self.present = frozenset(now)
        loss = self._objective.loss(now, before, self._context)
        if self.guard is not None:
            self.guard.loss = float(loss.detach())
        return (loss, {}) if return_outputs else loss

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """The chosen schedule."""
        if self._context.settings.schedule == "linear" or self.lr_scheduler is not None:
            return super().create_scheduler(num_training_steps, optimizer)
        stepped: Any = self.optimizer if optimizer is None else optimizer
        self.lr_scheduler = LambdaLR(stepped, lambda step: 1 - (step // self._steps_per_epoch) / num_training_steps)
        return self.lr_scheduler

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Not counted: the library's estimate knows neither images nor a second model."""
        del inputs
        return 0

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        del train_dataset
        return SequentialSampler(self._items)

    def _rows(self, model: nn.Module, block: nn.Module | None, inputs: dict[str, Any], roles: Tensor) -> Rows:
        arguments = {name: value for name, value in inputs.items() if name != "labels"}
        labels = inputs["labels"]
        # Nothing speaks about column 0, which is labelled where the whole text is.
        first = 1 if self._context.settings.all_positions else max(1, int((labels != IGNORED).any(0).nonzero()[0]))
        reading = nullcontext({}) if block is None else reading_of({"block": block}, outputs=True)
        with reading as seen:
            logits = model(**arguments, use_cache=False, logits_to_keep=labels.shape[1] - first + 1).logits
        states = seen["block"] if seen else torch.empty(0, device=logits.device)
        rows = Seen(logits, labels[:, first - 1 :], states, labels, inputs["attention_mask"].bool())
        return {Role(role): rows.rows(roles == role) for role in roles.unique().tolist()}


def run(
    job: Job, objective: Objective, context: Context, target: Target | None = None, adjust: Adjust | None = None
) -> LoadedModel:
    """Train the model in place and save it; go on from the last checkpoint in the folder, if there is one.

    `job.out` becomes an ordinary checkpoint folder, with `adapter/` where adapters were trained, `checkpoints/`, and
    `run.json`: every setting and the loss of each step.

    Args:
        job: the model, which is changed (`fresh` makes a copy), the data and the folder.
        objective: the loss.
        context: every number.
        target: what is read and trained, where that is less than the settings say.
        adjust: given the model once, and the roles of a batch before each optimiser step: changes gradients in place.

    Raises:
        OptionError: the folder holds another run, or the batch cannot be shared among the processes.
        DivergenceError: a loss or gradient is not finite.
        SaveError: the result cannot be written.
        MissingExtraError: a library that it needs is not installed.
    """
    if job.report_to == "trackio":
        extra("trackio")
    set_seed(job.seed)
    loaded, settings, target = job.loaded, context.settings, target or Target()
    sizes = {"forget": len(job.forget), "retain": len(job.retain)}
    items = plan(*sizes.values(), settings.order, settings.batch_size, settings.epochs, job.seed)
    trained = Trained(loaded, settings, objective.frozen, target.matrices)
    folder = job.out / "checkpoints"
    steps = len(items) // settings.batch_size
    arguments = _arguments(job, settings, folder)
    _claim(job.out, {"settings": settings.as_json(), "seed": job.seed, **sizes}, arguments)
    trainer = _Trainer(
        trained,
        objective,
        context,
        None if target.layer is None else loaded.adapter.layers(loaded.model)[target.layer],
        steps // settings.epochs,
        items,
        args=arguments,
        data_collator=Collate(
            *(loaded, job.forget, job.retain, objective.roles, job.refusals, settings.answer_only, settings.end_token)
        ),
    )
    if trainer.is_fsdp_enabled:
        shard_by_block(trainer.accelerator.state.fsdp_plugin, loaded)
    change = adjust(trained.model) if adjust else None
    trainer.guard = Guard(
        folder, job.stages("training", steps), _agreement(trainer), lambda: change(trainer.present) if change else None
    )
    trainer.add_callback(trainer.guard)
    kept = checkpoints(folder)
    if kept and trained.adapters() is None and not trainer.is_fsdp_enabled:
        trainer.add_callback(Restore(kept[-1]))
    trainer.train(resume_from_checkpoint=str(kept[-1]) if kept else None)
    return _finish(trainer, trained, job.out)


def _arguments(job: Job, settings: TrainSettings, folder: Path) -> TrainingArguments:
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if settings.batch_size % world:
        raise OptionError(
            f"batch_size is {settings.batch_size} over {world} processes, expected a multiple of {world}: every "
            "process takes an equal share of each step."
        )
    given: dict[str, Any] = {
        "output_dir": str(folder),
        "per_device_train_batch_size": settings.batch_size // world,
        "num_train_epochs": 1,  # the plan holds every epoch
        "learning_rate": settings.rate,
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.clip,
        "lr_scheduler_type": "linear",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_steps": job.save_every,
        "save_total_limit": 2,
        "seed": job.seed,
        "report_to": job.report_to,
        "disable_tqdm": True,
        "remove_unused_columns": False,
        "ddp_find_unused_parameters": True,  # a batch without images does not use the vision tower
        "dataloader_pin_memory": False,
    }
    return TrainingArguments(**{**given, **settings.trainer})


def _claim(out: Path, wanted: dict[str, Any], arguments: TrainingArguments) -> None:
    """Write down what this run is, or refuse a folder in which another one was begun."""
    place, wanted = out / RUN, json.loads(json.dumps(wanted))
    try:
        if place.exists():
            found = json.loads(place.read_text())
            differing = [name for name in wanted if found.get(name) != wanted[name]]
            if differing:
                raise OptionError(
                    f"{out} holds a run with {differing[0]} {found.get(differing[0])}, and this one's is "
                    f"{wanted[differing[0]]}. Choose another --out, or remove that folder."
                )
        elif arguments.process_index == 0:
            out.mkdir(parents=True, exist_ok=True)
            place.write_text(json.dumps(wanted, indent=1) + "\n")
    except OSError as error:
        raise SaveError(f"cannot write to {str(out)!r}: {error}. Choose another folder with --out.") from error


def _finish(trainer: _Trainer, trained: Trained, out: Path) -> LoadedModel:
    adapters = trained.adapters()
    first = trainer.is_world_process_zero()
    if trainer.is_fsdp_enabled:
        # No process holds the whole weights: the library gathers them as it saves, and the result is read back.
        trainer.save_model(str(out if adapters is None else out / "adapter"))
    try:
        if first:
            trained.save_processor(out)
            record = json.loads((out / RUN).read_text())
            record["losses"] = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
            (out / RUN).write_text(json.dumps(record, indent=1) + "\n")
        if trainer.is_fsdp_enabled:
            trainer.accelerator.wait_for_everyone()
            return trained.reloaded(out)
        if first and adapters is not None:
            adapters.save_pretrained(out / "adapter")
        result = trained.merged()
        if first:
            save(result, out)
    except OSError as error:
        raise SaveError(f"cannot write to {str(out)!r}: {error}. Free some space and run it again.") from error
    trainer.accelerator.wait_for_everyone()
    return result


def _agreement(trainer: _Trainer) -> Callable[[bool], bool]:
    """Whether all processes say yes; a gradient may be spoilt on one of them alone."""

    def agree(sound: bool) -> bool:
        if trainer.accelerator.num_processes == 1:
            return sound
        flag = torch.tensor([float(sound)], device=trainer.accelerator.device)
        return bool(trainer.accelerator.gather(flag).min() == 1)

    return agree
