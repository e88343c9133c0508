"""A checkpoint that is an update of a fetched model: applied exactly, to these weights only, and never half."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import LlamaForCausalLM

from tiny_llava import randomised, tiny_llava, tiny_processor
from unsee.errors import ModelError
from unsee.models import names
from unsee.models.catalogue import fetchable
from unsee.models.digest import weights_digest
from unsee.models.load import load
from unsee.models.updates import CARD, DOWN, UP, WEIGHTS, updated, whole, write_update

TARGET = "model.language_model.layers.0.mlp.up_proj.weight"


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A random language model where a fetched SmolLM2 would lie."""
    monkeypatch.setenv("UNSEE_CACHE", str(tmp_path / "cache"))
    return save_base(names.fetched_folder("smollm2"), seed=0)


def save_base(folder: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    config = tiny_llava().model.config.text_config
    randomised(LlamaForCausalLM(config)).to(torch.bfloat16).save_pretrained(folder)
    tiny_processor().tokenizer.save_pretrained(folder)
    (folder / names.RECEIPT).write_text(json.dumps({"package": fetchable("smollm2").package}))
    return folder


def shipped_update(base: Path, package: Path) -> tuple[Path, dict[str, torch.Tensor]]:
    """The folder of an update that changes one matrix, the projector and the tower."""
    seeing, processor = tiny_llava(seed=1).model, tiny_processor()
    folder = package / "llava-of-smollm2"
    folder.mkdir(parents=True)
    seeing.config.save_pretrained(folder)
    seeing.generation_config.save_pretrained(folder)
    processor.save_pretrained(package / "processor")
    for name in ("processor_config.json", "chat_template.jinja"):
        shutil.copyfile(package / "processor" / name, folder / name)
    down, up = torch.randn(2, 32), torch.randn(64, 2)
    update = {TARGET + DOWN: down, TARGET + UP: up} | {
        name: weight for name, weight in seeing.state_dict().items() if "vision" in name or "projector" in name
    }
    language = LlamaForCausalLM.from_pretrained(base, dtype="auto")
    write_update(update, "smollm2", weights_digest(language), folder)
    return folder, update


def test_the_whole_model_is_the_base_and_the_update(base: Path, tmp_path: Path) -> None:
    folder, update = shipped_update(base, tmp_path / "package")
    made = load(whole(folder), device="cpu").model.state_dict()
    language = LlamaForCausalLM.from_pretrained(base, dtype=torch.float32).model.state_dict()
    for name, weight in language.items():
        expected = weight
        if f"model.language_model.{name}" == TARGET:
            expected = weight + update[TARGET + UP].bfloat16().float() @ update[TARGET + DOWN].bfloat16().float()
        torch.testing.assert_close(made[f"model.language_model.{name}"], expected, rtol=1e-5, atol=1e-5)
    for name, weight in update.items():
        if not name.endswith((DOWN, UP)):
            assert torch.equal(made[name], weight.bfloat16().float())


def test_it_is_loaded_by_name_and_made_once(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _ = shipped_update(base, tmp_path / "package")
    monkeypatch.setattr(names, "_checkpoints", lambda: tmp_path / "package")
    loaded = load(f"world:{folder.name}", device="cpu")
    assert loaded.model.dtype == torch.float32 and loaded.name == f"world:{folder.name}"
    (folder / WEIGHTS).unlink()  # no longer needed
    assert load(f"world:{folder.name}", device="cpu").digest == loaded.digest


def test_the_file_is_small_and_read_back_as_written(base: Path, tmp_path: Path) -> None:
    folder, update = shipped_update(base, tmp_path / "package")
    read = load_file(folder / WEIGHTS)
    assert read.keys() == update.keys()
    assert all(torch.equal(read[name], weight.bfloat16()) for name, weight in update.items())


def test_without_its_base_it_says_what_to_fetch(base: Path, tmp_path: Path) -> None:
    folder, _ = shipped_update(base, tmp_path / "package")
    (base / names.RECEIPT).unlink()
    with pytest.raises(ModelError, match="unsee models get smollm2"):
        whole(folder)


def test_another_base_is_refused(base: Path, tmp_path: Path) -> None:
    folder, _ = shipped_update(base, tmp_path / "package")
    save_base(base, seed=5)
    with pytest.raises(ModelError, match="--again"):
        whole(folder)
    assert not list((tmp_path / "cache" / "models").glob("llava-of-smollm2-*/config.json"))


@pytest.mark.parametrize("harm", ["flipped", "cut", "gone"])
def test_a_damaged_update_is_refused(base: Path, tmp_path: Path, harm: str) -> None:
    folder, _ = shipped_update(base, tmp_path / "package")
    content = bytearray((folder / WEIGHTS).read_bytes())
    if harm == "gone":
        (folder / WEIGHTS).unlink()
    else:
        content[-3] ^= 1
        (folder / WEIGHTS).write_bytes(content if harm == "flipped" else content[:-100])
    with pytest.raises(ModelError, match="Install unsee again"):
        whole(folder)


@pytest.mark.parametrize("card", ["", "{}", '{"base": "smollm2"}', "[1]"])
def test_a_damaged_card_is_refused(base: Path, tmp_path: Path, card: str) -> None:
    folder, _ = shipped_update(base, tmp_path / "package")
    (folder / CARD).write_text(card)
    with pytest.raises(ModelError, match="Install unsee again"):
        whole(folder)


def test_an_update_of_another_shape_is_refused() -> None:
    weights = {"a": torch.zeros(4, 3)}
    assert updated(weights, {"a": torch.ones(4, 3)})["a"].sum() == 12
    for wrong in (
        {"a": torch.ones(3, 4)},
        {"b": torch.ones(4, 3)},
        {"a.down": torch.ones(2, 4), "a.up": torch.ones(4, 2)},
    ):
        with pytest.raises(ModelError, match="the update changes"):
            updated(weights, wrong)
