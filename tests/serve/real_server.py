"""A real server on loopback over the shipped model, with a ledger in force, and what the library says."""

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.ledger_worker import BY, received, verified
from tests.serve.collector import Collector
from tests.serve.served import ledger_with, messages, mixed_erasers, questions

from unsee.ledger.active import active_digest, code_version
from unsee.ledger.erasers import eraser_check
from unsee.ledger.holding import attach
from unsee.models.load import load
from unsee.models.names import shipped
from unsee.serve.engine.compat import part
from unsee.serve.parity.comparison import library_answers

Set = tuple[int, ...]
"""Erasers by number."""
START = """
import sys
from pathlib import Path
from unsee.ledger.store import Ledger
from unsee.serve.server.launch import run
from unsee.serve.server.options import Options
from unsee.models.names import shipped
if __name__ == "__main__":
    options = Options(model="tiny", path=str(shipped("llava")), port=int(sys.argv[2]), dtype="float32",
                      tell_gates=True, canary_minutes=0.25, json_logs=True,
                      engine=("--max-model-len", "512", "--enforce-eager", "--block-size", "32",
                              "--shutdown-timeout", "30", *sys.argv[3:]))
    with Ledger(Path(sys.argv[1])) as ledger:
        run(options, ledger)
"""


class Server:
    """A server process, its ledger, a client, and the library's answers under every set of its erasers."""

    def __init__(self, folder: Path, *engine: str, collector: Collector | None = None) -> None:
        library, asked = load(shipped("llava"), dtype="float32"), questions()
        self.folder, self.engine, self.collector = folder, engine, collector
        self.erasers = mixed_erasers(library, asked)
        self.ledger, self.ids = ledger_with(folder, self.erasers, active=1)
        # Of each person a question with an image and one without.
        self.samples = [sample for name in list(asked)[:3] for sample in asked[name][1:3]]
        self.active: Set = (0,)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        options = {"base_url": f"{self.url}/v1", "api_key": "none", "max_retries": 0}
        self.client: Any = part("openai:OpenAI")(**options)
        self.clients: Any = part("openai:AsyncOpenAI")(**options)
        self.log = folder / "log"
        self.process = self.started()
        numbers = range(len(self.erasers))
        sets = [s for size in range(len(self.erasers) + 1) for s in itertools.combinations(numbers, size)]
        self.said: dict[Set, list[str]] = {  # while it starts
            s: [a.text for a in library_answers(library, self.samples, [self.erasers[i] for i in s])] for s in sets
        }
        contents = [self.ledger.request(one).artifacts for one in self.ids]
        self.digests = {active_digest([next(iter(contents[i])) for i in s], {}, code_version()): s for s in sets}
        self.wait()

    def started(self) -> "subprocess.Popen[bytes]":
        """A process that is going to listen at the same port."""
        script = self.folder / "start.py"
        script.write_text(START)
        with self.log.open("a") as stream:
            traced = () if self.collector is None else ("--otlp-traces-endpoint", self.collector.url)
            return subprocess.Popen(
                [sys.executable, str(script), str(self.folder / "ledger"), str(self.port), *self.engine, *traced],
                env=os.environ | Collector.ENVIRONMENT,
                stdout=stream,
                stderr=subprocess.STDOUT,
            )

    def wait(self, status: int = 200, seconds: float = 1800) -> None:
        """Until it is ready, or has another status: 0 where its port is closed."""
        limit = time.monotonic() + seconds
        while self.status("/ready") != status:
            assert self.process.poll() is None, self.log.read_text()[-4000:]
            assert time.monotonic() < limit, self.log.read_text()[-4000:]
            time.sleep(min(seconds / 100, 1))

    def status(self, path: str, body: Any = None) -> int:
        """Of an answer; 0 where there is none."""
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(f"{self.url}{path}", data, {"content-type": "application/json"})
        try:
            with urllib.request.urlopen(asked, timeout=600) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def metrics(self) -> str:
        """The page."""
        with urllib.request.urlopen(f"{self.url}/metrics") as answer:
            return answer.read().decode()

    def options(self, index: int, **more: Any) -> dict[str, Any]:
        """One of its prompts as the `openai` client's arguments."""
        return {
            "model": "tiny", "messages": messages(self.samples[index]), "temperature": 0, "max_tokens": 16,
        } | more  # fmt: skip

    def ask(self, index: int, **more: Any) -> Any:
        """Its answer, with the headers."""
        return self.client.chat.completions.with_raw_response.create(**self.options(index, **more))

    def texts(self, **more: Any) -> tuple[list[str], list[Any]]:
        """Answers to all prompts, one after another."""
        answers = [self.ask(index, **more) for index in range(len(self.samples))]
        return [a.parse().choices[0].message.content.strip() for a in answers], answers

    def request(self, eraser: int, number: int) -> str:
        """Another request, verified, that holds an eraser; `number` is new."""
        request = self.ledger.take("accept", received(self.ledger, number).id, BY)
        held = attach(self.ledger, request.id, self.folder / f"eraser-{eraser}", eraser_check, BY)
        return verified(self.ledger, held).id

    def cores(self) -> Sequence[int]:
        """Processes of its engine."""
        said = subprocess.run(
            ["ps", "-o", "pid=,args=", "--ppid", str(self.process.pid)], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        return [int(line.split()[0]) for line in said if "resource_tracker" not in line]

    def kill_engine(self) -> Sequence[int]:
        """Its processes, which are told nothing."""
        cores = self.cores()
        for pid in cores:
            os.kill(pid, signal.SIGKILL)
        return cores

    def stop(self) -> None:
        """As a supervisor does."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


def whole(stream: Any) -> str:
    """The text of a stream that came to its end; an empty one of one that broke off."""
    said, ended = "", False
    try:
        for chunk in stream:
            said, ended = said + (chunk.choices[0].delta.content or ""), bool(chunk.choices[0].finish_reason)
    except Exception:  # noqa: BLE001 (each way to break off counts)
        return ""
    return said.strip() if ended else ""
