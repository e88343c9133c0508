"""Every family that is served: a random model, canaries, random subject gates, the library and the engine."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("vllm", reason="serving has an environment of its own: tests/serve/run.sh")


@pytest.mark.parametrize("family", ["llava", "qwen2_5_vl", "qwen3_vl"])
def test_the_engine_decides_and_answers_as_the_library(family: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.serve.family_engine", family, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    assert json.loads((tmp_path / "pixels.json").read_text()) == [0.0] * 3
    found = json.loads((tmp_path / "found.json").read_text())
    assert [one["fired"] for one in found] == [False, False, True, False] * 3
    assert max(one["logprob"] for one in found) < 1e-3
    assert max(one["margin"] or 0.0 for one in found) < 1e-3
    told = json.loads((tmp_path / "conversations.json").read_text())
    wrong = [one for one in told if not one["same_tokens"] or one["margin"] > 1e-3 or one["logprob"] > 1e-3]
    assert not wrong, wrong[:3]
    for reply in ("steer", "prefix", "canned"):
        assert any(one["reply"] == reply for one in told), "every reply must show"
    assert any(one["reply"] is None for one in told), "and some gate must stay shut"
    assert sum(one["cached"] > 0 for one in told) > 10, "prompts longer than a block begin in the cache"
