"""A run that diverges stops before it spoils anything: no step is taken, and no checkpoint kept, after NaN."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, final

import torch
from torch import nn
from transformers import TrainerCallback

from unsee.methods.errors import DivergenceError

_STATE = "trainer_state.json"  # written last, so that a folder which has it is complete


def checkpoints(folder: Path) -> list[Path]:
    """Complete checkpoints of a run, oldest first."""
    found = [path.parent for path in folder.glob(f"checkpoint-*/{_STATE}")]
    return sorted(found, key=lambda path: int(path.name.rpartition("-")[2]))


@final
class Restore(TrainerCallback):
    """Gives a model the weights of a checkpoint before the first step of a resumed run.

    The library copies a checkpoint's tensors by the names they have in the file. Where a family's names in files differ
    from those in memory, as LLaVA's do, nothing fits, that is only logged, and the run goes on from the first weights.
    """

    def __init__(self, checkpoint: Path) -> None:
        self._checkpoint = checkpoint

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Copy every tensor, or fail."""
        del args, state, control
        model: Any = kwargs["model"]
        saved = type(model).from_pretrained(self._checkpoint, dtype=model.dtype)
        model.load_state_dict(saved.state_dict())


@final
class Guard(TrainerCallback):
    """Looks at every gradient before each optimiser step, tells progress, and lets a method change gradients.

    Attributes:
        loss: of the batch that the gradients come from; set by the trainer.
    """

    def __init__(
        self, folder: Path, advance: Callable[[int], None], agree: Callable[[bool], bool], adjust: Callable[[], None]
    ) -> None:
        self._folder, self._advance, self._agree, self._adjust = folder, advance, agree, adjust
        self.loss = 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Count what an interrupted run had done."""
        del args, control, kwargs
        self._advance(state.global_step)

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Refuse a step on anything that is not finite, in all processes at once.

        Raises:
            DivergenceError: names the step, the loss and the last good checkpoint.
        """
        del args, control
        model: nn.Module = kwargs["model"]
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        sound = all(bool(torch.isfinite(gradient).all()) for gradient in gradients)
        if not self._agree(sound and abs(self.loss) < float("inf")):
            kept = checkpoints(self._folder)
            where = f"the last good checkpoint is {kept[-1]}" if kept else "no checkpoint had been saved yet"
            raise DivergenceError(
                f"training diverged at step {state.global_step + 1}: the loss is {self.loss:g}"
                f"{'' if sound else ' and a gradient is NaN or infinite'}, expected finite numbers. No step was "
                f"taken on it; {where}. Lower the rate, clip the gradient, or train for fewer epochs."
            )
        self._adjust()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Tell progress."""
        del args, state, control, kwargs
        self._advance(1)
