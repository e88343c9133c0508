"""Canaries and conversations through an engine of one family, in its own process.

python -m tests.serve.family_engine FAMILY FOLDER
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from tests.serve.conversations import conversations
from tests.tiny_llava import randomised
from tests.tiny_qwen import SPECIALS, TEMPLATE, TOKENS, tiny_tokenizer
from transformers import (
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from unsee.models.load import LoadedModel, load
from unsee.models.names import shipped
from unsee.models.qwen_vl import Qwen2_5_VLProcessor, Qwen3VLProcessor
from unsee.serve.engine.carried import reports_of
from unsee.serve.engine.compat import part
from unsee.serve.engine.fired import as_required
from unsee.serve.engine.plugin import engine_options, set_environment
from unsee.serve.engine.tracking import NO_SET, SET, TICKET
from unsee.serve.parity.canary import fly, hatch
from unsee.serve.parity.comparison import Answer, Prompt, engine_answer

WIDTH, LAYERS, READ = 256, 4, (1, 2)


def save(family: str, folder: Path) -> None:
    """A random model, as small as vLLM's kernels allow; always the same, as some draws tie between two tokens."""
    torch.manual_seed(0)
    section, more = ([12, 10, 10], {"mrope_interleaved": True}) if family == "qwen3_vl" else ([8, 12, 12], {})
    text: dict[str, Any] = {
        "vocab_size": len(SPECIALS) + 256, "hidden_size": WIDTH, "intermediate_size": 512, "num_hidden_layers": LAYERS,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64, "max_position_embeddings": 1024,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": section, **more},
        "bos_token_id": None, "eos_token_id": SPECIALS.index("<|im_end|>"),
    }  # fmt: skip
    patch = 16 if family == "qwen3_vl" else 14
    vision: dict[str, Any] = {
        "hidden_size": 64, "intermediate_size": 96, "num_heads": 2, "patch_size": patch, "spatial_merge_size": 2,
        "temporal_patch_size": 2, "out_hidden_size": WIDTH,
    }  # fmt: skip
    images = Qwen2VLImageProcessorPil(patch_size=patch, size={"shortest_edge": 56**2, "longest_edge": 128**2})
    if family == "qwen3_vl":
        vision |= {"depth": 3, "num_position_embeddings": 16, "deepstack_visual_indexes": [0, 1]}
        model: Any = Qwen3VLForConditionalGeneration(Qwen3VLConfig(text_config=text, vision_config=vision, **TOKENS))
        processor: Any = Qwen3VLProcessor(images, tiny_tokenizer(), chat_template=TEMPLATE)
    else:
        vision |= {"depth": 2, "window_size": 112, "fullatt_block_indexes": [1]}
        config = Qwen2_5_VLConfig(text_config=text, vision_config=vision, **TOKENS)
        model = Qwen2_5_VLForConditionalGeneration(config)
        processor = Qwen2_5_VLProcessor(images, tiny_tokenizer(), chat_template=TEMPLATE)
    randomised(model).save_pretrained(folder)
    processor.save_pretrained(folder)


def pixels(loaded: LoadedModel, llm: Any) -> list[float]:
    """Largest difference between what the tower of each side is given of noise, which shows any other way to resize."""
    registry, found = part("vllm.multimodal:MULTIMODAL_REGISTRY"), []
    served = registry.create_processor(llm.llm_engine.model_config).info.get_hf_processor().image_processor
    for number, size in enumerate(((16, 16), (37, 90), (300, 200))):
        noise = torch.randint(0, 256, (*size, 3), generator=torch.Generator().manual_seed(number), dtype=torch.uint8)
        image = Image.fromarray(noise.numpy())
        both = [
            of(images=[image], return_tensors="pt")["pixel_values"] for of in (served, loaded.processor.image_processor)
        ]
        found.append(float((both[0] - both[1]).abs().max()))
    return found


def main(family: str, folder: Path) -> None:
    path = shipped("llava") if family == "llava" else folder / "model"
    if family != "llava":
        save(family, path)
    set_environment()
    loaded = load(path, dtype="float32")
    canaries = hatch(loaded, READ)
    llm: Any = part("vllm:LLM")(
        str(path), dtype="float32", max_model_len=512, enforce_eager=True, block_size=32, max_num_seqs=16,
        max_num_batched_tokens=64, limit_mm_per_prompt={"image": 2, "video": 0}, **engine_options(),
    )  # fmt: skip

    (folder / "pixels.json").write_text(json.dumps(pixels(loaded, llm)))

    async def ask(prompt: Prompt, steered: bool) -> Answer:
        extra = {SET: "canary" if steered else NO_SET, TICKET: f"{prompt.id} {steered}"}
        parameters = part("vllm:SamplingParams")(temperature=0, max_tokens=16, logprobs=0, extra_args=extra)
        asked = {"prompt_token_ids": prompt.tokens, "multi_modal_data": {"image": prompt.image}}
        with reports_of(llm.llm_engine).opened(extra[TICKET]) as told:
            (output,) = llm.generate([asked], parameters, use_tqdm=False)
            (report,) = told.reports()
        assert as_required(report)
        return engine_answer(loaded.processor.tokenizer, output, report)

    found = []
    for number, canary in enumerate(canaries):
        content_id = canary.eraser.save_pretrained(folder / f"canary-{number}")
        held = {content_id: str(folder / f"canary-{number}")}
        llm.collective_rpc("unsee_load", args=(held, {"canary": [content_id]}, NO_SET))
        found += [one.as_json() for one in asyncio.run(fly(canary, ask, exact=True))]
    (folder / "found.json").write_text(json.dumps(found))
    (folder / "conversations.json").write_text(json.dumps(conversations(loaded, llm, folder / "random")))


if __name__ == "__main__":
    os.environ |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    os.environ |= {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    main(sys.argv[1], Path(sys.argv[2]))
