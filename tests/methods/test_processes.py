"""Two processes on gloo train what one does: each with the whole model, or each with half of every block (FSDP2)."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from unsee.models.load import LoadedModel, load

pytest.importorskip("accelerate")

HERE = Path(__file__).parent
FSDP = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_RESHARD_AFTER_FORWARD": "true",
    "FSDP_STATE_DICT_TYPE": "FULL_STATE_DICT",
    "FSDP_CPU_RAM_EFFICIENT_LOADING": "false",
    "FSDP_ACTIVATION_CHECKPOINTING": "true",
}
"""What `recipes/fsdp.yaml` gives each process, as `test_fsdp_config` reads it."""


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> tuple[LoadedModel, Path]:
    """The same run in this process alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(HERE))
        from train_launch import launched_run

        out = tmp_path_factory.mktemp("alone") / "one"
        return launched_run(out), out


def two_processes(out: Path, *arguments: str, **environment: str) -> None:
    root = HERE.parents[1]
    paths = os.pathsep.join(str(path) for path in (root / "src", root / "tests", HERE))
    given = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    given |= {"ACCELERATE_USE_CPU": "true"} | environment
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command = [*launch, str(HERE / "train_launch.py"), str(out), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=given, check=False, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]


def same(one: tuple[LoadedModel, Path], two: Path) -> None:
    alone, out = one
    old, new = alone.model.state_dict(), load(two, device="cpu").model.state_dict()
    assert old.keys() == new.keys()
    assert max(float((old[name] - new[name]).abs().max()) for name in old) < 1e-5
    losses = [json.loads((path / "run.json").read_text())["losses"] for path in (out, two)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


def were_there(out: Path) -> list[str]:
    return [(out / f"process-{rank}").read_text() for rank in range(2)]


def test_two_processes_do_what_one_does(one: tuple[LoadedModel, Path], tmp_path: Path) -> None:
    two_processes(tmp_path / "two")
    assert were_there(tmp_path / "two") == ["MULTI_CPU"] * 2
    same(one, tmp_path / "two")


@pytest.mark.slow
def test_two_processes_that_share_the_weights_do_what_one_does(one: tuple[LoadedModel, Path], tmp_path: Path) -> None:
    out = tmp_path / "two"
    two_processes(out, "sharded", **FSDP)
    assert were_there(out) == ["FSDP"] * 2
    same(one, out)
    whole = load(out, device="cpu").model.state_dict()
    shutil.rmtree(out / "checkpoints" / "checkpoint-4")  # as if it had been stopped after two of four steps
    for name in ("model.safetensors", "config.json", "processor_config.json"):
        (out / name).unlink()
    two_processes(out, "sharded", **FSDP)
    again = load(out, device="cpu").model.state_dict()
    assert all(torch.equal(whole[name], again[name]) for name in whole), "resumed is uninterrupted"
    same(one, out)
