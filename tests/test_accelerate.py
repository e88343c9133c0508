"""Two processes, launched by accelerate as a user does, write the bytes that one process writes."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tiny_llava import question
from unsee.data import write_jsonl
from unsee.evals.processes import Processes, launched
from unsee.extras import MissingExtraError

pytest.importorskip("accelerate", reason="an optional extra")

SOURCE = Path(__file__).parents[1] / "src"


def test_alone_nothing_is_imported_and_nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setitem(sys.modules, "accelerate", None)
    alone = launched()
    assert (alone.index, alone.count, alone.main) == (0, 1, True) and not Processes(1, 2).main
    alone.wait()
    alone.close()
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(MissingExtraError, match=r"accelerate is not installed.*unsee\[accelerate\]"):
        launched()


@pytest.mark.slow
def test_two_processes_write_what_one_writes(tmp_path: Path) -> None:
    write_jsonl([question(n, "who is this" + "?" * n, image=n % 2 == 0) for n in range(7)], tmp_path / "data")
    arguments = ["-m", "unsee", "eval", "world:llava", "--data", str(tmp_path / "data"), "--batch-size", "2"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    # --multi_gpu is how accelerate starts several processes on one machine; without CUDA they speak through gloo.
    launch = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1",
              "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", port]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    for name, before in (("one", []), ("two", launch)):
        command = [sys.executable, *before, *arguments, "--out", str(tmp_path / name), "--json"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=500)
        assert done.returncode == 0, done.stderr[-3000:]
        assert done.stdout.count('"protocol": "honest"') == 1, "one process alone shows what came of it"
    for file in ("answers.jsonl", "metrics.json", "settings.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes(), file
    assert len((tmp_path / "two" / "answers.jsonl").read_text().splitlines()) == 7
