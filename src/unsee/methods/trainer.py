"""One run: transformers' Trainer over a plan, with any objective; it resumes to the very result it would have had."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, final

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import SequentialSampler
from transformers import PrinterCallback, Trainer, TrainingArguments, set_seed

from unsee.data.sample import Sample
from unsee.errors import OptionError, SaveError
from unsee.extras import extra
from unsee.methods.guard import Guard, Restore, checkpoints
from unsee.methods.losses import IGNORED
from unsee.methods.objectives import Context, Objective, Rows, Seen
from unsee.methods.plan import Item, plan
from unsee.methods.rows import Collate, Role
from unsee.methods.settings import TrainSettings
from unsee.methods.weights import Trained, shard_by_block
from unsee.models.load import LoadedModel
from unsee.progress import Stages, silent
from unsee.shapes import Float, Tensor

RUN = "run.json"
Adjust = Callable[[nn.Module], Callable[[frozenset[Role]], None]]


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
        items: "_Items",
        **kwargs: Any,
    ) -> None:
        super().__init__(model=trained.model, train_dataset=items, **kwargs)
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
        reading = nullcontext([]) if block is None else _output_of(block)
        with reading as read:
            logits = model(**arguments, use_cache=False, logits_to_keep=labels.shape[1] - first + 1).logits
        states = read[0] if read else torch.empty(0, device=logits.device)
        seen = Seen(logits, labels[:, first - 1 :], states, labels, inputs["attention_mask"].bool())
        return {Role(role): seen.rows(roles == role) for role in roles.unique().tolist()}


def run(
    loaded: LoadedModel,
    objective: Objective,
    settings: TrainSettings,
    *,
    forget: Sequence[Sample],
    retain: Sequence[Sample],
    refusals: Sequence[str],
    out: Path,
    layer: int | None = None,
    matrices: Sequence[nn.Linear] = (),
    vector: Float[Tensor, " D"] | None = None,
    adjust: Adjust | None = None,
    seed: int = 0,
    save_every: int = 50,
    report_to: str = "none",
    stages: Stages = silent,
) -> LoadedModel:
    """Train the model in place and save it to `out`; go on from the last checkpoint there, if there is one.

    `out` becomes an ordinary checkpoint folder, with `adapter/` where adapters were trained, `checkpoints/`, and
    `run.json`: every setting and the loss of each step.

    Args:
        loaded: the model; its weights are changed (`fresh` makes a copy).
        objective: the loss.
        settings: every number.
        forget: questions about what is forgotten, with their true answers.
        retain: questions about what is kept.
        refusals: what refused rows say.
        out: folder to write to.
        layer: block whose output the objective reads.
        matrices: train these alone.
        vector: see `Context`.
        adjust: given the model once, and the roles of a batch before each optimiser step: changes gradients in place.
        seed: of order, initialisation of adapters, and dropout.
        save_every: optimiser steps between checkpoints; the last two are kept.
        report_to: where transformers logs to: "none", "trackio", "tensorboard", "wandb" and others.
        stages: progress display.

    Raises:
        OptionError: the folder holds another run, or the batch cannot be shared among the processes.
        DivergenceError: a loss or gradient is not finite.
        SaveError: the result cannot be written.
        MissingExtraError: a library that it needs is not installed.
    """
    if report_to == "trackio":
        extra("trackio", "track")
    set_seed(seed)
    items = plan(len(forget), len(retain), settings.order, settings.batch_size, settings.epochs, seed)
    trained = Trained(loaded, settings, objective.frozen, matrices)
    folder = out / "checkpoints"
    steps = len(items) // settings.batch_size
    arguments = _arguments(folder, settings, seed, save_every, report_to)
    _claim(out, {"settings": settings.as_json(), "seed": seed, "forget": len(forget), "retain": len(retain)}, arguments)
    trainer = _Trainer(
        trained,
        objective,
        Context(settings, vector),
        None if layer is None else loaded.adapter.layers(loaded.model)[layer],
        steps // settings.epochs,
        _Items(items),
        args=arguments,
        data_collator=Collate(
            loaded, forget, retain, objective.roles, refusals, settings.answer_only, settings.end_token
        ),
    )
    if trainer.is_fsdp_enabled:
        shard_by_block(trainer.accelerator.state.fsdp_plugin, loaded)
    change = adjust(trained.model) if adjust else None
    trainer.guard = Guard(
        folder, stages("training", steps), _agreement(trainer), lambda: change(trainer.present) if change else None
    )
    trainer.add_callback(trainer.guard)
    kept = checkpoints(folder)
    if kept and trained.adapters() is None and not trainer.is_fsdp_enabled:
        trainer.add_callback(Restore(kept[-1]))
    trainer.train(resume_from_checkpoint=str(kept[-1]) if kept else None)
    return _finish(trainer, trained, out)


@final
class _Items(torch.utils.data.Dataset[Item]):
    def __init__(self, items: Sequence[Item]) -> None:
        self._items = items

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> Item:
        return self._items[index]


def _arguments(folder: Path, settings: TrainSettings, seed: int, save_every: int, report_to: str) -> TrainingArguments:
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
        "save_steps": save_every,
        "save_total_limit": 2,
        "seed": seed,
        "report_to": report_to,
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
        trainer.accelerator.wait_for_everyone()
        return trained.reloaded(out)
    try:
        if first and adapters is not None:
            adapters.save_pretrained(out / "adapter")
        result = trained.merged()
        if first:
            result.model.save_pretrained(out)
            result.processor.save_pretrained(out)
            record = json.loads((out / RUN).read_text())
            record["losses"] = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
            (out / RUN).write_text(json.dumps(record, indent=1) + "\n")
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


@contextmanager
def _output_of(block: nn.Module) -> Iterator[list[Tensor]]:
    seen: list[Tensor] = []

    def keep(_: nn.Module, args: Any, output: Any) -> None:
        del args
        seen.append(output[0] if isinstance(output, tuple) else output)

    handle = block.register_forward_hook(keep)
    try:
        yield seen
    finally:
        handle.remove()
