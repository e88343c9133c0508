"""`unsee table --benchmark`: what it would take, worked out by hand, and a run end to end on a schema fixture."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unsee.cli import main
from unsee.evals.results import read_results
from unsee.experiments.table.sizing import GIB, Job, size

JOB = Job(parameters=7 * 10**9, bytes_each=2, asked=1000, fitted=500, speed=1e14)


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["unsee", "table", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        out, err = capsys.readouterr()
        return int(stopped.value.code or 0), out, " ".join(err.split())

    return run


def last(out: str) -> dict[str, Any]:
    return json.loads(out.splitlines()[-1])


def test_hours_and_memory_by_hand() -> None:
    """Reading: 2 x 7e9 x 688 tokens x 1,000 questions at 1e14 a second; training a question three times that."""
    asked = 2 * 7e9 * 688 * 1000 / 1e14 / 3600
    base = size("", "prompted", JOB)
    assert (base.hours, base.memory_gib) == (pytest.approx(asked), pytest.approx(1.5 * 14e9 / GIB))
    npo = size("npo", "trained", JOB)  # adapters, 3 epochs over 500 questions
    assert npo.hours == pytest.approx(asked * (1 + 3 * 3 * 0.5)) and npo.memory_gib == pytest.approx(2.5 * 14e9 / GIB)
    assert size("rmu", "trained", JOB).memory_gib == pytest.approx(16 * 7e9 / GIB), "weights, not adapters"
    assert size("manu", "trained", JOB).hours == pytest.approx(1.5 * asked), "counts neurons in one pass"
    asru = size("asru", "reinforced", JOB)  # 100 steps of 2 questions, 8 answers each, of 64 tokens; read five times
    assert asru.hours == pytest.approx(asked + 5 * 2 * 7e9 * (640 + 64) * 1600 / 1e14 / 3600)
    assert size("erased", "steered", JOB).hours == pytest.approx(asked + 2 * 7e9 * 640 * 500 / 1e14 / 3600)


def test_a_plan_loads_nothing_and_prints_what_to_type(call: Callable[..., tuple[int, str, str]]) -> None:
    given = (
        "--benchmark",
        "mllmu",
        "--model",
        "llava-hf/llava-1.5-7b-hf",
        "--methods",
        "erased,npo",
        "--plan",
        "--json",
    )
    code, out, _ = call(*given)
    told = last(out)
    assert code == 0 and "7.00 billion weights, read off its name" in told["counted"]
    assert [row["row"] for row in told["rows"]] == ["base", "erased", "npo"]
    assert told["hours"] == pytest.approx(sum(row["hours"] for row in told["rows"]))
    assert told["command"].startswith("unsee table --benchmark mllmu --data MLLMMU/MLLMU-Bench --model llava-hf/")
    for wrong, message in (
        (("--plan",), "--plan, --data, --ratio and --limit are of a benchmark"),
        ((*given[:4], "--methods", "magic", "--plan"), "the method is 'magic'"),
        (("--benchmark", "mllmu", "--model", "somebody/else", "--plan"), "Nor does its name say"),
    ):
        code, _, err = call(*wrong)
        assert code == 2 and message in err, err


def test_a_table_on_a_fixture_is_one_results_folder(
    call: Callable[..., tuple[int, str, str]], benchmark_folder: Callable[[str], Path], tmp_path: Path
) -> None:
    data = ("--benchmark", "mllmu", "--data", benchmark_folder("mllmu"), "--model", "world:llava", "--limit", 2)
    code, out, _ = call(*data, "--plan", "--methods", "output_filter", "--json")
    assert code == 0 and "by its configuration" in last(out)["counted"] and "for fits" in last(out)["counted"]
    out_dir = tmp_path / "t"
    code, out, err = call(*data, "--methods", "output_filter", "--out", out_dir, "--json")
    assert code == 0, err
    found = read_results([str(out_dir)])
    assert [one.name for one in found] == ["base", "output_filter"]
    assert {Path(path).name for path in last(out)["files"]} == {
        f"compare.{end}" for end in ("csv", "html", "tex", "md")
    }
    before = (out_dir / "answers.jsonl").read_bytes()
    assert call(*data, "--methods", "output_filter", "--out", out_dir)[0] == 0
    assert (out_dir / "answers.jsonl").read_bytes() == before, "finished rows stay"
