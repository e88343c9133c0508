"""A real server on loopback, asked by the plain `openai` client: a ledger in force, changed while it serves."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("vllm", reason="serving has an environment of its own: tests/serve/run.sh")

from benchmarks.ledger_worker import BY
from benchmarks.storm import storm
from tests.serve.collector import Collector
from tests.serve.real_server import Server, whole
from tests.serve.served import messages
from tests.serve.test_deploy import asked
from tests.serve.test_door import ADDRESSES, BROKEN, shown
from tests.serve.test_life import alive

STORM_SECONDS = float(os.environ.get("UNSEE_STORM_SECONDS", "15"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Collector() as collector:
        made = Server(tmp_path_factory.mktemp("served"), collector=collector)
        yield made
        if made.process.poll() is None:
            made.stop()


def test_answers_are_the_library_s_and_say_what_steered_them(server: Server) -> None:
    found, answers = server.texts()
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
    for index, expected in enumerate(server.said[0,]):
        stream = server.ask(index, stream=True)
        assert stream.headers["x-unsee-erasers"] == "1"
        parts = [chunk.choices[0].delta.content or "" for chunk in stream.parse()]
        assert "".join(parts).strip() == expected
        chunks.append(len(parts))
    assert max(chunks) > 2, "vLLM joins words that nobody has fetched yet, but not all of them always"


def test_extras_come_on_top_and_wrong_ids_are_refused(server: Server) -> None:
    extra = {"unsee": {"erasures": [server.ids[1]]}}
    found, answers = server.texts(extra_body=extra)
    assert found == server.said[0, 1]
    assert answers[0].headers["x-unsee-erasers"] == "2"
    for wrong in ("r-ffffffffffffffff", "../../etc/passwd", "r-0' OR 1=1 --"):
        with pytest.raises(Exception) as refused:
            server.ask(0, extra_body={"unsee": {"erasures": [wrong]}})
        assert 400 <= getattr(refused.value, "status_code", 0) < 500


def test_activation_and_revocation_hold_from_the_next_request_on(server: Server) -> None:
    """The first and the last request of the ledger are switched while a stream runs, which keeps what it had."""
    name = next(i for i, s in enumerate(server.said[0,]) if s != server.said[()][i])
    stream = server.ask(name, stream=True)
    server.ledger.take("revoke", server.ids[0], BY)
    server.active = ()
    found, _ = server.texts()
    assert found == server.said[()]
    running = "".join(chunk.choices[0].delta.content or "" for chunk in stream.parse()).strip()
    assert running == server.said[0,][name], "a running answer ends as it began"
    with pytest.raises(Exception) as refused:
        server.ask(0, extra_body={"unsee": {"erasures": [server.ids[0]]}})
    assert getattr(refused.value, "status_code", 0) == 410
    server.ledger.take("activate", server.ids[1], BY)
    server.active = (1,)
    assert server.texts()[0] == server.said[1,]


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
    assert server.texts()[0] == server.said[server.active]


def test_its_own_metrics_stand_beside_the_engine_s(server: Server) -> None:
    server.texts()
    text = server.metrics()
    reply = server.erasers[server.active[0]].reply.kind
    assert f'unsee_requests_total{{outcome="steered",reply="{reply}",status="200",tenant="everybody"}}' in text
    assert 'unsee_part_well{part="canary"} 1.0' in text
    assert "unsee_positions_steered_total" in text
    asks = " ".join(asked().values())  # of the dashboard and the alerts
    assert set(re.findall(r"vllm:\w+", asks)) <= set(re.findall(r"^vllm:\w+", text, re.M))


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


def test_a_storm_of_streams_disconnects_and_changes_mixes_nothing(server: Server) -> None:
    """Every answer, and every piece of one that its client left, is of a set in force and the library's under it."""
    seen = asyncio.run(storm(server, STORM_SECONDS))
    assert not (seen.wrong or seen.stale or seen.failed), (seen.wrong[:3], seen.stale[:3], seen.failed[:3])
    assert len(seen.changes) > 5
    print(f"storm: {seen.whole} whole, {seen.left} left, {len(seen.changes)} changes, {seen.silence:.1f} s of silence")
    assert server.status("/health") == 200


def test_the_canary_flies_while_it_serves(server: Server) -> None:
    """Every fifteen seconds here, through everything above; requests go on beside it."""

    def passed() -> float:
        return float(server.metrics().partition("\nunsee_canary_passed_timestamp_seconds ")[2].split()[0])

    before, limit = passed(), time.monotonic() + 120
    while passed() == before:
        assert time.monotonic() < limit
        assert server.status("/ready") == 200
        time.sleep(1)


def test_a_request_is_traced_in_its_client_s_trace_and_never_its_words(server: Server) -> None:
    theirs = f"{7:032x}"
    header = {"traceparent": f"00-{theirs}-{8:016x}-01"}
    said = server.ask(0, extra_headers=header).parse().choices[0].message.content.strip()
    ours, engine_s = server.collector.spans(theirs, "unsee_request", "llm_request")
    assert ours.parent == f"{8:016x}"
    assert engine_s.parent == ours.id
    assert "steered" in ours.attributes["unsee.outcome"]
    assert ours.attributes["unsee.fired"]
    assert said not in str(ours.attributes) + str(engine_s.attributes)
    assert server.samples[0].question not in str(ours.attributes) + str(engine_s.attributes)


def test_no_line_of_the_log_holds_a_prompt_or_an_answer(server: Server) -> None:
    server.texts()
    log = server.log.read_text()
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    assert any(line.get("outcome") == "steered" for line in lines)
    assert not [text for said in server.said.values() for text in said if len(text) > 12 and text in log]
    assert "base64" not in log


def test_an_id_that_clients_repeat_harms_nobody(server: Server) -> None:
    """vLLM would name two requests alike, where VLLM_DISABLE_REQUEST_ID_RANDOMIZATION is set."""
    asks = [server.client.with_options(default_headers={"x-request-id": "same"}) for _ in range(4)]
    with ThreadPoolExecutor() as pool:
        said = pool.map(lambda client: client.chat.completions.create(**server.options(0)), asks)
    assert {one.choices[0].message.content.strip() for one in said} == {server.said[server.active][0]}


def test_told_to_stop_it_finishes_streams_and_a_killed_engine_ends_those_that_are_left(server: Server) -> None:
    """The last test: nothing is served after it."""
    ask, cores = server.client.chat.completions.create, server.cores()
    short = [ask(**server.options(index, stream=True)) for index in range(4)]
    # Under the first eraser, whatever the storm has left in force, these go on to the limit.
    first = server.request(0, 10**9) if server.ledger.request(server.ids[0]).ended else server.ids[0]
    endless = {"max_tokens": 400, "extra_body": {"unsee": {"erasures": [first]}}}
    long = [ask(**server.options(0, stream=True, temperature=2, seed=n, **endless)) for n in range(4)]
    server.process.send_signal(signal.SIGTERM)
    with ThreadPoolExecutor() as pool:
        assert list(pool.map(whole, short)) == server.said[server.active][:4]
        server.wait(0, 5)  # the port is closed, as soon as its loop comes to the signal
        assert server.process.poll() is None, "it waits for the others"
        began = time.monotonic()
        server.kill_engine()
        assert list(pool.map(whole, long)) == [""] * 4
    assert time.monotonic() - began < 10
    assert server.process.wait(15) == os.EX_UNAVAILABLE
    print(f"process ended {time.monotonic() - began:.1f} s after its engine")
    assert not [pid for pid in cores if alive(pid)]
