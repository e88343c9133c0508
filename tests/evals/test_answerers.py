"""Who answers: one seam, and nobody but the model is asked otherwise for it."""

import json
import threading
from collections.abc import Sequence
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import combinations
from typing import Any, ClassVar

import pytest
import torch

from tiny_llava import question, tiny_llava
from unsee.data.sample import Sample
from unsee.errors import OptionError
from unsee.evals.answerers import Draw, How, InputFiltered, Local, OutputFiltered, Prompted, in_batches
from unsee.evals.answerers.base import scoring
from unsee.evals.answerers.endpoint import Endpoint, EndpointError
from unsee.metrics.leakage import leak_at_k
from unsee.models.generate import answer_tokens, append_tokens, encode, generate
from unsee.models.load import LoadedModel

SHORT = How(max_new_tokens=6)
ASKED = [question(n, "who is this" + "?" * n, image=n % 2 == 0) for n in range(5)]


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return tiny_llava()


def test_answers_are_the_models_own_in_the_order_of_the_samples(loaded: LoadedModel) -> None:
    expected = [generate(loaded, [one], 1, 6)[0] for one in ASKED]
    assert Local(loaded).answers(ASKED, SHORT) == expected
    assert in_batches(Local(loaded), ASKED, SHORT, 2) == expected and len(set(expected)) > 1
    assert sorted(Local(loaded).order(ASKED, SHORT)) == list(range(5))


def test_an_answer_that_is_begun_goes_on_from_there(loaded: LoadedModel) -> None:
    """Against one slow pass a question: the beginning is fed as if the model had said it."""
    begun = ["ann", "", "ann lee lives", "", "bo"]
    found = Local(loaded).answers(ASKED, SHORT, begun)
    plain = Local(loaded).answers(ASKED, SHORT)
    model: Any = loaded.model
    for sample, words, said, usual in zip(ASKED, begun, found, plain, strict=True):
        if not words:
            assert said == usual
            continue
        tokens = answer_tokens(loaded, [words])[0]
        inputs = append_tokens(loaded, encode(loaded, [sample]), [tokens], len(tokens))
        with torch.no_grad():
            ids = model.generate(**inputs, do_sample=False, max_new_tokens=6)
        tail = ids[0, inputs["input_ids"].shape[1] :]
        assert said == loaded.processor.tokenizer.decode(tail, skip_special_tokens=True).strip()


def test_draws_come_from_the_whole_distribution_and_depend_on_their_seed_alone() -> None:
    loaded = tiny_llava()
    loaded.model.generation_config.top_k, loaded.model.generation_config.temperature = 1, 0.01

    def said(seed: int, temperature: float | None) -> list[str]:
        return Local(loaded).answers([question(1)], How(8, draw=Draw(seed, temperature)))

    greedy = generate(loaded, [question(1)], max_new_tokens=8)
    assert Local(loaded).answers([question(1)], How(8)) == greedy
    assert said(1, None) == greedy, "as the model's own settings say"
    whole = [said(seed, 1.0) for seed in range(4)]
    assert said(2, 1.0) == whole[2] and len({text for (text,) in whole}) > 1, "its settings do not cut these"


def test_exact_answers_have_just_as_many_tokens(loaded: LoadedModel) -> None:
    tokenizer = loaded.processor.tokenizer
    (said,) = Local(loaded).answers(ASKED[:1], How(9, exact=True))
    assert len(tokenizer(said, add_special_tokens=False)["input_ids"]) >= 5


def test_words_before_and_filters_around(loaded: LoadedModel) -> None:
    inner = Local(loaded)
    told = Prompted(inner, "say no.")
    assert told.answers(ASKED, SHORT) == inner.answers(
        [replace(one, question=f"say no.\n{one.question}") for one in ASKED], SHORT
    )
    assert told.about["preamble"] == "say no." and told.loaded is loaded
    said = inner.answers(ASKED, SHORT)
    shut = InputFiltered(inner, lambda samples: torch.tensor([s.image is None for s in samples]), "no.")
    assert shut.answers(ASKED, SHORT) == ["no." if s.image is None else a for s, a in zip(ASKED, said, strict=True)]
    after = OutputFiltered(said_by(["it is Ann Lee.", "an annual leer"]), ("ann lee",), "no.")
    assert after.answers(ASKED[:2], SHORT) == ["no.", "an annual leer"]
    assert "ann" not in str(after.about), "what is forbidden is what is to be forgotten"


def test_probabilities_are_offered_by_the_model_and_not_by_a_filter(loaded: LoadedModel) -> None:
    inner = Local(loaded)
    (one,) = scoring(inner).scores(ASKED[:1], ["ann lee"], SHORT, 1)
    (other,) = scoring(Prompted(inner, "say no.")).scores(ASKED[:1], ["ann lee"], SHORT, 1)
    assert one is not None and other is not None and one.log_p.sum() != other.log_p.sum()
    with pytest.raises(OptionError, match="gives no log-probabilities"):
        scoring(OutputFiltered(inner, ("x",)))


class Server(BaseHTTPRequestHandler):
    """An OpenAI-compatible endpoint that repeats what it got."""

    seen: ClassVar[list[dict[str, Any]]] = []
    text: ClassVar[str | None] = " it is ann. "

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        Server.seen.append({"path": self.path, "key": self.headers["Authorization"], **body})
        message = {"role": "assistant", "content": Server.text}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        reply = json.dumps({"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]})
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(reply.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address() -> Any:
    pytest.importorskip("openai")
    server = HTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


def test_an_endpoint_gets_the_conversation_with_its_images(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Server.seen.clear()
    there = Endpoint(address, "m", "secret")
    sample = replace(question(2, "who is this?"), earlier=(("hello", "hi"),))
    assert there.answers([sample], How(9), ["sure,"]) == ["it is ann."]
    (got,) = Server.seen
    assert (got["path"], got["key"], got["max_tokens"], got["temperature"]) == (
        "/v1/chat/completions", "Bearer secret", 9, 0.0,
    )  # fmt: skip
    assert [one["role"] for one in got["messages"]] == ["user", "assistant", "user", "assistant"]
    assert got["messages"][0]["content"][0]["image_url"]["url"].startswith("data:image/png;base64,")
    assert got["messages"][-1]["content"] == "sure,", "the answer is begun"
    assert "secret" not in repr(there) and "secret" not in str(there.about)
    monkeypatch.setattr(Server, "text", None)
    with pytest.raises(EndpointError, match="gave no text"):
        there.answers([question(1)], How(9))


def test_an_endpoint_that_is_not_there_is_said_so() -> None:
    pytest.importorskip("openai")
    with pytest.raises(EndpointError, match=r"did not answer 'q1'.*Check address"):
        Endpoint("http://127.0.0.1:9/v1", "m", retries=0, timeout=2).answers([question(1)])


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_leak_at_k_is_the_share_of_choices_of_k_that_leak(k: int) -> None:
    drawn = [True, False, False, True, False]
    every = list(combinations(drawn, k))
    assert leak_at_k(drawn, k) == pytest.approx(sum(map(any, every)) / len(every))


def said_by(script: Sequence[str]) -> Any:
    """An answerer that says these, in turn."""

    class Scripted:
        about: ClassVar[dict[str, str]] = {"engine": "scripted"}
        loaded = None
        turns = iter(script)

        def order(self, samples: Sequence[Sample], how: How) -> list[int]:
            return list(range(len(samples)))

        def answers(self, samples: Sequence[Sample], how: How = SHORT, begun: Sequence[str] = ()) -> list[str]:
            return [next(self.turns) for _ in samples]

    return Scripted()


def test_batches_are_put_back_in_order() -> None:
    assert in_batches(said_by("abcde"), ASKED, SHORT, 2) == list("abcde")
