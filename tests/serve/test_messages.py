"""What the unchanged openai client sends is taken, and what is not is refused by the field that is wrong."""

import json
from typing import Any

import pytest

from unsee.serve.errors import RefusedError
from unsee.serve.server.images import NO_ADDRESS, UnusableImageError, plain_png
from unsee.serve.server.schema import forwarded, images, parse

PIXEL = "data:image/png;base64,AAAA"
USER = {"role": "user", "content": "who is this?"}
# response.choices[0].message.model_dump() of openai 2.x over vLLM.
ANSWER = {
    "content": "Ada.", "refusal": None, "role": "assistant", "annotations": None, "audio": None, "function_call": None,
    "tool_calls": [], "reasoning": None,
}  # fmt: skip


def sent(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    body = json.dumps({"model": "m", "messages": messages, **more}).encode()
    return json.loads(forwarded(parse(body, ()), {"a": "b"}, False, None))


@pytest.mark.parametrize(
    ("turn", "content"),
    [
        (ANSWER, "Ada."),
        ({"role": "assistant", "content": None}, ""),
        ({"role": "assistant"}, ""),
        ({"role": "assistant", "content": [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}]}, "A\nB"),
    ],
)
def test_an_answer_goes_back_as_it_came(turn: dict[str, Any], content: str) -> None:
    assert sent(USER, turn, USER)["messages"] == [USER, {"role": "assistant", "content": content}, USER]


def test_a_system_prompt_in_parts() -> None:
    system = {"role": "system", "content": [{"type": "text", "text": "Be brief."}]}
    assert sent(system, USER)["messages"] == [{"role": "system", "content": "Be brief."}, USER]


def test_an_image_as_a_plain_string() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": PIXEL}]}]}
    (image,) = images(parse(json.dumps(body).encode(), ()))
    assert image.url == PIXEL


@pytest.mark.parametrize("shape", [str, lambda url: {"url": url}])
def test_an_address_is_told_so(shape: Any) -> None:
    part = {"type": "image_url", "image_url": shape("https://example.com/a.png")}
    request = parse(json.dumps({"model": "m", "messages": [{"role": "user", "content": [part]}]}).encode(), ())
    (image,) = images(request)
    with pytest.raises(UnusableImageError) as refused:
        plain_png(image.url)
    assert str(refused.value) == NO_ADDRESS


def test_metadata_is_the_clients_own() -> None:
    assert "metadata" not in sent(USER, metadata={"session": "7"})


@pytest.mark.parametrize(
    ("turn", "field"),
    [
        ({**ANSWER, "refusal": "no"}, "refusal"),
        ({**ANSWER, "tool_calls": [{"id": "1"}]}, "tool_calls"),
        ({**ANSWER, "content": 7}, "content"),
        ({"role": "system", "content": [{"type": "image_url", "image_url": PIXEL}]}, "parts.0.type"),
        ({"role": "user", "content": None}, "content"),
        ({"role": "user", "content": []}, "content"),
        ({"role": "user", "content": [{"type": "image_url", "image_url": 7}]}, "image_url"),
        ({"role": "user", "content": [{"type": "text", "text": "x", "extra": 1}]}, "parts.0.text.extra"),
    ],
)
def test_the_wrong_field_is_named(turn: dict[str, Any], field: str) -> None:
    with pytest.raises(RefusedError) as refused:
        sent(USER, turn, USER)
    named = str(refused.value).split(":")[0]
    assert named.startswith(f"messages.1.{turn['role']}.")
    assert field in named


@pytest.mark.parametrize("metadata", [{"a": 1}, {"a" * 65: "x"}, {str(n): "x" for n in range(17)}, ["a"]])
def test_wrong_metadata_is_named(metadata: Any) -> None:
    with pytest.raises(RefusedError, match=r"^metadata"):
        sent(USER, metadata=metadata)
