"""Language models without eyes: each family's own class, built small and random, is loaded by its name and steered."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from tiny_families import NEW, always, answer, held_eraser, require_clean, steered
from tiny_foreign import tiny_llama
from tiny_llava import LAYERS, WIDTH, byte_tokenizer, question, randomised
from unsee.errors import ModelError
from unsee.models.families import TEXT_FAMILIES
from unsee.models.generate import encode
from unsee.models.load import load


def save(family: str, folder: Path, template: str | None = tiny_llama().processor.chat_template) -> None:
    tokenizer = byte_tokenizer(["<unk>", "<s>", "</s>", "<pad>"], bos_token="<s>", eos_token="</s>", pad_token="<pad>")
    tokenizer.chat_template = template
    options: dict[str, Any] = {
        "vocab_size": len(tokenizer), "hidden_size": WIDTH, "intermediate_size": 64, "num_hidden_layers": LAYERS,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 2048,
        "pad_token_id": 3, "bos_token_id": 1, "eos_token_id": 2,
    }  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = randomised(AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **options)))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@pytest.mark.parametrize("family", TEXT_FAMILIES)
def test_a_family_is_loaded_by_name_and_steered(family: str, tmp_path: Path) -> None:
    save(family, tmp_path)
    loaded = load(tmp_path, device="cpu")
    assert loaded.adapter.family == family and len(loaded.adapter.layers(loaded.model)) == LAYERS
    inputs = encode(loaded, [question(0, "who is ann?", image=False), question(1, "where?", image=False)])
    before = answer(loaded, inputs)
    with steered(loaded, replace(always(held_eraser(tiny_llama())), family=family)) as steering:
        after = answer(loaded, inputs)
    assert steering.positions and not torch.equal(before, after) and after.shape == (2, NEW)
    assert torch.equal(answer(loaded, inputs), before)
    require_clean(loaded.model)


def test_a_base_model_is_refused_before_its_weights_are_read(tmp_path: Path) -> None:
    save("llama", tmp_path, template=None)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"no chat template.*instruction-tuned"):
        load(tmp_path, device="cpu")
