"""A checkpoint that comes as an update of a fetched model: what differs from it, as factors of low rank, and new parts.

Beside the update lie the config, the processor's settings and `update.json`, which says of which weights it is one.
The whole model is written into the cache the first time that it is asked for, and is an ordinary folder from then on.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, final

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, LlavaConfig, LlavaForConditionalGeneration

from unsee.errors import ModelError, SaveError
from unsee.models.digest import weights_digest
from unsee.models.memory import MIB
from unsee.models.names import RECEIPT, cache_folder, fetched, shipped, shipped_names
from unsee.models.quiet import no_bar
from unsee.shapes import Tensor

CARD, WEIGHTS = "update.json", "update.safetensors"
DOWN, UP = ".down", ".up"
_SETTINGS = ("config.json", "processor_config.json", "chat_template.jinja", "generation_config.json")


@final
class Card(BaseModel):
    """What an update belongs to.

    Attributes:
        base: the fetched model, such as `smollm2`.
        base_digest: `weights_digest` of its weights as stored.
        sha256: of the update's file.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    format: Literal[1] = 1
    base: str
    base_digest: str
    sha256: str


def base_of(name: str) -> str | None:
    """The fetched model that a shipped checkpoint is an update of; None where it is whole, or no such checkpoint.

    Raises:
        ModelError: its card is damaged.
    """
    folder = shipped(name) if name in shipped_names() else None
    return _card(folder).base if folder is not None and (folder / CARD).is_file() else None


def updated(weights: Mapping[str, Tensor], update: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`W + up @ down` for every weight that has the two factors; what the update holds whole is put in its place.

    Raises:
        ModelError: it changes a weight that is not there, or one of another shape.
    """
    found = {name: weight.float() for name, weight in weights.items()}
    for name, given in update.items():
        if name.endswith(UP):
            continue
        target = name.removesuffix(DOWN)
        change = update[target + UP].float() @ given.float() if name.endswith(DOWN) else given.float()
        if target not in found or found[target].shape != change.shape:
            raise ModelError(
                f"the update changes {target!r} of shape {tuple(change.shape)}, and the model has "
                f"{tuple(found[target].shape) if target in found else 'no such weight'}. Install unsee again."
            )
        found[target] = found[target] + change if name.endswith(DOWN) else change
    return found


def write_update(update: Mapping[str, Tensor], base: str, base_digest: str, out: Path) -> None:
    """Write an update in bfloat16, and its card."""
    save_file({name: weight.bfloat16().contiguous() for name, weight in update.items()}, out / WEIGHTS)
    card = Card(base=base, base_digest=base_digest, sha256=_sha256(out / WEIGHTS))
    (out / CARD).write_text(card.model_dump_json(indent=1) + "\n", encoding="utf-8")


def whole(folder: Path) -> Path:
    """The folder of the whole model; made from the update in `folder` and its base, unless it is here already.

    Raises:
        ModelError: the base has not been fetched or is another one, or the update is damaged.
        SaveError: too little space, or the cache cannot be written.
    """
    card = _card(folder)
    base = fetched(card.base)
    place = cache_folder() / "models" / f"{folder.name}-{card.sha256[:16]}"
    if (place / RECEIPT).is_file():
        return place
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(place.parent / f"{place.name}.lock"), tempfile.TemporaryDirectory(dir=place.parent) as scratch:
            if not (place / RECEIPT).is_file():
                made = Path(scratch, "model")
                _require_room(place.parent, base)
                with no_bar():
                    _make(folder, card, base, made)
                if place.exists():
                    os.replace(place, Path(scratch, "old"))
                os.replace(made, place)
    except OSError as error:
        if isinstance(error, SaveError):
            raise
        raise SaveError(
            f"cannot write the model to {place.parent}: {error}. Set UNSEE_CACHE to a folder that can be written."
        ) from error
    return place


def _make(folder: Path, card: Card, base: Path, made: Path) -> None:
    update = _read(folder, card)
    language = AutoModelForCausalLM.from_pretrained(base, dtype="auto")
    if (got := weights_digest(language)) != card.base_digest:
        raise ModelError(
            f"the weights in {base} have the digest {got}, expected {card.base_digest}: the update in {folder.name} "
            f"was made for others. Fetch them again with 'unsee models get {card.base} --again'."
        )
    model = LlavaForConditionalGeneration(LlavaConfig.from_pretrained(folder))
    parts = {f"model.language_model.{name}": weight for name, weight in language.model.state_dict().items()}
    state = {name: parts.get(name, weight) for name, weight in model.state_dict().items() if name != "lm_head.weight"}
    model.load_state_dict(updated(state, update), strict=False)
    model.tie_weights()
    model.save_pretrained(made)
    AutoTokenizer.from_pretrained(base).save_pretrained(made)
    for name in _SETTINGS:
        shutil.copyfile(folder / name, made / name)
    shutil.copyfile(folder / CARD, made / RECEIPT)


def _card(folder: Path) -> Card:
    try:
        return Card.model_validate_json((folder / CARD).read_bytes())
    except ValidationError as error:
        raise ModelError(f"{folder / CARD} is damaged: {error.error_count()} fields. Install unsee again.") from error


def _read(folder: Path, card: Card) -> dict[str, Tensor]:
    try:
        got = _sha256(folder / WEIGHTS)
        read = load_file(folder / WEIGHTS) if got == card.sha256 else None
    except (SafetensorError, FileNotFoundError) as error:
        raise ModelError(f"cannot read {folder / WEIGHTS}: {error}. Install unsee again.") from error
    if read is None:
        raise ModelError(f"{folder / WEIGHTS} has sha256 {got}, expected {card.sha256}. Install unsee again.")
    return read


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _require_room(folder: Path, base: Path) -> None:
    needed = 2 * sum(file.stat().st_size for file in base.glob("*.safetensors")) // MIB + 20
    free = shutil.disk_usage(folder).free // MIB
    if free < needed:
        raise SaveError(
            f"{folder} has {free} MiB free, but the model takes {needed} MiB. Free some space, or set UNSEE_CACHE to "
            "another folder."
        )
