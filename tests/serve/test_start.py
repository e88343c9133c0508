"""How an engine is started: with graphs that are cut at the operator, on the runner that is followed. Without vLLM."""

import argparse
import json
import os
from dataclasses import dataclass, fields, make_dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from unsee.errors import ModelError, OptionError
from unsee.serve.engine import plugin
from unsee.serve.errors import EngineError
from unsee.serve.server import arguments as made
from unsee.serve.server.options import Options
from unsee.serve.server.prepare import require_plain_weights


class Mode(SimpleNamespace):
    """Stands in for a member of vLLM's enumerations."""


def configuration(**changed: Any) -> Any:
    """An engine's as it is on a GPU with unsee's options, but for what is changed."""
    own: dict[str, Any] = {
        "parallel_config": SimpleNamespace(pipeline_parallel_size=1, use_ubatching=False),
        "compilation_config": compilation(),
        "speculative_config": None,
        "kv_transfer_config": None,
        "lora_config": None,
        "use_v2_model_runner": False,
    }
    return SimpleNamespace(**own | changed)


def compilation(graphs: str = "PIECEWISE", mode: str = "VLLM_COMPILE", cut: tuple[str, ...] = ("unsee::steer",)) -> Any:
    return SimpleNamespace(cudagraph_mode=Mode(name=graphs), mode=Mode(name=mode), splitting_ops=list(cut))


def test_the_options_of_an_engine_ask_for_graphs_that_can_be_steered() -> None:
    graphs = plugin.engine_options()["compilation_config"]["cudagraph_mode"]
    assert graphs in plugin.STEERABLE_GRAPHS
    plugin.require_steerable(configuration(compilation_config=compilation(graphs)))
    plugin.require_steerable(configuration(compilation_config=compilation("NONE", "NONE", ())))


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"compilation_config": compilation("FULL_AND_PIECEWISE")}, "cudagraph_mode FULL_AND_PIECEWISE"),
        ({"compilation_config": compilation(mode="NONE")}, "not cut at unsee::steer"),
        ({"compilation_config": compilation(cut=("vllm::unified_attention",))}, "not cut at unsee::steer"),
        ({"use_v2_model_runner": True}, "VLLM_USE_V2_MODEL_RUNNER"),
        ({"speculative_config": object()}, "speculative decoding"),
    ],
)
def test_an_engine_that_could_pass_a_token_unsteered_is_refused(changed: dict[str, Any], told: str) -> None:
    with pytest.raises(EngineError, match=told):
        plugin.require_steerable(configuration(**changed))


@pytest.mark.parametrize("given", [None, "0", "false", ""])
def test_the_first_model_runner_is_asked_for(given: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {} if given is None else {plugin.RUNNER: given})
    plugin.set_environment()
    assert os.environ[plugin.RUNNER] == "0"


def test_the_second_model_runner_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {plugin.RUNNER: "1"})
    with pytest.raises(EngineError, match=f"{plugin.RUNNER}=1"):
        plugin.set_environment()


@dataclass
class Front:
    """Stands in for vLLM's FrontendArgs."""

    host: str | None = None
    port: int = 8000
    api_key: str | None = None
    middleware: str | None = None
    chat_template: str | None = None
    sse_keep_alive_interval: int = 0
    of_a_later_version: int = 3
    disable_fastapi_docs: bool = False
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    ssl_ca_certs: str | None = None
    ssl_cert_reqs: int = 0
    ssl_ciphers: str | None = None
    enable_ssl_refresh: bool = False


class Parser(argparse.ArgumentParser):
    """Stands in for vLLM's: options that `engine_arguments` looks at, with vLLM's defaults."""

    def __init__(self) -> None:
        super().__init__()
        for name in ("model", "served-model-name", "dtype", "worker-extension-cls"):
            self.add_argument(f"--{name}")
        for name in ("tokenizer", "hf-overrides", "mm-processor-kwargs"):
            self.add_argument(f"--{name}")
        self.add_argument("--quantization")
        self.add_argument("--kv-cache-dtype", default="auto")
        self.add_argument("--data-parallel-backend", default="mp")
        self.add_argument("--logging-config.formatter")
        for name in ("grpc", "headless", "enable-log-requests", "enable-lora", "data-parallel-hybrid-lb"):
            self.add_argument(f"--{name}", action="store_true")
        for one in fields(Front):
            known: dict[str, Any] = {"type": int} if isinstance(one.default, int) else {}
            self.add_argument(f"--{one.name.replace('_', '-')}", default=one.default, **known)
        self.add_argument("--additional-config", default={})
        self.add_argument("--shutdown-timeout", type=int, default=0)
        for name, value in {
            "api-server-count": None,
            "data-parallel-size": 1,
            "data-parallel-size-local": None,
        }.items():
            self.add_argument(f"--{name}", type=int, default=value)
        self.add_argument(
            "--compilation-config",
            type=lambda name: SimpleNamespace(cudagraph_mode=GRAPHS[name], level=3),
            default=SimpleNamespace(cudagraph_mode=None, level=3),
        )


GRAPHS = {name: Mode(name=name) for name in ("NONE", "PIECEWISE", "FULL", "FULL_DECODE_ONLY", "FULL_AND_PIECEWISE")}
PARTS: dict[str, Any] = {
    "vllm.utils.argparse_utils:FlexibleArgumentParser": Parser,
    "vllm.entrypoints.launchers.cli_args:make_arg_parser": lambda parser: parser,
    "vllm.entrypoints.launchers.cli_args:FrontendArgs": Front,
    "vllm.config.compilation:CUDAGraphMode": GRAPHS,
}


def arguments(monkeypatch: pytest.MonkeyPatch, *given: str, **options: Any) -> Any:
    monkeypatch.setattr(made, "part", PARTS.__getitem__)
    return made.engine_arguments(Options(model="m", path="/m", engine=given, **options), "float32")


def test_the_documented_start_has_graphs_that_can_be_steered(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = arguments(monkeypatch).compilation_config
    assert (compiled.cudagraph_mode.name, compiled.level) == ("PIECEWISE", 3), "other options of compilation stay"
    for own in plugin.STEERABLE_GRAPHS:
        assert arguments(monkeypatch, "--compilation-config", own).compilation_config.cudagraph_mode is GRAPHS[own]


@pytest.mark.parametrize("graphs", ["FULL", "FULL_DECODE_ONLY", "FULL_AND_PIECEWISE"])
def test_graphs_of_whole_steps_are_refused_by_name(graphs: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptionError, match=f"cudagraph_mode {graphs} "):
        arguments(monkeypatch, "--compilation-config", graphs)


@pytest.mark.parametrize(
    "option",
    [
        "--api-key=k", "--middleware=m", "--chat-template=t", "--sse-keep-alive-interval=5", "--of-a-later-version=4",
        "--tokenizer=t", "--hf-overrides=h", "--grpc", "--headless", "--api-server-count=2", "--additional-config=a",
        "--enable-log-requests", "--mm-processor-kwargs=k", "--enable-lora", "--quantization=fp8",
        "--kv-cache-dtype=fp8", "--data-parallel-size-local=2", "--data-parallel-hybrid-lb",
        "--data-parallel-backend=ray",
    ],
)  # fmt: skip
def test_options_that_would_be_ignored_are_refused_by_name(option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptionError, match=option.partition("=")[0]):
        arguments(monkeypatch, option)


@pytest.mark.parametrize("field", ["formatter", "log_level"])
def test_json_lines_are_asked_of_a_vllm_that_writes_them(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PARTS, "vllm.config.logging:LoggingConfig", make_dataclass("Config", [field]))
    if field == "formatter":
        assert vars(arguments(monkeypatch, json_logs=True))["logging_config.formatter"] == "json"
    else:
        with pytest.raises(OptionError, match="json_logs"):
            arguments(monkeypatch, json_logs=True)


def test_engines_may_be_several_if_they_are_all_of_this_server(monkeypatch: pytest.MonkeyPatch) -> None:
    assert arguments(monkeypatch, "--data-parallel-size=2").data_parallel_size == 2


@pytest.mark.parametrize("part", [None, "text_config"])
def test_quantized_weights_are_refused_before_they_are_read(part: str | None, tmp_path: Path) -> None:
    said: dict[str, Any] = {"model_type": "llava", "quantization_config": {"quant_method": "fp8"}}
    config = tmp_path / "config.json"  # and nothing else: there are no weights to read
    config.write_text(json.dumps(said if part is None else {"model_type": "llava", part: said}))
    with pytest.raises(ModelError, match=r"quantized \(fp8\)"):
        require_plain_weights(str(tmp_path))
    config.write_text(json.dumps({"model_type": "llava", "text_config": {"model_type": "llama"}}))
    require_plain_weights(str(tmp_path))


def test_running_requests_are_given_time_at_the_end_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    assert arguments(monkeypatch).shutdown_timeout == made.DRAIN_SECONDS
    assert arguments(monkeypatch, "--shutdown-timeout", "0").shutdown_timeout == 0


def test_a_certificate_without_its_key_never_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptionError, match="in clear"):
        arguments(monkeypatch, "--ssl-certfile=c.pem")
