"""What a client may ask: a part of OpenAI's chat completions, written down once for the check and for the schema.

Left out is what would tell more than an answer, or force one past a refusal: prompt log-probabilities, echo, biases on
tokens, least lengths, grammars, and answers begun by the client.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError, model_validator

from unsee.serve.errors import RefusedError

MOST_IMAGES = 8
_Text = Annotated[str, Field(max_length=100_000)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class TextPart(_Strict):
    """A piece of text."""

    type: Literal["text"]
    text: _Text


class ImageUrl(_Strict):
    """An image as a data URL; an address is refused with a reason of its own."""

    url: Annotated[str, Field(description="data:image/png;base64,...")]
    detail: Literal["auto", "low", "high"] | None = None

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, value: object) -> object:
        # Many clients give the URL itself, as other endpoints take it.
        return {"url": value} if isinstance(value, str) else value


class ImagePart(_Strict):
    """An image."""

    type: Literal["image_url"]
    image_url: ImageUrl


Part = Annotated[TextPart | ImagePart, Field(discriminator="type")]


def _shape(content: object) -> str:
    # Told apart by hand, so that an error names the part that is wrong and not every shape that it might have been.
    return "parts" if isinstance(content, list) else "text"


_Content = Annotated[
    Annotated[_Text, Tag("text")] | Annotated[list[Part], Field(min_length=1, max_length=64), Tag("parts")],
    Discriminator(_shape),
]
_Words = Annotated[
    Annotated[_Text, Tag("text")] | Annotated[list[TextPart], Field(min_length=1, max_length=64), Tag("parts")],
    Discriminator(_shape),
]
_Key = Annotated[str, Field(max_length=64)]
_Value = Annotated[str, Field(max_length=512)]
_Nothing = Annotated[list[Any], Field(max_length=0)] | None


class UserTurn(_Strict):
    """What the user says."""

    role: Literal["user"]
    content: _Content
    name: Annotated[str, Field(max_length=64)] | None = None


class SystemTurn(_Strict):
    """What the system says."""

    role: Literal["system"]
    content: _Words
    name: Annotated[str, Field(max_length=64)] | None = None


class AssistantTurn(_Strict):
    """What the assistant said: also a message of an answer as the client was given it, with its empty fields."""

    role: Literal["assistant"]
    content: _Words | None = None
    name: Annotated[str, Field(max_length=64)] | None = None
    refusal: None = None
    annotations: _Nothing = None
    audio: None = None
    function_call: None = None
    tool_calls: _Nothing = None
    reasoning: None = None
    reasoning_content: None = None


Turn = Annotated[UserTurn | SystemTurn | AssistantTurn, Field(discriminator="role")]


class StreamOptions(_Strict):
    """How to stream."""

    include_usage: bool = False


class Extras(_Strict):
    """Beside OpenAI's fields, through `extra_body`."""

    erasures: list[Annotated[str, Field(pattern=r"^r-[0-9a-f]{16}$")]] = Field(
        default_factory=list,
        max_length=64,
        description="Requests of the ledger to add to what is in force; nothing can be taken away.",
    )


class ChatRequest(_Strict):
    """A chat completion."""

    model: Annotated[str, Field(max_length=512)]
    messages: Annotated[list[Turn], Field(min_length=1, max_length=256)]
    max_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] | None = None
    n: Annotated[int, Field(ge=1, le=8)] | None = None
    seed: Annotated[int, Field(ge=0, le=2**31)] | None = None
    stop: (
        Annotated[str, Field(min_length=1, max_length=200)]
        | Annotated[list[Annotated[str, Field(min_length=1, max_length=200)]], Field(max_length=4)]
        | None
    ) = None
    presence_penalty: Annotated[float, Field(ge=-2, le=2, allow_inf_nan=False)] | None = None
    frequency_penalty: Annotated[float, Field(ge=-2, le=2, allow_inf_nan=False)] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: Annotated[str, Field(max_length=256)] | None = None
    metadata: Annotated[dict[_Key, _Value], Field(max_length=16)] | None = Field(
        default=None, description="The client's own; neither kept nor handed on."
    )
    unsee: Extras = Field(default_factory=Extras)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.messages[-1].role != "user":
            raise ValueError("the last message must be the user's")
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options needs stream")
        if self.top_logprobs and not self.logprobs:
            raise ValueError("top_logprobs needs logprobs")
        if self.seed is not None and (self.n or 1) > 1:
            raise ValueError("seed with n > 1 can end the engine; send n requests with a seed each")
        return self


def parse(body: bytes | bytearray, markers: Sequence[str]) -> ChatRequest:
    """A request from its bytes.

    Args:
        body: JSON.
        markers: tokens that stand for an image, which no text may hold.

    Raises:
        RefusedError: names the field; never what the client wrote in it.
    """
    try:
        value = json.loads(body, parse_constant=_no_constant)
        json.dumps(value, ensure_ascii=False).encode()  # half characters cannot be answered about
        request = ChatRequest.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(step) for step in first["loc"] if not isinstance(step, str) or len(step) <= 64)
        raise RefusedError(f"{place or 'request'}: {first['msg']:.200}", "request") from error
    except (ValueError, RecursionError) as error:
        raise RefusedError("The body is no JSON object in UTF-8.", "request") from error
    if any(marker in text for text in _texts(request) for marker in markers):
        raise RefusedError("A text holds a marker that stands for an image. Send images as parts.", "request")
    if sum(1 for _ in images(request)) > MOST_IMAGES:
        raise RefusedError(f"More than {MOST_IMAGES} images in one request.", "request")
    return request


def images(request: ChatRequest) -> Iterator[ImageUrl]:
    """Every image of a request, in order."""
    for turn in request.messages:
        if isinstance(turn, UserTurn) and not isinstance(turn.content, str):
            yield from (part.image_url for part in turn.content if isinstance(part, ImagePart))


def conversation(request: ChatRequest) -> list[dict[str, Any]]:
    """The messages that the engine's server is asked."""
    return [_message(turn) for turn in request.messages]


def forwarded(request: ChatRequest, extras: Mapping[str, str], special_tokens: bool, salt: str | None) -> bytes:
    """What the engine's server is asked, with what the policy says and nothing that the client said about it."""
    body: dict[str, Any] = request.model_dump(exclude={"unsee", "metadata", "messages"}, exclude_none=True)
    body["messages"] = conversation(request)
    body |= {"vllm_xargs": dict(extras), "add_special_tokens": special_tokens}
    if salt is not None:
        body["cache_salt"] = salt
    return json.dumps(body).encode()


def schema(title: str, version: str) -> dict[str, Any]:
    """The server's OpenAPI description."""
    made = ChatRequest.model_json_schema(ref_template="#/components/schemas/{model}")
    parts: Mapping[str, Any] = made.pop("$defs")
    error = {
        "type": "object",
        "required": ["error"],
        "properties": {"error": {"type": "object", "required": ["message", "type", "code"]}},
    }
    refused = {"content": {"application/json": {"schema": error}}}
    answers: dict[str, Any] = {
        str(status): {"description": text, **refused}
        for status, text in (
            (400, "Not a request that is answered here"),
            (401, "No API key, or an unknown one"),
            (404, "Unknown model or erasure"),
            (409, "An erasure that is not verified yet"),
            (410, "An erasure that was revoked"),
            (408, "Not complete in time"),
            (413, "Too large"),
            (415, "Not JSON"),
            (429, "Too much at once"),
            (503, "What is in force cannot be read, so nothing is answered"),
        )
    }
    ok = {"200": {"description": "An answer", "content": {"application/json": {}, "text/event-stream": {}}}}
    chat = {
        "operationId": "chat",
        "requestBody": {"required": True, "content": {"application/json": {"schema": made}}},
        "responses": ok | answers,
    }
    works = {"200": {"description": "OK"}}
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "paths": {
            "/v1/chat/completions": {"post": chat},
            "/v1/models": {"get": {"operationId": "models", "responses": {**works, "401": answers["401"]}}},
            "/health": {"get": {"operationId": "health", "responses": works}},
            "/ready": {"get": {"operationId": "ready", "responses": {**works, "503": {"description": "Not ready"}}}},
        },
        "components": {"schemas": dict(parts)},
    }


def _message(turn: Turn) -> dict[str, Any]:
    if isinstance(turn, UserTurn):
        return turn.model_dump(exclude_none=True)
    # One string, because many chat templates take no parts here; joined as vLLM joins them.
    words = turn.content or ""
    return {"role": turn.role, "content": words if isinstance(words, str) else "\n".join(part.text for part in words)}


def _texts(request: ChatRequest) -> Iterator[str]:
    for turn in request.messages:
        content = turn.content or ""
        yield from [content] if isinstance(content, str) else [p.text for p in content if isinstance(p, TextPart)]


def _no_constant(name: str) -> float:
    raise ValueError(name)
