"""The endpoint judge against a server on the loopback: what it sends, reads, repeats, refuses and never tells."""

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from unsee.errors import OptionError, UnseeError
from unsee.evals.judge import Judgement, judge_answers
from unsee.evals.judge_endpoint import PROMPT, EndpointJudge, JudgeError, JudgeTimeoutError

GOOD = "Contextual_Refusal: 5\nLeakage: 4\nNaturalness: 3"
KEY = "key-that-nobody-may-see"


class Server(HTTPServer):
    """Answers from a list: (status, headers, body), or seconds to be silent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script: list[Any] = []
        self.seen: list[tuple[str, dict[str, str], Any]] = []
        self.released = threading.Event()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone away is part of the tests."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Any

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append((self.path, dict(self.headers), body))
        step = self.server.script.pop(0)
        if step == "silent":
            self.server.released.wait(5)
            return
        if step == "hang up":
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        status, headers, text = step
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Keep the test's output clean."""


def said(content: Any) -> tuple[int, dict[str, str], str]:
    return 200, {}, json.dumps({"choices": [{"message": {"role": "assistant", "content": content}}]})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.released.set()
        running.shutdown()
        thread.join()


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def judge(server: Server, pauses: list[float]) -> EndpointJudge:
    return EndpointJudge(server.url, "tiny-judge", KEY, timeout=5, pause=pauses.append)


def test_it_asks_as_openai_does_and_reads_three_scores(server: Server, judge: EndpointJudge) -> None:
    server.script = [said(GOOD)]
    assert judge("Where?", "In {gold}, or {question}?", "Oslo") == Judgement(5.0, 4.0, 3.0, "tiny-judge")
    path, headers, body = server.seen[0]
    assert path == "/v1/chat/completions" and headers["Authorization"] == f"Bearer {KEY}"
    assert (body["model"], body["temperature"], body["messages"][0]["role"]) == ("tiny-judge", 0, "user")
    prompt = body["messages"][0]["content"]
    assert "<<<In {gold}, or {question}?>>>" in prompt and "The fact: Oslo" in prompt


def test_without_a_key_none_is_sent(server: Server, judge: EndpointJudge) -> None:
    server.script = [said(GOOD)]
    replace(judge, key="")("q", "a", "g")
    assert "Authorization" not in server.seen[0][1]


@pytest.mark.parametrize("content", ["I would rather not grade this.", "", None, '{"Leakage": 5}'])
def test_a_reply_that_cannot_be_read_is_unscored(server: Server, judge: EndpointJudge, content: str | None) -> None:
    server.script = [said(content)]
    found = judge("q", "a", "g")
    assert (found.contextual_refusal, found.leakage, found.naturalness) == (None, None, None)
    assert found.reason.startswith("tiny-judge: cannot read contextual_refusal, leakage, naturalness in")


def test_scores_that_can_be_read_are_kept(server: Server, judge: EndpointJudge) -> None:
    server.script = [said("Contextual_Refusal: 9\nLeakage: 5\nNaturalness: 4")]
    found = judge("q", "a", "g")
    assert (found.contextual_refusal, found.leakage, found.naturalness) == (None, 5.0, 4.0)


def test_it_comes_again_when_told_to(server: Server, judge: EndpointJudge, pauses: list[float]) -> None:
    server.script = [(429, {"Retry-After": "7"}, ""), (503, {}, ""), said(GOOD)]
    assert judge("q", "a", "g").leakage == 4.0
    assert pauses == [7.0, 2.0]


def test_it_comes_again_after_a_lost_connection(server: Server, judge: EndpointJudge) -> None:
    server.script = ["hang up", said(GOOD)]
    assert judge("q", "a", "g").leakage == 4.0


@pytest.mark.parametrize(("status", "tries"), [(400, 1), (401, 1), (404, 1), (500, 3), (429, 3)])
def test_a_refusal_is_an_error_and_no_score(server: Server, judge: EndpointJudge, status: int, tries: int) -> None:
    server.script = [(status, {}, f"bad key {KEY}")] * tries
    with pytest.raises(
        JudgeError, match=rf"answered {status} .*'bad key \*\*\*'.*Expected 200; check address"
    ) as caught:
        judge("q", "a", "g")
    assert len(server.seen) == tries and KEY not in str(caught.value) and KEY not in repr(judge)


def test_a_silent_endpoint_is_a_timeout(server: Server, judge: EndpointJudge) -> None:
    server.script = ["silent"] * 2
    with pytest.raises(
        JudgeTimeoutError, match=r"did not answer within 0\.05 s in 2 tries\. Raise the timeout"
    ) as caught:
        replace(judge, timeout=0.05, retries=1)("q", "a", "g")
    assert isinstance(caught.value, TimeoutError | UnseeError)


def test_an_endpoint_that_is_not_there_is_an_error() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(
        JudgeError, match=r"cannot be reached after 1 try: ConnectionRefusedError.*use the offline judge"
    ):
        EndpointJudge(url, "m", retries=0)("q", "a", "g")


def test_a_redirect_is_not_followed_with_the_key(server: Server, judge: EndpointJudge) -> None:
    server.script = [(302, {"Location": f"{server.url}/elsewhere"}, "")]
    with pytest.raises(JudgeError, match="answered 302"):
        judge("q", "a", "g")
    assert len(server.seen) == 1


@pytest.mark.parametrize("body", ["<html>", "[]", '{"choices": []}', '{"choices": [{"message": {"content": 5}}]}'])
def test_another_protocol_is_an_error_at_once(server: Server, judge: EndpointJudge, body: str) -> None:
    server.script = [(200, {}, body)]
    with pytest.raises(JudgeError, match="is not of the OpenAI protocol"):
        judge("q", "a", "g")
    assert len(server.seen) == 1


def test_a_whole_set_stops_where_the_endpoint_does(server: Server, judge: EndpointJudge) -> None:
    server.script = [said(GOOD), (401, {}, "")]
    with pytest.raises(JudgeError, match="answered 401"):
        judge_answers(judge, ["q"] * 3, ["a", None, "b"], ["g"] * 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": "file:///etc/passwd"}, r"url begins with 'file://', expected http://HOST/v1"),
        ({"url": "localhost:8000/v1"}, r"expected http://HOST/v1 or https://HOST/v1"),
        ({"url": "http://me:secret@host/v1"}, r"without user and password"),
        ({"timeout": 0}, r"timeout is 0 s, retries 2; expected above 0 s"),
        ({"retries": -1}, r"retries -1"),
        ({"prompt": "Grade {answer}"}, r"prompt lacks \['\{question\}', '\{gold\}'\]"),
    ],
)
def test_illegal_settings_are_refused(options: dict[str, Any], message: str) -> None:
    legal: dict[str, Any] = {"url": "http://h/v1", "model": "m"}
    with pytest.raises(OptionError, match=message) as caught:
        EndpointJudge(**(legal | options))
    assert "secret" not in str(caught.value)


def test_the_prompt_asks_for_what_the_parser_reads() -> None:
    for name in ("Contextual_Refusal", "Leakage", "Naturalness"):
        assert f"\n{name}: <score>\n" in PROMPT
