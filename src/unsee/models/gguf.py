"""From a GGUF file to an ordinary directory of transformers: config, bf16 safetensors, tokenizer, chat template."""

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from unsee.errors import ModelError


def convert(weights: Path, out: Path) -> None:
    """Write the model in a GGUF file as a directory that `load` takes.

    Raises:
        ModelError: the file cannot be read, or has no chat template.
    """
    place = {"pretrained_model_name_or_path": str(weights.parent), "gguf_file": weights.name}
    try:
        tokenizer = AutoTokenizer.from_pretrained(**place)
        read = AutoModelForCausalLM.from_pretrained(**place, dtype=torch.float32)
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, ImportError) as error:
        raise ModelError(
            f"cannot read {weights.name}: {type(error).__name__}: {error} Expected a GGUF file of an architecture that "
            "transformers reads; fetch it again."
        ) from error
    if tokenizer.chat_template is None:
        raise ModelError(f"{weights.name} has no chat template: it is a base model. Expected an instruction-tuned one.")
    config = read.config
    del config.quantization_config
    config.dtype = torch.bfloat16
    # transformers refuses to save what it read from GGUF, although its weights are plain numbers by then.
    fresh = type(read)(config)
    fresh.load_state_dict(read.state_dict())
    fresh.tie_weights()
    fresh.generation_config = read.generation_config
    fresh.to(dtype=torch.bfloat16)
    fresh.save_pretrained(out)
    tokenizer.save_pretrained(out)
