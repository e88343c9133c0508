"""Who is let in, and what a page may load."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from starlette.responses import HTMLResponse, JSONResponse

from unsee.ui.guard import LOCAL, Guard

PAGE = "<html><head><script type='importmap'>{}</script></head><body><script>1</script></body></html>"


async def application(scope: Any, receive: Any, send: Any) -> None:
    answer = JSONResponse({}) if scope["path"] == "/data" else HTMLResponse(PAGE)
    await answer(scope, receive, send)


def ask(guard: Guard, path: str = "/", query: str = "", kind: str = "http", **headers: str) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request"}

    named = [(name.encode(), value.encode()) for name, value in {"host": "127.0.0.1:8071", **headers}.items()]
    scope = {
        "type": kind, "path": path, "query_string": query.encode(), "headers": named, "method": "GET",
        "root_path": "", "scheme": "http", "server": ("127.0.0.1", 8071), "http_version": "1.1",
    }  # fmt: skip
    run: Callable[..., Awaitable[None]] = guard
    anyio.run(run, scope, receive, send)
    return sent


def headers_of(sent: list[dict[str, Any]]) -> dict[str, str]:
    return {name.decode().lower(): value.decode() for name, value in sent[0]["headers"]}


@pytest.fixture
def guard() -> Guard:
    return Guard(application, LOCAL)


def test_every_script_of_a_page_carries_the_number_of_its_policy_and_no_two_pages_share_one(guard: Guard) -> None:
    pages = [ask(guard), ask(guard)]
    numbers = []
    for sent in pages:
        policy, body = headers_of(sent)["content-security-policy"], sent[1]["body"].decode()
        number = re.search(r"'nonce-([^']+)'", policy)
        assert number is not None
        assert body.count(f'<script nonce="{number[1]}"') == body.count("<script") == 2
        assert int(headers_of(sent)["content-length"]) == len(sent[1]["body"])
        assert "'unsafe-inline'" not in policy.partition("script-src")[2].partition(";")[0]
        numbers.append(number[1])
    assert numbers[0] != numbers[1]


def test_what_is_no_page_is_passed_on_as_it_is(guard: Guard) -> None:
    sent = ask(guard, "/data")
    assert sent[1]["body"] == b"{}"
    assert headers_of(sent)["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8071", "127.0.0.1.evil.example", "localhost.", ""])
def test_another_name_for_this_machine_is_refused(guard: Guard, host: str) -> None:
    assert ask(guard, host=host)[0]["status"] == 403


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8071", "[::1]:8071"])
def test_this_machine_is_let_in(guard: Guard, host: str) -> None:
    assert ask(guard, host=host)[0]["status"] == 200


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:9", "https://localhost"])
def test_another_page_may_not_talk_to_it(guard: Guard, origin: str, kind: str) -> None:
    first = ask(guard, kind=kind, origin=origin)[0]
    assert first["type"] == "websocket.close" if kind == "websocket" else first["status"] == 403


def test_a_token_is_asked_for_once_and_then_a_cookie_stands_for_it() -> None:
    guard = Guard(application, (), "secret-token")
    assert ask(guard)[0]["status"] == 401
    assert ask(guard, query="token=wrong")[0]["status"] == 401
    assert ask(guard, cookie="unsee_ui=wrong")[0]["status"] == 401
    assert ask(guard, kind="websocket", query="token=secret-token")[0]["type"] == "websocket.close"
    let_in = ask(guard, query="token=secret-token")
    cookie = headers_of(let_in)["set-cookie"]
    assert let_in[0]["status"] == 303
    assert {"httponly", "samesite=strict"} <= {part.strip().lower() for part in cookie.split(";")}
    assert "secret-token" not in headers_of(let_in)["location"]
    assert ask(guard, cookie=cookie.partition(";")[0])[0]["status"] == 200
