"""`unsee eval` and `unsee compare` as typed: a benchmark asked, gone on with, set side by side, and what is refused."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tiny_llava import question
from unsee.cli import main
from unsee.data import write_jsonl
from unsee.serve.engine.compat import installed

MODEL = "world:llava"
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["unsee", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        out, err = capsys.readouterr()
        return int(stopped.value.code or 0), out, " ".join(err.split())

    return run


def last(out: str) -> dict[str, Any]:
    return json.loads(out.splitlines()[-1])


def test_a_benchmark_from_question_to_image(
    call: Call, benchmark_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    data = ("--benchmark", "umu", "--data", benchmark_folder("umu"), "--limit", 3)
    common = (*data, "--set", "forget_heldout", "--set", "retain_unseen", "--batch-size", 3, "--json")
    never, base = tmp_path / "never", tmp_path / "base"
    code, out, _ = call("eval", "world:llava-never-knew", *common, "--name", "never_knew", "--out", never)
    assert code == 0 and "honest protocol" in out
    assert last(out)["protocol"] == "honest"
    code, out, _ = call("eval", MODEL, *common, "--never-knew", never, "--out", base)
    assert code == 0 and "it is not shown that the base model knew" in out, "the world of the fixture was never taught"
    assert last(out)["warning"] is not None
    rows = [json.loads(line) for line in (base / "answers.jsonl").read_text().splitlines()]
    assert [row["split"] for row in rows] == ["forget_heldout"] * 3 + ["retain_unseen"] * 3
    settings = json.loads((base / "settings.json").read_text())
    assert (settings["benchmark"], settings["protocol"], settings["ratio"]) == ("umu", "honest", 5)
    refused(call("eval", MODEL, *common, "--seed", 1, "--out", base), "SettingsError", "seed: 0 there, 1 here")
    (base / "parts").mkdir()
    torn = '{"condition": "ba'
    lines = (base / "answers.jsonl").read_text().splitlines(keepends=True)
    (base / "answers.jsonl").unlink()
    (base / "parts" / "part-00000.jsonl").write_text("".join(lines[:4]) + torn)
    code, _, err = call("eval", MODEL, *common, "--out", base)
    assert code == 0 and f"WARNING: {base}" in err and "torn after 17 bytes" in err
    assert (base / "answers.jsonl").read_text() == "".join(lines)

    code, out, _ = call("compare", base, never, "--out", tmp_path / "table", "--json")
    assert code == 0 and "it is not shown that the base model knew" in out
    assert sorted(path.name for path in (tmp_path / "table").iterdir()) == [
        "compare.csv", "compare.html", "compare.md", "compare.tex", "forget-retain.png",
    ]  # fmt: skip
    told = last(out)
    assert (told["conditions"], told["reference"], told["protocol"]) == (["base", "never_knew"], "base", "honest")
    code, out, _ = call("compare", f"mine={base}")
    assert code == 0 and "Not checked: whether the base model knew" in out


def test_the_official_protocol_says_so(call: Call, benchmark_folder: Callable[[str], Path], tmp_path: Path) -> None:
    data = ("--benchmark", "mllmu", "--data", benchmark_folder("mllmu"), "--protocol", "official", "--limit", 2)
    code, out, _ = call("eval", MODEL, *data, "--set", "test", "--out", tmp_path / "r")
    settings = json.loads((tmp_path / "r" / "settings.json").read_text())
    assert code == 0 and "official protocol; prompts: as released, style mllmu" in " ".join(out.split())
    assert (settings["prompts"], settings["style"]) == ("as released", "mllmu")
    honest = ("--benchmark", "mllmu", "--data", benchmark_folder("mllmu"), "--limit", 2, "--set", "celebrity")
    call("eval", MODEL, *honest, "--out", tmp_path / "h")
    refused(call("compare", tmp_path / "r", f"b={tmp_path / 'h'}"), "protocol is 'official' and 'honest'")


def refused(result: tuple[int, str, str], *words: str) -> None:
    code, _, err = result
    assert code == 2 and "Traceback" not in err, err
    for word in words:
        assert word in err, err


def test_options_that_are_not_legal_name_those_that_are(
    call: Call, benchmark_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    data, out = ("--data", benchmark_folder("umu")), ("--out", tmp_path / "r")
    umu = (*data, *out, "--benchmark", "umu")
    refused(call("eval", MODEL, *umu, "--measure", "rouge"), "measure is 'rouge'", "'rougeL-f'", "docs/metrics.md")
    refused(call("eval", MODEL, *umu, "--protocol", "lax"), "protocol is 'lax'", "['official', 'honest']")
    refused(call("eval", MODEL, *umu, "--set", "forget"), "no set 'forget'", "'forget_heldout'")
    refused(call("eval", MODEL, *umu, "--ratio", 7), "ratio is 7")
    refused(call("eval", MODEL, *umu, "--style", "rude"), "style is 'rude'", "'plain'")
    refused(call("eval", MODEL, *umu, "--protocol", "official", "--style", "plain"), "in the release's own words")
    refused(call("eval", MODEL, *data, *out, "--benchmark", "mmlu"), "benchmark is 'mmlu'", "'mllmu'")
    refused(call("eval", MODEL, *data, *out, "--ratio", 5), "need --benchmark")
    refused(call("eval", MODEL, *umu, "--judge", "http://localhost:1/v1"), "--judge-model")
    refused(call("eval", MODEL, *umu, "--never-knew", tmp_path, "--eraser", tmp_path), "before anything was erased")
    refused(call("eval", MODEL, *umu, "--never-knew", tmp_path), "holds no settings.json")
    refused(call("eval", MODEL, *umu, "--measure", "mia-auc-loss"), "has the role 'unknown'", "--unknown")
    refused(call("eval", MODEL, *umu, "--measure", "asr"), "'umu' has no attacks")
    refused(call("eval", MODEL, *umu, "--tries", 0), "'--tries'", "equal to 1")
    refused(call("eval", MODEL, *umu, "--engine", "llama"), "engine is 'llama'", "'transformers', 'vllm'", "'ray'")
    refused(call("eval", MODEL, *umu, "--engine-option", "a=1"), "--engine-option is for vLLM")
    refused(call("eval", MODEL, *umu, "--attack", "shouting"), "attack is 'shouting'", "'response-prefill'")
    refused(call("eval", MODEL, *umu, "--method", "magic"), "method is 'magic'", "'npo'")
    refused(call("eval", MODEL, *umu, "--method", "npo", "--eraser", tmp_path), "takes no --eraser")
    refused(call("eval", MODEL, *umu, "--endpoint", "http://h/v1", "--method", "npo"), "takes no --method")
    refused(call("eval", MODEL, *umu, "--role", "forget"), "--role and --split are for data of your own")
    refused(call("eval", MODEL, *data, *out, "--role", "kept"), "role is 'kept'", "'retain'")
    refused(call("list", "bars"), "'bars' is not one of", "'attacks'")
    refused(call("compare", tmp_path), "ResultsError", "holds no settings.json")
    assert not (tmp_path / "r").exists(), "nothing is written before the options are known to be legal"


def test_attacks_need_a_judge_before_anything_is_asked(
    call: Call, benchmark_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    data = ("--benchmark", "safeeraser", "--data", benchmark_folder("safeeraser"), "--limit", 1, "--measure", "asr")
    refused(call("eval", MODEL, *data, "--out", tmp_path / "r"), "asr takes a judge of safety", "--judge-model")
    assert not (tmp_path / "r").exists()


@pytest.mark.skipif(installed() is not None, reason="vLLM is installed here")
def test_without_vllm_its_engine_is_refused_with_what_to_install(call: Call, tmp_path: Path) -> None:
    result = call("eval", MODEL, "--data", tmp_path, "--out", tmp_path / "r", "--engine", "vllm")
    refused(result, "EngineError", "vLLM is not installed", "pip install 'unsee[vllm]'", "leave --engine out")
    assert not (tmp_path / "r").exists()


def test_a_method_and_attacks_on_a_benchmark(
    call: Call, benchmark_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    """A method that nobody wrote for this benchmark, attacked, beside the base model in one table."""
    data = ("--benchmark", "umu", "--data", benchmark_folder("umu"), "--limit", 3, "--measure", "rougeL-f")
    common = (
        *data,
        "--set",
        "forget_heldout",
        "--set",
        "retain_unseen",
        "--attack",
        "response-prefill",
        "--attack",
        "rounding",
    )
    assert call("eval", MODEL, *common, "--out", tmp_path / "base")[0] == 0
    code, out, _ = call("eval", MODEL, *common, "--method", "output_filter", "--out", tmp_path / "f", "--json")
    assert code == 0 and "forget_heldout/rounding" in {row["split"] for row in last(out)["rows"]}
    settings = json.loads((tmp_path / "f" / "settings.json").read_text())["conditions"]["output_filter"]
    assert settings["method"] == "output_filter" and settings["fit"].startswith("sha256:")
    code, out, _ = call("compare", tmp_path / "base", tmp_path / "f", "--json")
    assert code == 0 and last(out)["conditions"] == ["base", "output_filter"]


def test_own_data_is_unlabelled_unless_its_role_is_said(call: Call, tmp_path: Path) -> None:
    write_jsonl([question(n, "who?" * (n + 1), image=False) for n in range(2)], tmp_path / "retain_not_forget")
    data = ("--data", tmp_path / "retain_not_forget", "--max-new-tokens", 2, "--json", "--measure", "leak")
    _, out, _ = call("eval", MODEL, *data, "--out", tmp_path / "a")
    assert [(row["split"], row["role"]) for row in last(out)["rows"]] == [("unlabelled", "unlabelled")]
    _, out, _ = call("eval", MODEL, *data, "--role", "forget", "--split", "people", "--out", tmp_path / "b")
    assert [(row["split"], row["role"]) for row in last(out)["rows"]] == [("people", "forget")]


@pytest.mark.parametrize("kind", ["benchmarks", "metrics", "methods", "attacks", "models"])
def test_everything_that_has_a_name_is_listed(kind: str, call: Call) -> None:
    code, out, _ = call("list", kind, "--json")
    entries = last(out)["entries"]
    assert code == 0 and len(entries) >= 6 and all(entry["summary"] for entry in entries)
    words = out.split()
    assert all(entry["name"] in words for entry in entries), "a name that is cut cannot be typed"
