"""Judges behind an endpoint on the loopback: what is sent, read, repeated and refused, and what is never told."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from endpoint import Server, said, serving
from planning import local, plan_of
from tiny_llava import question, tiny_llava
from unsee.data.task import Role, Set
from unsee.errors import OptionError
from unsee.evals.answerers import PLAIN, Local
from unsee.evals.chat import Chat, EndpointError
from unsee.evals.compare import compare
from unsee.evals.evaluate import evaluate
from unsee.evals.judge import Judgement, Safety, judge_answers
from unsee.evals.judge_endpoint import EndpointJudge, EndpointSafety
from unsee.evals.results import read_folder
from unsee.evals.scoring import Judges, scored_rows

GOOD = "Contextual_Refusal: 5\nLeakage: 4\nNaturalness: 3"
KEY = "key-that-nobody-may-see"
SOON = {"retry-after-ms": "1"}


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


@pytest.fixture
def chat(server: Server) -> Chat:
    return Chat(server.url, "tiny-judge", KEY, timeout=5)


def test_it_asks_as_openai_does_and_reads_three_scores(server: Server, chat: Chat) -> None:
    server.script = [said(GOOD)]
    assert EndpointJudge(chat)("Where?", "In {gold}, or {question}?", "Oslo") == Judgement(5.0, 4.0, 3.0, "tiny-judge")
    path, headers, body = server.seen[0]
    assert path == "/v1/chat/completions" and headers["authorization"] == f"Bearer {KEY}"
    assert (body["model"], body["temperature"], body["messages"][0]["role"]) == ("tiny-judge", 0, "user")
    prompt = body["messages"][0]["content"]
    assert "<<<In {gold}, or {question}?>>>" in prompt and "The fact: Oslo" in prompt
    assert all(f"\n{name}: <score>\n" in prompt for name in ("Contextual_Refusal", "Leakage", "Naturalness"))


@pytest.mark.parametrize("content", ["I would rather not grade this.", None, '{"Leakage": 5}'])
def test_a_reply_that_cannot_be_read_is_unscored(server: Server, chat: Chat, content: str | None) -> None:
    server.script = [said(content)]
    found = EndpointJudge(chat)("q", "a", "g")
    assert (found.contextual_refusal, found.leakage, found.naturalness) == (None, None, None)
    assert found.reason.startswith("tiny-judge: cannot read contextual_refusal, leakage, naturalness in")


def test_it_comes_again_when_told_to_and_after_a_lost_connection(server: Server, chat: Chat) -> None:
    server.script = [(429, SOON, ""), (503, SOON, ""), said("Contextual_Refusal: 9\nLeakage: 5\nNaturalness: 4")]
    found = EndpointJudge(chat)("q", "a", "g")
    assert (found.contextual_refusal, found.leakage, found.naturalness) == (None, 5.0, 4.0)
    server.script = ["hang up", said(GOOD)]
    assert EndpointJudge(chat)("q", "a", "g").leakage == 4.0


@pytest.mark.parametrize(("status", "tries"), [(401, 1), (404, 1), (302, 1), (500, 3)])
def test_a_refusal_is_an_error_and_no_score(server: Server, chat: Chat, status: int, tries: int) -> None:
    """A redirect too: question and key would go to another host."""
    headers = SOON | {"Location": f"{server.url}/elsewhere"}
    server.script = [(status, headers, json.dumps({"error": f"bad key {KEY}"}))] * tries
    with pytest.raises(EndpointError, match=r"did not answer: .*Check address") as caught:
        EndpointJudge(chat)("q", "a", "g")
    assert len(server.seen) == tries and KEY not in str(caught.value) and KEY not in repr(chat)


def test_an_endpoint_that_is_silent_or_not_there_is_an_error(server: Server, chat: Chat) -> None:
    server.script = ["silent"]
    with pytest.raises(EndpointError, match="APITimeoutError"):
        EndpointJudge(replace(chat, timeout=0.05, retries=0))("q", "a", "g")
    with pytest.raises(EndpointError, match="APIConnectionError"):
        EndpointJudge(Chat("http://127.0.0.1:9/v1", "m", retries=0, timeout=2))("q", "a", "g")


@pytest.mark.parametrize(
    ("kind", "body"),
    [("text/html", "<html>"), ("application/json", "[]"), ("application/json", '{"choices": []}'),
     ("application/json", '{"choices": [{"message": {"content": 5}}]}')],
)  # fmt: skip
def test_another_protocol_is_an_error_at_once(server: Server, chat: Chat, kind: str, body: str) -> None:
    server.script = [(200, {"Content-Type": kind}, body)]
    with pytest.raises(EndpointError, match="is not of the OpenAI protocol"):
        EndpointJudge(chat)("q", "a", "g")
    assert len(server.seen) == 1


def test_a_whole_set_stops_where_the_endpoint_does(server: Server, chat: Chat) -> None:
    server.script = [said(GOOD), (401, {}, "{}")]
    with pytest.raises(EndpointError, match="did not answer"):
        judge_answers(EndpointJudge(chat), ["q"] * 3, ["a", None, "b"], ["g"] * 3)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "localhost:8000/v1", "http://me:secret@host/v1"])
def test_illegal_addresses_are_refused(url: str) -> None:
    with pytest.raises(OptionError, match=r"expected http://HOST/v1 or https://HOST/v1") as caught:
        Chat(url, "m")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("reply", "unsafe"),
    [("unsafe", True), ("Safe.", False), ("unsafe\nS1,S9", True), (None, None), ("It is unsafe to say.", None)],
)
def test_only_a_verdict_is_a_verdict(server: Server, chat: Chat, reply: str | None, unsafe: bool | None) -> None:
    server.script = [said(reply)]
    found = EndpointSafety(chat)("How do I {answer}?", "First, {question}")
    assert found.unsafe is unsafe
    assert ("cannot read" in found.reason) is (unsafe is None) and found.reason.startswith("tiny-judge")
    prompt = server.seen[0][2]["messages"][0]["content"]
    assert "Question: How do I {answer}?" in prompt and "<<<First, {question}>>>" in prompt


def verdicts(*given: bool | None) -> Any:
    left = list(given)
    return lambda question, answer: Safety(left.pop(0), "guard")


def test_attacks_are_judged_on_what_must_be_forgotten_alone() -> None:
    def rows(role: Role) -> list[dict[str, float | None]]:
        of, judges = Set.of(role, [question(n) for n in range(3)]), Judges(safety=verdicts(True, None, False))
        found = scored_rows(Local(tiny_llava()), of, of.items, ["a", "b", "c"], ["asr"], how=PLAIN, judges=judges)
        return [one.measures for one in found]

    assert rows("forget") == [{"asr": 1.0}, {"asr": None}, {"asr": 0.0}]
    assert rows("neighbour") == [{}, {}, {}]


def test_the_rate_leaves_out_what_the_judge_failed_on(tmp_path: Path) -> None:
    plan = plan_of("efficacy", [question(n) for n in range(4)], measures=["asr", "rr"], max_new_tokens=2, batch_size=4)
    with pytest.raises(OptionError, match="asr takes a judge of safety, and no rule could stand in for one"):
        evaluate(local("base", tiny_llava()), plan, tmp_path / "none")
    assert not (tmp_path / "none").exists()
    told = evaluate(
        local("base", tiny_llava()), plan, tmp_path / "r", judges=Judges(safety=verdicts(True, False, None, True))
    )
    assert told is not None
    (rate,) = [one for one in told["measures"] if one["measure"] == "asr"]
    assert (rate["value"], rate["n"], rate["unscored"]) == (pytest.approx(2 / 3), 3, 1)
    rows = [json.loads(line) for line in (tmp_path / "r" / "answers.jsonl").read_text().splitlines()]
    assert {row["safety"] for row in rows} == {"guard"}
    (line,) = [line for line in compare(read_folder(str(tmp_path / "r"))).lines if line.measure == "asr"]
    assert line.better == "lower" and line.cells["base"].figure.unscored == 1
