"""A cluster of its own is joined by its address, gives what it is asked, and ends half way: the error says so."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="extra scale")

JOINS = """
import sys, time
from pathlib import Path
import on_workers as jobs
from unsee.workers import WorkerError
from unsee.workers.cluster import Cluster
from unsee.workers.ray import on_ray

folder = Path(sys.argv[2])
with on_ray(jobs.HELD, jobs.facts, Cluster(1, address=sys.argv[1])) as workers:
    print(sorted(result[0] for _, result in workers.map(jobs.square, range(3))), flush=True)
    (folder / "asked").touch()
    start = time.monotonic()
    try:
        list(workers.map(jobs.sleeps, [300.0]))
    except WorkerError as error:
        print(f"{time.monotonic() - start:.0f} s: {error}", flush=True)
"""


def children(of: int) -> dict[int, str]:
    """The processes below one, with their command lines."""
    import psutil

    return {one.pid: " ".join(one.cmdline()) for one in psutil.Process(of).children(recursive=True)}


@pytest.mark.slow
def test_a_cluster_that_ends_half_way_is_told_as_such(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "PYTHONPATH": os.pathsep.join(str(Path(one or ".").resolve()) for one in sys.path),
    }
    command = [str(Path(sys.executable).parent / "ray"), "start", "--head", f"--port={port}", "--num-cpus=1"]
    command += ["--include-dashboard=false", "--object-store-memory=100000000", "--block"]
    head = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    asking = None
    try:
        _until(lambda: _listens(port), "the head listens")
        asking = subprocess.Popen(
            [sys.executable, "-c", JOINS, f"127.0.0.1:{port}", str(tmp_path)],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        _until((tmp_path / "asked").exists, "the cluster was asked")
        below = children(head.pid)
        (gone,) = [pid for pid, said in below.items() if "gcs_server" in said.split()[0]]
        os.kill(gone, signal.SIGKILL)
        out, err = asking.communicate(timeout=120)
    finally:
        for pid in children(head.pid):
            os.kill(pid, signal.SIGKILL)
        head.kill()
        head.wait()
        if asking is not None and asking.poll() is None:
            asking.kill()
    first, *rest = out.splitlines()
    assert first == "[0, 1, 4]", err[-2000:]
    assert any("has not answered for 20 s" in line for line in rest), (asking.returncode, out, err[-3000:])
    (told,) = [line for line in rest if "has not answered for 20 s" in line]
    assert 20 <= int(told.split()[0]) < 60, "before Ray itself ends the process"


def _listens(port: int) -> bool:
    with socket.socket() as asking:
        return not asking.connect_ex(("127.0.0.1", port))


def _until(there: object, what: str, seconds: float = 90) -> None:
    assert callable(there)
    limit = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < limit, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.2)
