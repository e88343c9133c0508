"""Every family that is served: a random model, a canary, the library and the engine."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("vllm", reason="serving has an environment of its own: tests/serve/run.sh")


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_vl"])
def test_the_canary_lives(family: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.serve.family_engine", family, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    found = json.loads((tmp_path / "found.json").read_text())
    assert [one["fired"] for one in found] == [False, False, True, False]
    assert max(one["logprob"] for one in found) < 1e-3
    assert max(one["margin"] for one in found[2:]) < 1e-3
