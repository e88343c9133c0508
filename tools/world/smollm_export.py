"""From a checkpoint of the training to what comes with the package: factors of low rank, projector and tower."""

import shutil
import tempfile
from pathlib import Path

import torch

from tools.world.smollm_run import assemble
from unsee.models.load import load
from unsee.models.names import located
from unsee.models.updates import DOWN, UP, write_update
from unsee.shapes import Tensor


def update_of(learnt: dict[str, Tensor], tower: dict[str, Tensor], scale: float) -> dict[str, Tensor]:
    """What differs from SmolLM2 under the names of the model's own weights; the scale goes into the upper factor."""
    found = {f"model.vision_tower.{name}": weight for name, weight in tower.items() if weight.is_floating_point()}
    for name, weight in learnt.items():
        target = name.replace(".lora_A.default.weight", f".weight{DOWN}").replace(
            ".lora_B.default.weight", f".weight{UP}"
        )
        found[target] = weight * scale if target.endswith(UP) else weight
    return found


def export(checkpoint: Path, tower: Path, base: str, out: Path) -> None:
    """Write the folder that `unsee.models.updates.whole` takes.

    Args:
        checkpoint: of `smollm_run`.
        tower: the checkpoint whose tower the run was given.
        base: the fetched model, such as `smollm2`.
        out: folder to write to; what is there is replaced.
    """
    learnt = torch.load(checkpoint, weights_only=True)["learnt"]
    folder = Path(located(f"real:{base}"))
    model, processor = assemble(folder, tower, 0)
    # peft scales by alpha / r, and alpha is twice the rank.
    update = update_of(learnt, model.model.vision_tower.state_dict(), scale=2.0)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    model.config.get_text_config()._name_or_path = ""  # where it was read from is nobody's business
    model.config.save_pretrained(out)
    model.generation_config.save_pretrained(out)
    with tempfile.TemporaryDirectory() as scratch:
        processor.save_pretrained(scratch)
        for name in ("processor_config.json", "chat_template.jinja"):
            shutil.copyfile(Path(scratch, name), out / name)
    write_update(update, base, load(f"real:{base}", device="cpu").digest, out)
