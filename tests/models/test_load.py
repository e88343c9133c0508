"""A checkpoint is loaded whole and ready, or refused with a reason."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlavaForConditionalGeneration
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

import unsee
from tiny_families import answer, held_eraser, samples
from tiny_foreign import tiny_llama
from tiny_llava import tiny_llava
from unsee.erase.steer.hooks import erased
from unsee.errors import ModelError, OptionError
from unsee.models import LlavaAdapter
from unsee.models.digest import weights_digest
from unsee.models.generate import encode, generate
from unsee.models.load import load, wrap


def save(directory: Path, dtype: torch.dtype = torch.float32) -> Path:
    loaded = tiny_llava()
    loaded.model.to(dtype)  # pyright: ignore[reportArgumentType] (transformers' wrapper hides `self`)
    loaded.model.save_pretrained(directory)
    loaded.processor.save_pretrained(directory)
    return directory


def edit_config(directory: Path, **text_config: object) -> None:
    path = directory / "config.json"
    config = json.loads(path.read_text())
    config["text_config"].update(text_config)
    path.write_text(json.dumps(config))


def test_a_saved_model_comes_back_ready(tmp_path: Path) -> None:
    original = tiny_llava()
    loaded = load(save(tmp_path / "m"), device="cpu")
    assert isinstance(loaded.model, LlavaForConditionalGeneration) and isinstance(loaded.adapter, LlavaAdapter)
    assert not loaded.model.training and loaded.model.dtype == torch.float32
    assert loaded.processor.tokenizer.padding_side == "left"
    assert isinstance(loaded.processor.image_processor, CLIPImageProcessorPil)
    assert (loaded.name, loaded.revision) == (str(tmp_path / "m"), None)
    assert loaded.digest == weights_digest(loaded.model) == weights_digest(original.model)


def test_a_tokenizer_saved_with_right_padding_pads_left(tmp_path: Path) -> None:
    directory = save(tmp_path / "m")
    path = directory / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"padding_side": "right"}))
    assert load(directory, device="cpu").processor.tokenizer.padding_side == "left"


def test_half_precision_is_widened_on_a_cpu_and_keeps_its_digest(tmp_path: Path) -> None:
    directory = save(tmp_path / "m", torch.float16)
    wide, kept = load(directory, device="cpu"), load(directory, device="cpu", dtype="float16")
    assert (wide.model.dtype, kept.model.dtype) == (torch.float32, torch.float16)
    assert wide.digest == kept.digest == weights_digest(kept.model) != weights_digest(wide.model)


@pytest.mark.parametrize(
    ("has_bfloat16", "memory", "taken"),
    [(True, 2**40, torch.bfloat16), (False, 2**40, torch.float32), (False, 2**10, torch.bfloat16)],
)
def test_bfloat16_is_widened_where_a_cpu_has_none_and_has_the_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_bfloat16: bool, memory: int, taken: torch.dtype
) -> None:
    monkeypatch.setattr("unsee.models.load._cpu_has_bfloat16", lambda: has_bfloat16)
    monkeypatch.setattr("unsee.models.load._memory", lambda: memory)
    folder = save(tmp_path / "m", torch.bfloat16)
    found = load(folder, device="cpu")
    assert found.model.dtype == taken
    assert load(folder, device="cpu", dtype="bfloat16").model.dtype == torch.bfloat16
    assert found.digest == load(folder, device="cpu", dtype="bfloat16").digest


def test_an_unknown_dtype_is_refused() -> None:
    with pytest.raises(OptionError, match="dtype is 'int8', expected one of"):
        load("anywhere", dtype="int8")


def drop_weight(directory: Path) -> None:
    path = directory / "model.safetensors"
    weights = load_file(path)
    del weights[next(name for name in weights if "language_model" in name and "layers.1.mlp.up_proj" in name)]
    save_file(weights, path, metadata={"format": "pt"})


def truncate(directory: Path) -> None:
    path = directory / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


BROKEN: list[tuple[Callable[[Path], object], str]] = [
    (truncate, "cannot read the weights"),
    (lambda d: (d / "model.safetensors").write_bytes(b"PK" * 50), "cannot read the weights"),
    (lambda d: (d / "model.safetensors").unlink(), "cannot read the weights"),
    (drop_weight, "lacks 1 of the model's weights, first 'model.language_model.layers.1.mlp.up_proj.weight'"),
    (lambda d: edit_config(d, num_hidden_layers=4), "lacks 9 of the model's weights"),
    (lambda d: edit_config(d, intermediate_size=48), "cannot read the weights"),
    (lambda d: edit_config(d, hidden_size="wide"), "cannot read the processor|cannot read the weights"),
    (lambda d: (d / "tokenizer.json").unlink(), "cannot read the processor"),
    (lambda d: (d / "tokenizer.json").write_text("{"), "cannot read the processor"),
    (lambda d: (d / "tokenizer.json").write_text('{"version": "1.0"}'), "cannot read the processor"),
    (lambda d: (d / "processor_config.json").unlink(), "cannot read the processor"),
    (lambda d: (d / "chat_template.jinja").unlink(), "has no chat template"),
    (lambda d: (d / "config.json").unlink(), "has no config.json that names a model_type"),
    (lambda d: (d / "config.json").write_text("{"), "cannot read config.json"),
    (lambda d: (d / "config.json").write_text("[]"), "has no config.json that names a model_type"),
    (lambda d: (d / "config.json").write_text('{"model_type": "paligemma"}'), "family is 'paligemma', supported"),
    (lambda d: (d / "config.json").write_text('{"model_type": "my-own"}'), "family is 'my-own', supported"),
]


@pytest.mark.parametrize(("damage", "text"), BROKEN)
def test_a_damaged_directory_is_refused(tmp_path: Path, damage: Callable[[Path], object], text: str) -> None:
    directory = save(tmp_path / "m")
    damage(directory)
    with pytest.raises(ModelError, match=text):
        load(directory, device="cpu")


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "gone", "./gone", "a/b/c"):
        with pytest.raises(ModelError, match="there is no model directory"):
            load(path, device="cpu")
    (tmp_path / "file").write_text("not a directory")
    with pytest.raises(ModelError, match="there is no model directory"):
        load(tmp_path / "file", device="cpu")
    with pytest.raises(ModelError, match=r"cannot fetch the model 'nobody/nothing'.*hf download"):
        load("nobody/nothing", device="cpu")


def test_the_digest_sees_one_bit_a_name_a_shape_and_a_precision() -> None:
    model = tiny_llava().model
    digest = weights_digest(model)
    assert digest.startswith("sha256:") and digest == weights_digest(tiny_llava().model)
    assert digest != weights_digest(tiny_llava(seed=1).model)
    assert digest != weights_digest(tiny_llava().model.half())
    weight = model.lm_head.weight
    bits = weight.data.view(torch.int32)
    bits[0, 0] ^= 1
    assert weights_digest(model) != digest
    bits[0, 0] ^= 1
    assert weights_digest(model) == digest
    weight.data = weight.data.reshape(weight.shape[1], weight.shape[0])
    assert weights_digest(model) != digest


def test_a_model_in_memory_is_wrapped_as_it_would_be_loaded() -> None:
    from peft import LoraConfig, get_peft_model

    plain, text = tiny_llava(), tiny_llama()
    again = wrap(plain.model, plain.processor)
    assert (again.digest, again.name, again.adapter.family) == (plain.digest, "in memory", "llava")
    assert generate(again, samples(plain)[:2]) == generate(plain, samples(plain)[:2])

    lora = LoraConfig(target_modules=["q_proj"], r=2, init_lora_weights=False)
    tuned: Any = get_peft_model(tiny_llama().model, lora)
    tokenizer = text.processor.tokenizer
    tokenizer.padding_side = "right"
    loaded = wrap(tuned.train(), tokenizer, adapter=text.adapter, name="tuned")
    assert loaded.name == "tuned" and loaded.digest != text.digest and not tuned.training
    inputs = encode(loaded, samples(text)[:2])
    before = answer(loaded, inputs)
    assert not torch.equal(before, answer(text, inputs)), "the LoRA acts"
    with erased(loaded, held_eraser(loaded)) as steering:
        answer(loaded, inputs)
    assert steering.positions > 0 and torch.equal(answer(loaded, inputs), before)


def test_packed_weights_need_a_digest_that_is_given() -> None:
    plain = tiny_llava()
    packed = torch.ao.quantization.quantize_dynamic(plain.model, {torch.nn.Linear}, dtype=torch.qint8)
    with pytest.raises(ModelError, match=r"packed by a quantiser, first .*Pass the digest"):
        wrap(packed, plain.processor)
    assert wrap(packed, plain.processor, digest=plain.digest).digest == plain.digest


def test_the_package_lists_what_it_is_for_and_the_reference_documents_it() -> None:
    page = Path(__file__).parents[2].joinpath("docs", "reference.md").read_text()
    assert dir(unsee) == sorted([*unsee.__all__, "__version__"])
    for name in unsee.__all__:
        assert callable(getattr(unsee, name)) and f".{name}\n" in page, name
