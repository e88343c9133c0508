"""What a server is started with, from a file and beside it; and which vLLM it takes."""

from pathlib import Path
from typing import Any

import pytest

from unsee.errors import OptionError
from unsee.serve.engine import compat
from unsee.serve.errors import EngineError
from unsee.serve.server.options import read_options

FILE = """
model = "world:llava"
ledger = "/srv/ledger"
port = 9000
canary_minutes = 5
json_logs = true
[limits]
connections = 50
[engine]
max-model-len = 2048
enforce-eager = true
enable-prefix-caching = false
"""


def file(folder: Path, text: str) -> Path:
    path = folder / "serve.toml"
    path.write_text(text)
    return path


def test_a_file_says_everything_and_the_command_line_more(tmp_path: Path) -> None:
    options = read_options(file(tmp_path, FILE), {"port": 9001, "engine": ["--dtype", "half"]})
    assert (options.model, options.ledger, options.port) == ("world:llava", Path("/srv/ledger"), 9001)
    assert (options.canary_minutes, options.limits.connections) == (5, 50)
    assert options.limits.body_seconds == 60, "what is not said has its default"
    assert options.engine == (
        "--max-model-len", "2048", "--enforce-eager", "--no-enable-prefix-caching", "--dtype", "half",
    )  # fmt: skip


def test_without_a_file_the_model_is_enough() -> None:
    assert read_options(None, {"model": "m", "engine": []}).host == "127.0.0.1"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("port = 1", "model"), ("model = 'm'\nlimit = 1", "limit"), ("model = 'm'\n[limits]\nbody = 1", "limits.body"),
        ("model = 'm'\nport = 70000", "port"), ("model = 'm'\n[limits]\nbody_seconds = 0", "limits.body_seconds"),
        ("model = 'm'\nmetrics_key_sha256 = 'x'", "metrics_key_sha256"), ("model =", "TOML"),
        ("model = 'm'\nengine = 5", "engine"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused_by_the_field(tmp_path: Path, text: str, named: str) -> None:
    with pytest.raises(OptionError, match=named):
        read_options(file(tmp_path, text), {"engine": []})


def found(monkeypatch: pytest.MonkeyPatch, version: str, flag: str = "") -> str:
    def present(path: str) -> Any:
        names = compat._SEAMS[path]
        scope: dict[str, Any] = {}
        exec(f"def seam({', '.join(names)}): pass", scope)
        return scope["seam"]

    monkeypatch.setattr(compat, "installed", lambda: version)
    monkeypatch.setattr(compat, "part", present)
    monkeypatch.setenv(compat.UNTRIED, flag)
    return compat.require_known()


def test_tried_versions_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [found(monkeypatch, one) for one in compat.TRIED] == list(compat.TRIED)


@pytest.mark.parametrize("version", [*compat.READ, "0.29.0", "0.34.0"])
def test_others_are_refused_with_both_named_or_taken_by_the_brave(
    monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    with pytest.raises(EngineError) as refused:
        found(monkeypatch, version)
    assert version in str(refused.value)
    assert all(one in str(refused.value) for one in compat.TRIED)
    assert "--untried-vllm" in str(refused.value)
    assert found(monkeypatch, version, "1") == version


def test_the_brave_are_refused_where_a_seam_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compat, "installed", lambda: "0.34.0")
    monkeypatch.setattr(compat, "part", lambda path: lambda other: None)
    monkeypatch.setenv(compat.UNTRIED, "1")
    with pytest.raises(EngineError, match="cannot be steered"):
        compat.require_known()


def test_a_name_that_moved_is_found_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compat, "_MOVED", {"gone.module": ("also.gone", "json")})
    assert compat.part("gone.module:dumps")(1) == "1"
    with pytest.raises(EngineError, match=r"gone\.module"):
        compat.part("gone.module:absent")
