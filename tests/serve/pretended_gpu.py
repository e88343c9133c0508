"""What vLLM makes of a start on a GPU that is pretended: `python -m tests.serve.pretended_gpu FOLDER...`.

No engine is made. The configuration is vLLM's own, for a platform that has graphs and Triton and changes nothing in
it, as its CUDA platform has and its CPU platform has not. Prints, for vLLM's own default and for `unsee serve`'s, at
each level of optimisation, the mode of graphs, the model runner, and why the engine would be refused.
"""

import json
import sys
from collections.abc import Mapping
from typing import Any
from unittest.mock import patch

LEVELS = range(4)


def configured(folder: str, level: int, own: Mapping[str, Any]) -> dict[str, Any]:
    """What becomes of an engine with these options."""
    from vllm.engine.arg_utils import AsyncEngineArgs

    from unsee.serve.engine.plugin import require_steerable
    from unsee.serve.errors import EngineError

    arguments = AsyncEngineArgs(model=folder, optimization_level=level, max_model_len=256, **own)
    config = arguments.create_engine_config()
    refused = ""
    try:
        require_steerable(config)
    except EngineError as error:
        refused = str(error)
    compilation = config.compilation_config
    cut = "unsee::steer" in (compilation.splitting_ops or ())
    graphs, second = compilation.cudagraph_mode.name, bool(config.use_v2_model_runner)
    return {"graphs": graphs, "cut": cut, "second": second, "refused": refused}


def main() -> None:
    """Both starts, as JSON."""
    from vllm.config import vllm as configuration
    from vllm.platforms.cpu import CpuPlatform

    from unsee.serve.engine.plugin import engine_options, register, set_environment

    with (
        patch.object(CpuPlatform, "support_static_graph_mode", classmethod(lambda _: True)),
        patch.object(CpuPlatform, "check_and_update_config", classmethod(lambda _, config: None)),
        patch.object(configuration, "HAS_TRITON", True),
    ):
        register()
        default = [configured(folder, level, {}) for folder in sys.argv[1:] for level in LEVELS]
        set_environment()
        ours = [configured(folder, level, engine_options()) for folder in sys.argv[1:] for level in LEVELS]
        print(json.dumps({"default": default, "ours": ours}))


if __name__ == "__main__":
    main()
