"""The examples for Slurm and KubeRay: each is read by what it is for, and the command in it by our own command line."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from typer.testing import CliRunner

from unsee.cli import app

ROOT = Path(__file__).parents[2]
SLURM, KUBERAY = ROOT / "deploy" / "scale" / "unsee.slurm", ROOT / "deploy" / "scale" / "kuberay.yaml"


def given(command: str) -> Mapping[str, Any]:
    """What `unsee eval` makes of a command's options, without running it; refuses those that it does not have."""
    words = shlex.split(command)
    assert words[:2] == ["unsee", "eval"]
    group: Any = typer.main.get_command(app)
    context = group.commands["eval"].make_context("eval", words[2:])
    return context.params


@pytest.fixture
def job() -> Any:
    return yaml.safe_load(KUBERAY.read_text())


def containers(job: Any) -> list[Any]:
    cluster = job["spec"]["rayClusterSpec"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [one for group in groups for one in group["template"]["spec"]["containers"]]


def test_slurm_is_a_script_and_its_options_are_those_of_sbatch() -> None:
    said = SLURM.read_text()
    assert said.startswith("#!/bin/bash\n")
    subprocess.run(["bash", "-n", str(SLURM)], check=True)
    options = dict(re.findall(r"^#SBATCH --([a-z-]+)=(\S+)$", said, re.M))
    assert len(options) == said.count("#SBATCH"), "one option a line, with its value"
    known = {"job-name", "nodes", "ntasks-per-node", "cpus-per-task", "gpus-per-node", "time", "output"}
    assert options.keys() <= known
    before = said[: said.index("set -euo pipefail")]
    assert all(line.startswith("#") for line in before.splitlines()), "sbatch reads no option behind a command"
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", str(SLURM)], check=True)


def test_slurm_asks_for_no_more_than_it_has() -> None:
    said = SLURM.read_text()
    options = dict(re.findall(r"^#SBATCH --([a-z-]+)=(\d+)", said, re.M))
    command = re.search(r"unsee eval.*?[^\\]$", said, re.M | re.S)
    assert command is not None
    asked = given(command[0].replace("\\\n", " "))
    assert asked["engine"] == "ray"
    assert asked["workers"] * asked["gpus"] <= int(options["nodes"]) * int(options["gpus-per-node"])
    assert asked["workers"] * asked["cpus"] <= int(options["nodes"]) * int(options["cpus-per-task"])
    assert int(re.findall(r"OMP_NUM_THREADS=(\d+)", said)[0]) == asked["cpus"]
    assert "RAY_AUTH_MODE=token" in said and "RAY_USAGE_STATS_ENABLED=0" in said


def test_kuberay_asks_for_no_more_than_it_has(job: Any) -> None:
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    asked, (group,) = given(job["spec"]["entrypoint"]), job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    assert (asked["engine"], asked["address"]) == ("ray", "auto")
    limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert asked["workers"] * asked["gpus"] <= group["replicas"] * limits["nvidia.com/gpu"]
    assert asked["cpus"] <= int(limits["cpu"])
    assert group["minReplicas"] == group["replicas"], "workers that are asked for have to be there at once"


def test_every_pod_has_one_image_one_ray_and_the_same_files(job: Any) -> None:
    (version,) = re.findall(r"^ray==(.+)$", (ROOT / "constraints.txt").read_text(), re.M)
    assert job["spec"]["rayClusterSpec"]["rayVersion"] == version
    assert job["spec"]["rayClusterSpec"]["authOptions"] == {"mode": "token"}
    found = containers(job)
    for name in ("image", "env", "volumeMounts"):
        assert all(one[name] == found[0][name] for one in found), name
    paths = [mount["mountPath"] for mount in found[0]["volumeMounts"]]
    for place in re.findall(r"(/srv/\S+)", job["spec"]["entrypoint"]):
        assert any(place.startswith(path) for path in paths), place


def test_the_reader_of_commands_refuses_what_is_no_option() -> None:
    assert CliRunner().invoke(app, ["eval", "m", "--wrokers", "2"]).exit_code == 2
    with pytest.raises(Exception, match="wrokers"):
        given("unsee eval m --data d --out o --wrokers 2")
