"""The parity certificate of each way to run the engine but the eager one, which other files test: see MODES."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("vllm", reason="serving has an environment of its own: tests/serve/run.sh")

from tests.serve.served import ledger_with, mixed_erasers, questions, rival_of

from unsee.data.jsonl import write_jsonl
from unsee.models.load import load
from unsee.models.names import shipped

START = """
import json, sys
from pathlib import Path
from unsee.ledger.store import Ledger
from unsee.serve.server.launch import certify
from unsee.serve.server.options import Options
from unsee.models.names import shipped
if __name__ == "__main__":
    home, out, dtype, *engine = sys.argv[1:]
    options = Options(model="tiny", path=str(shipped("llava")), dtype=dtype, engine=("--max-model-len", "512", *engine))
    with Ledger(Path(home)) as ledger:
        certify(options, ledger, str(Path(home).parent / "prompts"), Path(out))
"""

MODES: dict[str, tuple[str, ...]] = {
    "compiled": ("float32",),
    "two ranks": ("float32", "--enforce-eager", "--tensor-parallel-size", "2"),
    "two engines": ("float32", "--enforce-eager", "--data-parallel-size", "2"),
    "bfloat16": ("bfloat16", "--enforce-eager"),
}  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certified")
    library, asked = load(shipped("llava"), dtype="float32"), questions(people=3)
    erasers = mixed_erasers(library, asked)
    # The last fires with the first, along another direction, so that who steers is a part of what is certified.
    ledger_with(folder, [*erasers, rival_of(erasers[0], 0.1, 9)], active=4)[0].close()
    write_jsonl([sample for samples in asked.values() for sample in samples[1:3]], folder / "prompts")
    (folder / "start.py").write_text(START)
    return folder


@pytest.mark.parametrize("mode", list(MODES))
def test_the_engine_is_certified(home: Path, mode: str) -> None:
    out = home / f"{mode}.json"
    command = [sys.executable, str(home / "start.py"), str(home / "ledger"), str(out), *MODES[mode]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    made: dict[str, Any] = json.loads(out.read_text())
    print(mode, {name: made[name] for name in made if name.startswith(("same", "largest", "compared", "fired"))})
    assert made["passed"], made["differences"][:3]
    assert made["compared"] == 6 * 5 * (2 if mode == "two engines" else 1), "each engine is asked"
    assert made["model"]["id"] == "tiny"
    assert 0 < made["fired"] < made["compared"]
    if made["dtype"] == "float32":
        assert made["same_tokens"] == made["compared"]
        assert made["largest_logprob_difference"] < 1e-3


def test_the_documented_start_is_steerable_on_a_gpu_that_is_pretended() -> None:
    folders = [str(shipped(family)) for family in ("llava", "qwen2_5_vl", "qwen3_vl")]
    command = [sys.executable, "-m", "tests.serve.pretended_gpu", *folders]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    made = json.loads(done.stdout.splitlines()[-1])
    assert [one["graphs"] for one in made["default"]] == ["NONE", "PIECEWISE", *["FULL_AND_PIECEWISE"] * 2] * 3
    assert all(one["second"] and one["refused"] for one in made["default"]), "what vLLM would do by itself"
    assert [one["graphs"] for one in made["ours"]] == ["NONE", *["PIECEWISE"] * 3] * 3
    assert [one["cut"] for one in made["ours"]] == [False, True, True, True] * 3
    assert not any(one["second"] or one["refused"] for one in made["ours"])
