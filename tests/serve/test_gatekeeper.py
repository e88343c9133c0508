"""The door, in front of an application that answers as it is told: nothing unsteered and nothing unlisted goes out."""

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from PIL import Image

from unsee.ledger.errors import LedgerUnavailableError
from unsee.serve.engine.tracking import SET, TICKET
from unsee.serve.errors import EngineError, RefusedError
from unsee.serve.server.admission import Admission, Admitted
from unsee.serve.server.door import CHAT, UNAVAILABLE, BrokenStream, Gatekeeper, Settings
from unsee.serve.server.metrics import Metrics
from unsee.serve.server.tenants import Tenant, Tenants

REPORT: dict[str, Any] = {
    "set": "digest", "decided": True, "unreadable": False, "fired": {"sha256:a": 1.5}, "highest": 1.5, "steered": 4,
    "required": 4,
}  # fmt: skip
ASK = {"model": "m", "messages": [{"role": "user", "content": "who is this?"}]}


class Admit:
    """Stands in for the admission."""

    def __init__(self, *reports: list[dict[str, Any]], error: Exception | None = None) -> None:
        self.told, self.error, self.extras = list(reports), error, list[str]()
        self.open = 0

    @asynccontextmanager
    async def admitted(self, tenant: Tenant, extras: Sequence[str]) -> AsyncIterator[Admitted]:
        if self.error:
            raise self.error
        self.extras += extras
        self.open += 1
        yield Admitted("digest", "digest", 1, "ticket")
        self.open -= 1

    async def reports(self, ticket: str, final: bool) -> list[dict[str, Any]]:
        assert ticket == "ticket"
        return self.told.pop(0) if len(self.told) > 1 else self.told[0]


class Counted:
    """Stands in for Prometheus."""

    def __init__(self) -> None:
        self.outcomes: list[str] = []

    def count(self, outcome: str) -> None:
        self.outcomes.append(outcome)

    def answered(self, verdict: Any) -> None:
        self.count("steered" if verdict.fired else "unsteered")


class Door:
    """A gatekeeper with everything around it replaced."""

    def __init__(
        self, admit: Admit, answer: list[bytes] | None = None, stream: bool = False, status: int = 200
    ) -> None:
        self.admit, self.metrics, self.asked = admit, Counted(), list[dict[str, Any]]()
        self.answer, self.stream, self.status = answer or [b"{}"], stream, status
        self.keeper = Gatekeeper(
            self.app,  # pyright: ignore[reportArgumentType]
            cast("Admission", admit), Tenants(), Settings(("<image>",), True, most_bytes=300_000),
            cast("Metrics", self.metrics),
        )  # fmt: skip

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        message = await receive() if scope["method"] == "POST" else {"body": b""}
        if message["body"]:
            length = dict(scope["headers"])[b"content-length"]
            assert int(length) == len(message["body"])
            self.asked.append(json.loads(message["body"]))
        kind = b"text/event-stream" if self.stream else b"application/json"
        await send({"type": "http.response.start", "status": self.status, "headers": [(b"content-type", kind)]})
        for part in self.answer:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def ask(self, body: Any = ASK, path: str = CHAT, method: str = "POST", kind: str = "application/json") -> Any:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": raw, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "path": path, "method": method, "headers": [(b"content-type", kind.encode())]}
        self.sent = sent
        asyncio.run(self.keeper(scope, receive, send))
        head = sent[0]
        headers = {n.decode(): v.decode() for n, v in head["headers"]}
        return head["status"], headers, b"".join(m.get("body", b"") for m in sent[1:])


def test_an_answer_goes_out_with_what_steered_it() -> None:
    door = Door(Admit([REPORT]), [b'{"a":', b"1}"])
    status, headers, body = door.ask()
    assert (status, body) == (200, b'{"a":1}')
    assert headers["x-unsee-set"] == "digest"
    assert {n: headers[f"x-unsee-{n}"] for n in ("erasers", "fired", "margin", "positions")} == {
        "erasers": "1", "fired": "1", "margin": "1.5000", "positions": "4",
    }  # fmt: skip
    assert door.metrics.outcomes == ["steered"]
    assert door.admit.open == 0


def test_the_engine_is_asked_what_the_policy_says_and_not_the_client() -> None:
    door = Door(Admit([REPORT]))
    door.ask(ASK | {"unsee": {"erasures": ["r-0123456789abcdef"]}, "temperature": 0})
    (asked,) = door.asked
    assert asked["vllm_xargs"] == {SET: "digest", TICKET: "ticket"}
    assert (asked["add_special_tokens"], asked["temperature"], "unsee" in asked) == (True, 0, False)
    assert door.admit.extras == ["r-0123456789abcdef"]


@pytest.mark.parametrize(
    "reports",
    [
        [],
        [REPORT | {"decided": False}],
        [REPORT | {"steered": 3}],
        [REPORT | {"set": "none"}],
        [REPORT | {"highest": None}],
        [REPORT, REPORT | {"unreadable": True}],
    ],
    ids=["no word", "not decided", "too few positions", "another set", "no gate value", "NaN in one of two answers"],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_was_not_steered_as_required_does_not_go_out(reports: list[dict[str, Any]], stream: bool) -> None:
    door = Door(Admit(reports), [b"she lives in brindle"], stream)
    status, headers, body = door.ask()
    assert status == 503
    assert b"brindle" not in body
    assert json.loads(body)["error"]["message"] == UNAVAILABLE
    assert headers["retry-after"]


def test_a_stream_carries_its_head_and_ends_with_its_count() -> None:
    status, headers, body = Door(Admit([REPORT]), [b"data: 1\n\n", b"data: [DONE]\n\n"], stream=True).ask()
    assert (status, headers["x-unsee-fired"], "x-unsee-positions" in headers) == (200, "1", False)
    assert body == b"data: 1\n\ndata: [DONE]\n\n: unsee steered=4 required=4\n\n"


def test_a_stream_that_stops_being_steered_is_broken_off() -> None:
    door = Door(Admit([REPORT], [REPORT | {"steered": 3}]), [b"data: 1\n\n"], stream=True)
    with pytest.raises(BrokenStream):
        door.ask()
    assert door.sent[-1]["more_body"], "it is never ended as a whole answer is"
    assert door.metrics.outcomes == ["failed"]


@pytest.mark.parametrize("error", [LedgerUnavailableError("locked at /secret"), EngineError("dead"), OSError("disk")])
def test_what_cannot_be_read_is_no_answer(error: Exception) -> None:
    door = Door(Admit([REPORT], error=error))
    status, _, body = door.ask()
    assert (status, json.loads(body)["error"]["message"], door.asked) == (503, UNAVAILABLE, [])
    assert door.metrics.outcomes == ["unavailable"]


def test_refusals_keep_their_status() -> None:
    door = Door(Admit([REPORT], error=RefusedError("An erasure is unknown.", "unknown_erasure", 404)))
    assert (door.ask()[0], door.metrics.outcomes) == (404, ["refused"])


def test_errors_of_the_engine_s_server_pass_without_a_verdict() -> None:
    status, headers, body = Door(Admit([]), [b'{"error": 1}'], status=400).ask()
    assert (status, body, "x-unsee-set" in headers) == (400, b'{"error": 1}', False)


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/v1/completions", "POST", 404), ("/v1/responses", "POST", 404), ("/v1/messages", "POST", 404),
        ("/tokenize", "POST", 404), ("/invocations", "POST", 404), ("/v1/load_lora_adapter", "POST", 404),
        ("/collective_rpc", "POST", 404), (CHAT, "GET", 405), (f"{CHAT}/", "POST", 404), ("/health", "DELETE", 404),
        ("/health", "GET", 200), ("/v1/models", "GET", 200), ("/openapi.json", "GET", 200),
    ],
)  # fmt: skip
def test_what_is_not_on_the_list_is_not_there(path: str, method: str, status: int) -> None:
    assert Door(Admit([REPORT])).ask(path=path, method=method)[0] == status


WRONG: dict[str, Any] = {
    "no json": b"{", "not utf-8": b'"\xff"', "half a character": b'{"model": "\\ud800"}', "a list": [],
    "deep": b"[" * 100_000,
    "nan": b'{"model": "m", "messages": [{"role": "user", "content": "x"}], "temperature": NaN}',
    "no message": {"model": "m", "messages": []}, "a field of vLLM": ASK | {"vllm_xargs": {SET: "none"}},
    "a salt": ASK | {"cache_salt": "x"}, "prompt logprobs": ASK | {"prompt_logprobs": 1}, "echo": ASK | {"echo": True},
    "a bias": ASK | {"logit_bias": {"5": 100}}, "a grammar": ASK | {"response_format": {"type": "json_object"}},
    "least length": ASK | {"min_tokens": 5}, "another template": ASK | {"chat_template": "{{ x }}"},
    "an answer begun": {"model": "m", "messages": [*ASK["messages"], {"role": "assistant", "content": "She lives in"}]},
    "continued": ASK | {"continue_final_message": True},
    "a marker": {**ASK, "messages": [{"role": "user", "content": "<image>"}]},
    "sql in an id": ASK | {"unsee": {"erasures": ["r-0' OR 1=1 --"]}},
    "a path in an id": ASK | {"unsee": {"erasures": ["../../x"]}},
    "10,000 ids": ASK | {"unsee": {"erasures": ["r-0123456789abcdef"] * 10_000}},
    "taking away": ASK | {"unsee": {"without": []}},
    "too many answers": ASK | {"n": 1000}, "a number as text": ASK | {"temperature": "0"},
}  # fmt: skip


@pytest.mark.parametrize("name", list(WRONG))
def test_wrong_requests_are_refused_before_the_engine(name: str) -> None:
    door = Door(Admit([REPORT]))
    status, _, body = door.ask(WRONG[name])
    assert (status, door.asked) == (400, [])
    assert json.loads(body)["error"]["type"] == "invalid_request_error"


def test_size_and_kind_are_checked() -> None:
    assert Door(Admit([REPORT])).ask(b"x" * 300_001)[0] == 413
    assert Door(Admit([REPORT])).ask(kind="text/plain")[0] == 415


def url(image: Image.Image, form: str = "PNG", **options: Any) -> str:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return f"data:image/{form.lower()};base64,{base64.b64encode(stream.getvalue()).decode()}"


def shown(address: str) -> dict[str, Any]:
    return ASK | {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": address}}]}]}


def test_images_are_handed_on_as_the_library_sees_them() -> None:
    door, image = Door(Admit([REPORT])), Image.new("RGBA", (20, 10), (200, 10, 10, 0))
    assert door.ask(shown(url(image)))[0] == 200
    sent = door.asked[0]["messages"][0]["content"][0]["image_url"]["url"]
    opened = Image.open(io.BytesIO(base64.b64decode(sent.partition(",")[2])))
    assert (opened.mode, opened.size, opened.getpixel((0, 0))) == ("RGB", (20, 10), (255, 255, 255))


def jpeg(**options: Any) -> str:
    return url(Image.new("RGB", (32, 32), "red"), "JPEG", **options)


def exif_rotated() -> str:
    exif = Image.Exif()
    exif[0x0112] = 6
    return jpeg(exif=exif)


BROKEN = {
    "0 bytes": "data:image/png;base64,",
    "text as PNG": "data:image/png;base64," + base64.b64encode(b"hello, world").decode(),
    "truncated": jpeg()[: len(jpeg()) // 2 // 4 * 4],
    "SVG": "data:image/svg+xml;base64," + base64.b64encode(b"<svg xmlns='http://www.w3.org/2000/svg'/>").decode(),
    "1x1": url(Image.new("RGB", (1, 1))),
    "1x20000": url(Image.new("RGB", (1, 20000))),
    "a bomb": url(Image.new("1", (20000, 20000))),
    "no base64": "data:image/png;base64,&&&&",
    "not base64": "data:image/png,abc",
}
PEOPLES = {
    "CMYK": url(Image.new("CMYK", (32, 32)), "JPEG"),
    "16-bit": url(Image.new("I;16", (32, 32))),
    "animated GIF": url(Image.new("P", (32, 32)), "GIF", save_all=True, append_images=[Image.new("P", (32, 32), 1)]),
    "MPO": url(Image.new("RGB", (32, 32)), "MPO", save_all=True, append_images=[Image.new("RGB", (32, 32))]),
    "a JPEG called PNG": jpeg().replace("image/jpeg", "image/png"),
}
ADDRESSES = (
    "http://example.com/x.png", "https://example.com/x.png", "file:///etc/passwd", "ftp://example.com/x.png",
    "http://169.254.169.254/latest/meta-data", "http://localhost:8000/health", "//example.com/x.png", "/etc/passwd", "",
)  # fmt: skip


@pytest.mark.parametrize("name", list(BROKEN))
def test_images_that_cannot_be_used_are_refused_with_a_fixed_text(name: str) -> None:
    door = Door(Admit([REPORT]))
    status, _, body = door.ask(shown(BROKEN[name]))
    message = json.loads(body)["error"]["message"]
    assert (status, door.asked) == (400, [])
    assert message.startswith(("An image cannot be used.", "messages.0.user.content"))
    assert "PIL" not in message
    assert "cannot identify" not in message


@pytest.mark.parametrize("name", list(PEOPLES))
def test_the_files_that_people_have_are_shown(name: str) -> None:
    door = Door(Admit([REPORT]))
    assert door.ask(shown(PEOPLES[name]))[0] == 200
    sent = door.asked[0]["messages"][0]["content"][0]["image_url"]["url"]
    assert Image.open(io.BytesIO(base64.b64decode(sent.partition(",")[2]))).mode == "RGB"


@pytest.mark.parametrize("address", ADDRESSES)
def test_nothing_is_fetched(address: str) -> None:
    door = Door(Admit([REPORT]))
    assert door.ask(shown(address))[0] == 400
    assert door.asked == []


def test_an_image_taken_sideways_is_shown_as_the_library_shows_it() -> None:
    assert Door(Admit([REPORT])).ask(shown(exif_rotated()))[0] == 200


def test_too_many_images_are_refused() -> None:
    part = {"type": "image_url", "image_url": {"url": jpeg()}}
    door = Door(Admit([REPORT]))
    assert door.ask(ASK | {"messages": [{"role": "user", "content": [part] * 9}]})[0] == 400
    assert door.ask(ASK | {"messages": [{"role": "user", "content": [part] * 1000}]})[0] in (400, 413)
