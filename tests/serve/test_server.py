"""A real server on loopback, asked by the plain `openai` client: a ledger in force, changed while it serves."""

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("vllm", reason="serving has an environment of its own: tests/serve/run.sh")

from benchmarks.ledger_worker import BY
from tests.serve.served import ledger_with, messages, mixed_erasers, questions
from tests.serve.test_door import ADDRESSES, BROKEN, shown
from tests.serve.test_life import alive

from unsee.data.sample import Sample
from unsee.models.load import load
from unsee.models.names import shipped
from unsee.serve.engine.compat import part
from unsee.serve.parity.comparison import library_answers

STORM_SECONDS = float(os.environ.get("UNSEE_STORM_SECONDS", "15"))
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
                      engine=("--max-model-len", "512", "--enforce-eager", "--block-size", "32"))
    with Ledger(Path(sys.argv[1])) as ledger:
        run(options, ledger)
"""


class Server:
    """A server process, what the library says, and a client."""

    def __init__(self, folder: Path) -> None:
        library, self.asked = load(shipped("llava"), dtype="float32"), questions()
        self.erasers = mixed_erasers(library, self.asked)
        self.ledger, self.ids = ledger_with(folder, self.erasers, active=1)
        # Of each person a question with an image and one without.
        self.samples = [sample for name in list(self.asked)[:3] for sample in self.asked[name][1:3]]
        self.active: tuple[int, ...] = (0,)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.log = folder / "log"
        script = folder / "start.py"
        script.write_text(START)
        command = [sys.executable, str(script), str(folder / "ledger"), str(self.port)]
        with self.log.open("w") as stream:
            self.process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT)
        self.url = f"http://127.0.0.1:{self.port}"
        self.client: Any = part("openai:OpenAI")(base_url=f"{self.url}/v1", api_key="none", max_retries=0)
        self.said: dict[tuple[int, ...], list[str]] = {  # while it starts
            sets: [a.text for a in library_answers(library, self.samples, [self.erasers[i] for i in sets])]
            for sets in ((), (0,), (0, 1), (0, 2), (1,), (1, 2))
        }
        limit = time.monotonic() + 1800
        while self.status("/ready") != 200:
            assert self.process.poll() is None, self.log.read_text()[-4000:]
            assert time.monotonic() < limit, self.log.read_text()[-4000:]
            time.sleep(1)

    def status(self, path: str, body: Any = None) -> int:
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(f"{self.url}{path}", data, {"content-type": "application/json"})
        try:
            with urllib.request.urlopen(asked, timeout=600) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def ask(self, sample: Sample, **options: Any) -> Any:
        return self.client.chat.completions.with_raw_response.create(
            model="tiny", messages=messages(sample), temperature=0, max_tokens=16, **options
        )

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("served"))
    yield made
    made.stop()


def texts(server: Server, **options: Any) -> tuple[list[str], list[Any]]:
    answers = [server.ask(sample, **options) for sample in server.samples]
    return [a.parse().choices[0].message.content.strip() for a in answers], answers


def test_answers_are_the_library_s_and_say_what_steered_them(server: Server) -> None:
    found, answers = texts(server)
    assert found == server.said[0,]
    assert found != server.said[()], "the eraser must change an answer"
    headers = [answer.headers for answer in answers]
    assert len({h["x-unsee-set"] for h in headers}) == 1
    changed = [a != b for a, b in zip(server.said[0,], server.said[()], strict=True)]
    fired = [h["x-unsee-fired"] == "1" for h in headers]
    assert all(f for f, c in zip(fired, changed, strict=True) if c)
    assert [int(h["x-unsee-positions"]) > 0 for h in headers] == fired
    assert [float(h["x-unsee-margin"]) >= 0 for h in headers] == fired


def test_streams_are_the_same_answers(server: Server) -> None:
    chunks = []
    for sample, expected in zip(server.samples, server.said[0,], strict=True):
        stream = server.ask(sample, stream=True)
        assert stream.headers["x-unsee-erasers"] == "1"
        parts = [chunk.choices[0].delta.content or "" for chunk in stream.parse()]
        assert "".join(parts).strip() == expected
        chunks.append(len(parts))
    assert max(chunks) > 2, "vLLM joins words that nobody has fetched yet, but not all of them always"


def test_extras_come_on_top_and_wrong_ids_are_refused(server: Server) -> None:
    extra = {"unsee": {"erasures": [server.ids[1]]}}
    found, answers = texts(server, extra_body=extra)
    assert found == server.said[0, 1]
    assert answers[0].headers["x-unsee-erasers"] == "2"
    for wrong in ("r-ffffffffffffffff", "../../etc/passwd", "r-0' OR 1=1 --"):
        with pytest.raises(Exception) as refused:
            server.ask(server.samples[0], extra_body={"unsee": {"erasures": [wrong]}})
        assert 400 <= getattr(refused.value, "status_code", 0) < 500


def test_activation_and_revocation_hold_from_the_next_request_on(server: Server) -> None:
    """The first and the last request of the ledger are switched while a stream runs, which keeps what it had."""
    name = next(i for i, s in enumerate(server.said[0,]) if s != server.said[()][i])
    stream = server.ask(server.samples[name], stream=True)
    server.ledger.take("revoke", server.ids[0], BY)
    server.active = ()
    found, _ = texts(server)
    assert found == server.said[()]
    running = "".join(chunk.choices[0].delta.content or "" for chunk in stream.parse()).strip()
    assert running == server.said[0,][name], "a running answer ends as it began"
    with pytest.raises(Exception) as refused:
        server.ask(server.samples[0], extra_body={"unsee": {"erasures": [server.ids[0]]}})
    assert getattr(refused.value, "status_code", 0) == 410
    server.ledger.take("activate", server.ids[1], BY)
    server.active = (1,)
    assert texts(server)[0] == server.said[1,]


def test_images_and_addresses_that_are_refused(server: Server) -> None:
    before = server.status("/health")
    for address in [*BROKEN.values(), *ADDRESSES]:
        assert server.status("/v1/chat/completions", shown(address) | {"model": "tiny"}) == 400
    assert (before, server.status("/health")) == (200, 200)


def test_without_its_ledger_it_answers_nothing(server: Server) -> None:
    database = server.ledger.home / "ledger.db"
    database.rename(database.with_suffix(".away"))
    try:
        assert server.status("/v1/chat/completions", {"model": "tiny", "messages": messages(server.samples[2])}) == 503
    finally:
        database.with_suffix(".away").rename(database)
    assert texts(server)[0] == server.said[server.active]


def test_its_own_metrics_stand_beside_the_engine_s(server: Server) -> None:
    texts(server)
    with urllib.request.urlopen(f"{server.url}/metrics") as answer:
        text = answer.read().decode()
    reply = server.erasers[server.active[0]].reply.kind
    assert f'unsee_requests_total{{outcome="steered",reply="{reply}",status="200",tenant="everybody"}}' in text
    assert 'unsee_part_well{part="canary"} 1.0' in text
    assert "unsee_positions_steered_total" in text
    assert "vllm:" in text


def test_the_schema_is_kept(server: Server) -> None:
    """Data that fit the schema and data that do not: no 5xx, no hang, and what is wrong is refused."""
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "run", f"{server.url}/openapi.json", "--max-examples",
        os.environ.get("UNSEE_EXAMPLES", "12"), "--checks", "not_a_server_error,negative_data_rejection",
        "--request-timeout", "600", "--seed", "1", "--suppress-health-check", "all",
        "--phases", "examples,coverage,fuzzing",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:]
    assert server.status("/health") == 200


def test_a_storm_of_streams_and_disconnects_mixes_nothing(server: Server) -> None:
    """32 streams at a time, half of them cut off at random, over two sets: every whole answer is its own."""
    draw, client = random.Random(3), part("openai:AsyncOpenAI")(base_url=f"{server.url}/v1", api_key="x", max_retries=0)
    extra = {"unsee": {"erasures": [server.ids[2]]}}
    sets: list[tuple[tuple[int, ...], dict[str, Any]]] = [(server.active, {}), ((*server.active, 2), extra)]
    whole, cut, failed = [0], [0], list[str]()
    end = time.monotonic() + STORM_SECONDS

    def over() -> bool:
        """On a busy machine it goes on until it has shown something."""
        return time.monotonic() > end and (min(whole[0], cut[0]) > 10 or time.monotonic() > end + 600)

    async def one() -> None:
        while not over():
            index = draw.randrange(len(server.samples))
            expected, named = draw.choice(sets)
            leave = draw.choice((None, draw.randrange(6)))
            said, count = "", 0
            try:
                stream = await client.chat.completions.create(
                    model="tiny", messages=messages(server.samples[index]), temperature=0, max_tokens=16, stream=True,
                    extra_body=named,
                )  # fmt: skip
                async for chunk in stream:
                    said, count = said + (chunk.choices[0].delta.content or ""), count + 1
                    if leave is not None and count > leave:
                        await stream.close()
                        cut[0] += 1
                        break
                else:
                    whole[0] += 1
                    if said.strip() != server.said[expected][index]:
                        failed.append(f"{server.samples[index].id} under {expected}: {said!r}")
            except Exception as error:  # noqa: BLE001 (each kind counts)
                failed.append(repr(error))

    async def storm() -> None:
        await asyncio.gather(*(one() for _ in range(32)))

    asyncio.run(storm())
    assert not failed, failed[:5]
    assert min(whole[0], cut[0]) > 10, (whole, cut)
    assert server.status("/health") == 200
    print(f"storm: {whole[0]} whole, {cut[0]} cut off")


def test_the_canary_flies_while_it_serves(server: Server) -> None:
    """Every fifteen seconds here, through everything above; requests go on beside it."""

    def passed() -> float:
        with urllib.request.urlopen(f"{server.url}/metrics") as answer:
            text = answer.read().decode()
        return float(text.partition("\nunsee_canary_passed_timestamp_seconds ")[2].split()[0])

    before, limit = passed(), time.monotonic() + 120
    while passed() == before:
        assert time.monotonic() < limit
        assert server.status("/ready") == 200
        time.sleep(1)


def test_no_line_of_the_log_holds_a_prompt_or_an_answer(server: Server) -> None:
    texts(server)
    log = server.log.read_text()
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    assert any(line.get("outcome") == "steered" for line in lines)
    assert not [text for said in server.said.values() for text in said if len(text) > 12 and text in log]
    assert "base64" not in log


def test_an_id_that_clients_repeat_harms_nobody(server: Server) -> None:
    """vLLM would name two requests alike, where VLLM_DISABLE_REQUEST_ID_RANDOMIZATION is set."""
    asks = [server.client.with_options(default_headers={"x-request-id": "same"}) for _ in range(4)]
    with ThreadPoolExecutor() as pool:
        said = pool.map(
            lambda client: client.chat.completions.create(
                model="tiny", messages=messages(server.samples[0]), temperature=0, max_tokens=16
            ),
            asks,
        )
    assert {one.choices[0].message.content.strip() for one in said} == {server.said[server.active][0]}


def test_a_killed_engine_ends_its_clients_at_once_and_its_process_soon(server: Server) -> None:
    """The last test: nothing is served after it."""
    children = subprocess.run(
        ["ps", "-o", "pid=,args=", "--ppid", str(server.process.pid)], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    cores = [int(line.split()[0]) for line in children if "resource_tracker" not in line]
    ask = server.client.chat.completions.create
    streams = [
        ask(model="tiny", messages=messages(server.samples[0]), max_tokens=400, stream=True, extra_body={})
        for _ in range(4)
    ]
    began = time.monotonic()
    for pid in cores:
        os.kill(pid, signal.SIGKILL)

    def ended(stream: Any) -> str:
        try:
            for _ in stream:
                pass
        except Exception as error:  # noqa: BLE001 (each way to break off counts)
            return type(error).__name__
        return "whole"

    with ThreadPoolExecutor() as pool:
        print("ended as", set(pool.map(ended, streams)))
    assert time.monotonic() - began < 10
    server.process.wait(15)
    print(f"process ended {time.monotonic() - began:.1f} s after its engine")
    assert not [pid for pid in cores if alive(pid)]
