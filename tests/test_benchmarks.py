"""The benchmarks still run, each at its smallest size, and time what they say they time.

No time is checked: a machine that runs tests is no place for timing.
"""

import json
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from benchmarks.common import Spread, paired

FOLDER = Path(__file__).parents[1] / "benchmarks"
Capsys = pytest.CaptureFixture[str]


def script(name: str) -> ModuleType:
    spec = spec_from_file_location(f"benchmark_{name}", FOLDER / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(module: ModuleType, command_line: str) -> None:
    module.main(command_line.split())


def rows_printed(capsys: Capsys) -> list[dict[str, Any]]:
    (rows,) = json.loads(capsys.readouterr().out.splitlines()[-1])["tables"].values()
    return rows


def test_steering_cost_times_every_condition(capsys: Capsys) -> None:
    run(script("steering_cost"), "--shapes 32x4 --repeats 2 --tokens 2 --prompt 8 --batch-size 2 --json")
    rows = rows_printed(capsys)
    expected = ["unsteered again", "held gate, not fired", "held gate, fired", "published gate"]
    assert [row["condition"] for row in rows] == expected
    assert all(row[part]["ratio"]["median"] > 0 for row in rows for part in ("prefill", "token"))


def test_steering_cost_conditions_steer_as_their_names_say() -> None:
    module = script("steering_cost")
    positions = {
        name: module.expected_positions(eraser, rows=2, prompt=10, tokens=3)
        for name, eraser in module.erasers(32, 4, subjects=2).items()
    }
    # Rows times positions times layers: block 3 for the last prompt token and 3 more; 1, 2 and 3 for the prompt.
    assert positions == {
        "held gate, not fired": 0,
        "held gate, fired": 2 * 4 * 1,
        "published gate": 2 * 10 * 3,
    }


def test_steering_cost_refuses_a_condition_that_did_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    module = script("steering_cost")
    monkeypatch.setattr(module, "expected_positions", lambda eraser, *_: 0 if eraser is None else 7)
    with pytest.raises(AssertionError, match="0 positions were steered, the condition is 7"):
        run(module, "--shapes 32x4 --repeats 1 --tokens 2 --prompt 8")


def test_solve_compares_both_dense_forms_with_the_vectors(capsys: Capsys) -> None:
    run(script("solve"), "--widths 32 64 --repeats 1 --json")
    rows = rows_printed(capsys)
    forms = ("torch svd + pinv", "numpy oracle")
    assert [(row["width"], row["condition"]) for row in rows] == [(d, form) for d in (32, 64) for form in forms]
    for row in rows:
        assert row["difference"] < 1e-6
        assert row["dense_bytes"] == 8 * row["width"] ** 2 and row["rank1_bytes"] == 2 * 8 * row["width"]


def test_capture_times_every_way_of_reading(capsys: Capsys) -> None:
    run(script("capture"), "--part time --shape 32x2 --samples 3 --repeats 1 --json")
    rows = rows_printed(capsys)
    assert len(rows) == 5 and all(row["samples"] == 3 and row["all"]["ratio"]["median"] > 0 for row in rows)


def test_capture_measures_memory_in_a_fresh_process(capsys: Capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    module = script("capture")
    monkeypatch.setattr(module, "PATHS", ("keeping",))
    run(module, "--part memory --shape 32x2 --sizes 3 --json")
    (row,) = rows_printed(capsys)
    assert row["result"] == 3 * 2 * 32 * 4, "samples x layers x width x float32"
    assert row["peak"] > 0 and row["growth"] == 1


@pytest.mark.parametrize("path", ["discarding", "streaming", "keeping"])
def test_capture_reads_along_every_path(path: str, capsys: Capsys) -> None:
    run(script("capture"), f"--only {path} 3 --shape 32x2")
    sizes = {"discarding": 0, "streaming": 2 * (32 + 32 * 32) * 8, "keeping": 3 * 2 * 32 * 4}
    assert json.loads(capsys.readouterr().out)["result"] == sizes[path]


def test_peak_sees_what_was_allocated_and_let_go() -> None:
    module = script("capture")
    block = bytearray(b"x") * (64 << 20)
    held = module.peak_bytes()
    del block
    # Less a page or so per core: the kernel adds up its counters late.
    assert module.peak_bytes() > held - (1 << 20) > 63 << 20


def test_markdown_is_one_table(capsys: Capsys) -> None:
    run(script("solve"), "--widths 32 --repeats 1 --markdown")
    table = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert len(table) == 4 and {line.count("|") for line in table} == {10}
    assert set(table[1]) == set("| -")


@pytest.mark.parametrize(("values", "expected"), [([3.0], Spread(3, 3, 3)), ([5.0, 1, 2, 3, 4], Spread(3, 2, 4))])
def test_spread_is_median_and_quartiles(values: list[float], expected: Spread) -> None:
    assert Spread.of(values) == expected


def test_ratios_are_taken_within_pairs_and_the_first_round_does_not_count() -> None:
    seconds = iter([100.0, 1.0, 1.0, 2.0, 30.0, 10.0])
    calls: list[str] = []

    def timed(name: str) -> Callable[[], dict[str, float]]:
        def once() -> dict[str, float]:
            calls.append(name)
            return {"all": next(seconds)}

        return once

    (row,) = paired(timed("base"), {"other": timed("other")}, repeats=2)
    assert calls == ["other", "base", "base", "other", "other", "base"]
    # Pairs (base 1, other 2) and (base 10, other 30): ratios 2 and 3, while the medians' ratio is 16 / 5.5.
    assert row["condition"] == "other" and row["all"]["ratio"].median == 2.5
    assert row["all"]["base_ms"].median == 5500 and row["all"]["ms"].median == 16000


def test_seeds_are_pooled_over_subjects_and_not_over_seeds(tmp_path: Path, capsys: Capsys) -> None:
    def folder(name: str, people: dict[str, bool]) -> Path:
        one = {"condition": "erased", "split": "forget_heldout", "role": "forget", "base_correct": True}
        one |= {"refused": False, "volunteered": False, "fluent": True, "identical": False, "correct": False}
        lines = [json.dumps(one | {"person": who, "leaked": leaked}) for who, leaked in people.items()]
        (tmp_path / name).mkdir()
        (tmp_path / name / "answers.jsonl").write_text("\n".join(lines))
        return tmp_path / name

    both = folder("one", {"ann": True, "bo": False}), folder("two", {"ann": False, "cy": False})
    run(script("pooled"), f"{both[0]} {both[1]} --json")
    (row,) = rows_printed(capsys)
    found = row["forget_heldout"]
    assert (found["n_base_right"], found["subjects"], found["leaked"]) == (4, 3, 0.25)
