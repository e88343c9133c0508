"""A server process over a pretended engine: how it ends, what it holds back, and how much it holds."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


class Server:
    """A process, asked over plain sockets, so that a connection can be left as a client leaves it."""

    def __init__(self, drain: int, **options: Any) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        command = [sys.executable, "-m", "tests.serve.fake_server", str(self.port), json.dumps(options), str(drain)]
        path = os.pathsep.join([str(ROOT), str(ROOT / "src"), str(ROOT / "tests")])
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=os.environ | {"PYTHONPATH": path},
        )  # fmt: skip
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n", self.process.communicate()

    def connect(self) -> socket.socket:
        limit = time.monotonic() + 10
        while True:
            try:
                return socket.create_connection(("127.0.0.1", self.port), timeout=20)
            except ConnectionRefusedError:
                assert time.monotonic() < limit
                time.sleep(0.05)

    def send(self, text: str) -> socket.socket:
        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}).encode()
        made = self.connect()
        made.sendall(head(len(body)) + body)
        return made

    def ask(self, text: str) -> bytes:
        with self.send(text) as asked:
            return rest(asked)

    def status(self, path: str) -> int:
        with self.connect() as asked:
            asked.sendall(f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
            return int(rest(asked).split()[1])

    def resident(self) -> float:
        """MiB."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def head(length: int) -> bytes:
    said = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n"
    return f"{said}content-type: application/json\r\n\r\n".encode()


def rest(connection: socket.socket) -> bytes:
    """Everything until the server closes."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


@contextmanager
def running(drain: int = 5, **options: Any) -> Iterator[Server]:
    server = Server(drain, **options)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.wait()
        for stream in (server.process.stdout, server.process.stderr):
            assert stream is not None
            stream.close()


def test_told_to_end_it_answers_what_runs_and_ends() -> None:
    with running(drain=30) as server, ThreadPoolExecutor() as pool:
        stream = pool.submit(server.ask, "slow")
        assert server.ask("a secret").split()[1] == b"200"
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        _, errors = server.process.communicate(timeout=30)
        assert server.process.returncode == 0
        assert time.monotonic() - began < 20, "it ends when all is answered"
        assert stream.result().endswith(b"data: 9\n\n\r\n0\r\n\r\n"), "the stream is whole"
    lines = [json.loads(line) for line in errors.splitlines() if line.startswith("{")]
    about = [line for line in lines if line["name"] == "unsee.serve.requests"]
    assert [(line["status"], line["outcome"], line["tenant"]) for line in about] == [
        (200, "unsteered", "everybody")
    ] * 2
    assert "secret" not in errors


def test_told_to_end_it_waits_no_longer_than_it_was_told() -> None:
    with running(drain=1) as server:
        with server.send("hang") as stuck:
            said = stuck.recv(65536)
            began = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            said += rest(stuck)
            assert 1 < time.monotonic() - began < 8
            assert b"data: 0" in said
            assert not said.endswith(b"0\r\n\r\n"), "a stream that is cut off is not ended as a whole one is"
        assert server.process.wait(8) == 0


def test_a_dead_engine_ends_all_clients_at_once_and_the_process_soon() -> None:
    with running(drain=60) as server, ExitStack() as stack:
        stuck = [stack.enter_context(server.send("hang")) for _ in range(3)]
        assert all(connection.recv(65536) for connection in stuck)
        began = time.monotonic()
        assert server.ask("die").split()[1] == b"503"
        for connection in stuck:
            assert not rest(connection).endswith(b"0\r\n\r\n")
        assert time.monotonic() - began < 8, "not the 60 s that an end waits, nor an answer's limit"
        assert server.process.wait(12) == os.EX_UNAVAILABLE


LIMITS = {"body_seconds": 4, "bodies_bytes": 128 * 2**20, "head_seconds": 2, "connections": 20}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running(limits=LIMITS, canary_minutes=0.3 / 60) as made:
        yield made


def test_unfinished_bodies_are_bounded(server: Server) -> None:
    """12 times 60 MB that never end: what is held is bounded, and others are answered meanwhile."""
    size = 60_000_000
    with ExitStack() as stack, ThreadPoolExecutor(12) as pool:
        before = server.resident()

        def unfinished(_: int) -> int:
            made = stack.enter_context(server.connect())
            try:
                made.sendall(head(size) + b" " * (size - 1))
                return int(rest(made).split()[1])
            except (BrokenPipeError, ConnectionResetError):
                return 429  # refused, and closed, while it was still sending

        pending = [pool.submit(unfinished, n) for n in range(12)]
        grown = 0.0
        while not all(one.done() for one in pending):
            grown = max(grown, server.resident() - before)
            assert server.ask("hello").split()[1] == b"200"
            time.sleep(0.1)
        assert {one.result() for one in pending} == {408, 429}
        assert grown < 250, "MiB, for 128 MiB of bodies"


def test_connections_that_say_nothing_are_closed_and_their_number_is_bounded(server: Server) -> None:
    with ExitStack() as stack:
        silent = [stack.enter_context(server.connect()) for _ in range(18)]
        for connection in silent:
            connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost:")
        half = stack.enter_context(server.connect())
        half.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
        assert half.recv(100).split()[1] == b"200"
        assert server.status("/health") == 503, "one too many"
        until(lambda: server.status("/health") == 200)
        assert all(rest(connection) == b"" for connection in silent)


def test_an_engine_that_stops_steering_is_noticed_while_it_runs(server: Server) -> None:
    assert (server.status("/ready"), server.status("/health")) == (200, 200)
    server.ask("steer no more")
    until(lambda: server.status("/ready") == 503)
    assert server.ask("hello").split()[1] == b"503"
    assert server.status("/health") == 200, "restarting it is the operator's to decide"


def until(met: Any, seconds: float = 10) -> None:
    limit = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < limit
        time.sleep(0.1)


@pytest.mark.parametrize("killed", [signal.SIGKILL, signal.SIGTERM])
def test_no_engine_outlives_its_front(killed: signal.Signals, tmp_path: Path) -> None:
    """The engine's process notices that what started it is gone, however it went."""
    script = tmp_path / "front.py"
    script.write_text(
        "import multiprocessing, os, sys, time\n"
        "from unsee.serve.engine import process\n"
        "def engine():\n"
        "    process.attend()\n"
        "    print(os.getpid(), flush=True)\n"
        "    time.sleep(60)\n"
        "if __name__ == '__main__':\n"
        "    os.environ[process.SERVED] = '1'\n"
        "    multiprocessing.get_context('spawn').Process(target=engine).start()\n"
        "    time.sleep(60)\n"
    )
    source = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env=source) as front:
        assert front.stdout is not None
        engine = int(front.stdout.readline())
        front.send_signal(killed)
        front.wait(10)
        until(lambda: not alive(engine))


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False
