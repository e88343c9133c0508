"""Arguments of vLLM: the operator's own, with what steering needs, or a refusal by name."""

from dataclasses import fields
from typing import Any

from unsee.errors import OptionError
from unsee.serve.engine.compat import installed, part
from unsee.serve.engine.plugin import STEERABLE_GRAPHS, engine_options
from unsee.serve.server.front import flag, require_tls, without_effect
from unsee.serve.server.options import Options

_OPTIONS = "vllm.entrypoints.launchers.cli_args"
DRAIN_SECONDS = 20
"""For running requests after SIGTERM, where --shutdown-timeout is not given; Kubernetes kills after 30."""
# Engines that another process or machine starts are not asked by this server's canary.
_OF_ONE_SERVER = {
    "data_parallel_rank": None,
    "data_parallel_start_rank": None,
    "data_parallel_external_lb": False,
    "data_parallel_hybrid_lb": False,
    "data_parallel_multi_port_external_lb": False,
    "data_parallel_backend": "mp",
    "enable_elastic_ep": False,
}


def engine_arguments(options: Options, dtype: str) -> Any:
    """Arguments of vLLM, with what steering needs.

    Args:
        options: the operator's.
        dtype: that the engine runs in.

    Raises:
        OptionError: an option that would take something away.
    """
    parser = part("vllm.utils.argparse_utils:FlexibleArgumentParser")()
    parser = part(f"{_OPTIONS}:make_arg_parser")(parser)
    parser.set_defaults(shutdown_timeout=DRAIN_SECONDS)
    fixed = ["--host", options.host, "--port", str(options.port), "--dtype", dtype]
    named = ["--model", options.path, "--served-model-name", options.model]
    arguments = parser.parse_args([*fixed, *named, *_logs(options), *options.engine])
    require_tls(arguments)
    front = {one.name: parser.get_default(one.name) for one in fields(part(f"{_OPTIONS}:FrontendArgs"))}
    own, local = engine_options(), getattr(arguments, "data_parallel_size_local", None)
    # The operator's other options of compilation stay.
    graphs = own.pop("compilation_config")["cudagraph_mode"]
    given = arguments.compilation_config.cudagraph_mode
    refused = {
        f"cudagraph_mode {getattr(given, 'name', '')}": given is not None and given.name not in STEERABLE_GRAPHS,
        **dict.fromkeys(without_effect(arguments, front), True),
        "--grpc": bool(arguments.grpc),
        "--headless": bool(arguments.headless),
        "--enable-log-requests (it writes prompts down)": bool(getattr(arguments, "enable_log_requests", False)),
        "--tokenizer": bool(arguments.tokenizer),
        "--hf-overrides": bool(arguments.hf_overrides),
        "--mm-processor-kwargs (images would not be those of erasers)": bool(arguments.mm_processor_kwargs),
        "--enable-lora": bool(arguments.enable_lora),
        "--quantization (weights would not be those of erasers)": bool(arguments.quantization),
        f"--kv-cache-dtype {arguments.kv_cache_dtype}": arguments.kv_cache_dtype not in ("auto", dtype),
        "--additional-config": bool(arguments.additional_config),
        "--worker-extension-cls": bool(arguments.worker_extension_cls),
        "--model": arguments.model != options.path,
        "--dtype": arguments.dtype != dtype,
        "--api-server-count": (getattr(arguments, "api_server_count", None) or 1) > 1,
        **{flag(name): getattr(arguments, name, usual) != usual for name, usual in _OF_ONE_SERVER.items()},
        "--data-parallel-size-local": local not in (None, arguments.data_parallel_size),
    }
    wrong = [name for name, given in refused.items() if given]
    if wrong:
        raise OptionError(
            f"{', '.join(wrong)} cannot be given to the engine: 'unsee serve' sets it, cannot guarantee it, or would "
            "ignore it. Use its own options; keys of clients go into --tenants."
        )
    for name, value in own.items():
        setattr(arguments, name, value)
    if given is None:
        arguments.compilation_config.cudagraph_mode = part("vllm.config.compilation:CUDAGraphMode")[graphs]
    arguments.disable_fastapi_docs = True
    return arguments


def _logs(options: Options) -> list[str]:
    if not options.json_logs:
        return []
    if "formatter" not in {one.name for one in fields(part("vllm.config.logging:LoggingConfig"))}:
        raise OptionError(
            f"json_logs: vLLM {installed()} writes no JSON lines, and its own would lie among ours. Leave json_logs "
            "out, or take a newer version."
        )
    return ["--logging-config.formatter", "json"]
