"""What vLLM loads in every process by the entry point `vllm.general_plugins`: hooks before any graph is made.

An engine is steered if its `additional_config` has the key `unsee`, which `engine_options` writes; vLLM makes it part
of the key of its compilation cache. Every other engine on the machine runs as if this package were not there.
"""

import os
import sys
from collections.abc import Mapping
from functools import cache, wraps
from itertools import count
from typing import Any

from unsee.serve.engine import carried, process, runners
from unsee.serve.engine.compat import part, require_known
from unsee.serve.engine.tracking import CACHE, NO_SET, SET
from unsee.serve.errors import EngineError

KEY = "unsee"
FORMAT = 2
STEERABLE_GRAPHS = ("NONE", "PIECEWISE")
"""Modes of CUDA graphs that leave `unsee::steer` to the host; vLLM's default, FULL_AND_PIECEWISE, records it once."""

RUNNER = "VLLM_USE_V2_MODEL_RUNNER"
_OPERATOR = "unsee::steer"
_LOADER = "vllm.model_executor.model_loader.base_loader:BaseModelLoader"
_HASHES = "vllm.v1.core.kv_cache_utils"
_CONTEXT = "vllm.multimodal.processing.context:InputProcessingContext"
_NUMBERS = count()


def engine_options() -> dict[str, Any]:
    """What an engine must be started with, as arguments of `vllm.LLM` or `AsyncEngineArgs`."""
    return {
        "additional_config": {KEY: {"format": FORMAT}},
        "worker_extension_cls": "unsee.serve.engine.worker.SteeringWorker",
        "compilation_config": {"cudagraph_mode": "PIECEWISE"},
    }


def set_environment() -> None:
    """Set what vLLM reads from the environment, before an engine is configured.

    Raises:
        EngineError: the second model runner is asked for.
    """
    if os.environ.get(RUNNER, "0").strip().lower() not in ("", "0", "false"):
        raise EngineError(
            f"{RUNNER}={os.environ[RUNNER]} asks for vLLM's second model runner, on which steering was never tried. "
            f"Unset {RUNNER}, or set it to 0."
        )
    os.environ[process.SERVED] = "1"
    os.environ[RUNNER] = "0"  # where Triton is installed vLLM would take the second one
    # A forked child of a process that has used torch can hang in its threads.
    os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = "spawn"


def register() -> None:
    """Called by vLLM in every process, possibly more than once."""
    loader = part(_LOADER)
    if getattr(loader.load_model, "unsee", False):
        return
    require_known()
    process.attend()
    carried.carry()
    _share_blocks_within_a_set()
    _split_graphs_at_the_operator()
    _read_images_as_the_library_does()
    original = loader.load_model

    @wraps(original)
    def load_model(self: Any, vllm_config: Any, model_config: Any, *args: Any, **kwargs: Any) -> Any:
        settings = settings_of(vllm_config)
        if settings is None or model_config is not vllm_config.model_config:
            return original(self, vllm_config, model_config, *args, **kwargs)
        require_steerable(vllm_config)
        _read_flat_tower_names()
        model = original(self, vllm_config, model_config, *args, **kwargs)
        _hook(model, vllm_config)
        return model

    load_model.unsee = True
    loader.load_model = load_model


def settings_of(vllm_config: Any) -> Mapping[str, Any] | None:
    """This package's part of an engine's configuration.

    Raises:
        EngineError: written by another version.
    """
    given = vllm_config.additional_config
    settings = given.get(KEY) if isinstance(given, dict) else None
    if settings is not None and settings.get("format") != FORMAT:
        raise EngineError(
            f"additional_config.{KEY} is of format {settings.get('format')!r}, this unsee writes {FORMAT}. "
            "Start all processes with one version of unsee."
        )
    return settings


def require_steerable(vllm_config: Any) -> None:
    """Refuse an engine in which some token could pass unread or unsteered.

    Raises:
        EngineError: names the option.
    """
    parallel, compilation = vllm_config.parallel_config, vllm_config.compilation_config
    graphs = getattr(compilation.cudagraph_mode, "name", "NONE")
    cut = getattr(compilation.mode, "name", "NONE") == "VLLM_COMPILE" and _OPERATOR in (compilation.splitting_ops or ())
    refused = {
        "speculative decoding": vllm_config.speculative_config is not None,
        "pipeline parallelism": parallel.pipeline_parallel_size > 1,
        "decode context parallelism": getattr(parallel, "decode_context_parallel_size", 1) > 1,
        "prefill context parallelism": getattr(parallel, "prefill_context_parallel_size", 1) > 1,
        "batches cut in two (enable_dbo)": bool(parallel.use_ubatching),
        "transfer of cached states (kv_transfer_config)": vllm_config.kv_transfer_config is not None,
        "LoRA adapters": vllm_config.lora_config is not None,
        f"graphs of whole steps (cudagraph_mode {graphs})": graphs not in STEERABLE_GRAPHS,
        f"graphs that are not cut at {_OPERATOR} (compilation mode, splitting_ops)": graphs == "PIECEWISE" and not cut,
        f"the second model runner ({RUNNER})": bool(vllm_config.use_v2_model_runner),
    }
    wrong = [name for name, on in refused.items() if on]
    if wrong:
        raise EngineError(
            f"the engine is started with {', '.join(wrong)}, under which steering could not be guaranteed. Expected "
            f"none of them; switch them off (for graphs: cudagraph_mode PIECEWISE; for the runner: {RUNNER}=0)."
        )


def _hook(model: Any, vllm_config: Any) -> None:
    from unsee.serve.engine import op
    from unsee.serve.engine.blocks import decoder_blocks

    number = next(_NUMBERS)
    op.install(decoder_blocks(model, vllm_config.model_config.hf_config), number)
    model.unsee_number = number
    runner = runners.loaded(sys.modules)
    if runner is None:
        raise EngineError(
            f"vLLM's model runner {runners.CLASS} is not loaded in this process, so nothing would say which token is "
            "which. Use a platform whose runner derives from it."
        )
    runners.follow(runner)


def _share_blocks_within_a_set() -> None:
    """Which blocks of the cache a request may find: of prompts under its own set, as that was loaded last.

    What gates have read of a block lies beside it, for the gates that there were. Blocks from the last prompt token on
    may hold steered states: nobody else finds them.
    """
    module = part(_HASHES)
    original = module.generate_block_hash_extra_keys

    @wraps(original)
    def extra_keys(request: Any, start_token_idx: int, end_token_idx: int, start_mm_idx: int) -> Any:
        keys, following = original(request, start_token_idx, end_token_idx, start_mm_idx)
        extra = getattr(request.sampling_params, "extra_args", None) or {}
        if SET not in extra and process.SERVED not in os.environ:
            return keys, following  # an engine that is none of ours
        shared = extra.get(CACHE)
        if shared is None or (end_token_idx >= request.num_prompt_tokens and extra.get(SET) != NO_SET):
            return (*(keys or ()), (KEY, "request", request.request_id)), following
        return (*(keys or ()), (KEY, "set", shared)), following

    module.generate_block_hash_extra_keys = extra_keys


def _split_graphs_at_the_operator() -> None:
    """Graphs are cut where attention is, and here: both depend on what the host knows of a step."""
    config = part("vllm.config.compilation:CompilationConfig")
    config._attention_ops = [*config._attention_ops, _OPERATOR]


def _read_images_as_the_library_does() -> None:
    """Pillow resizes images; torchvision, which vLLM takes where it is, gives some pixels another level (by 1 or 2)."""
    context = part(_CONTEXT)
    original = context.get_hf_processor

    @wraps(original)
    def get_hf_processor(self: Any, *args: Any, **kwargs: Any) -> Any:
        processor = original(self, *args, **kwargs)
        if process.SERVED in os.environ and hasattr(processor, "image_processor"):
            processor.image_processor = _by_pillow(self.model_config.model, self.model_config.revision)
        return processor

    context.get_hf_processor = get_hf_processor


@cache
def _by_pillow(model: str, revision: str | None) -> Any:
    from transformers import AutoImageProcessor

    return AutoImageProcessor.from_pretrained(model, revision=revision, backend="pil")


def _read_flat_tower_names() -> None:
    """Find CLIP's weights one level higher than vLLM 0.32 looks: transformers 5 saves them there."""
    import re

    llava = part("vllm.model_executor.models.llava:LlavaForConditionalGeneration")
    mapper = part("vllm.model_executor.models.utils:WeightsMapper")
    flat = {re.compile(r"^(model\.)?vision_tower\.(?!vision_model\.)"): "vision_tower.vision_model."}
    llava.hf_to_vllm_mapper = mapper(orig_to_new_regex=flat) | llava.hf_to_vllm_mapper
