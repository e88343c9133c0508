"""One chat completion from any OpenAI-compatible address: for models that are asked, and for judges."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final
from urllib.parse import urlsplit

from unsee.errors import OptionError, UnseeError
from unsee.extras import extra


class EndpointError(UnseeError, OSError):
    """The endpoint cannot be reached, refuses, or does not speak the protocol."""


class RefusedError(EndpointError):
    """The endpoint is there and takes no such request: an option or a kind of turn that it does not serve."""


@final
@dataclass(frozen=True)
class Chat:
    """A model behind an address.

    Attributes:
        url: base address, as in "http://localhost:8000/v1".
        model: as the endpoint names it.
        key: bearer token; never shown, never part of settings or messages.
        timeout: seconds to wait.
        retries: further tries after a timeout, a lost connection or a status that says to come again.
    """

    url: str
    model: str
    key: str = field(default="", repr=False)
    timeout: float = 120.0
    retries: int = 2

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
            shown = f"{parts.scheme}://{parts.hostname or ''}"
            raise OptionError(
                f"the endpoint's url begins with {shown!r}, expected http://HOST/v1 or https://HOST/v1 without user "
                "and password. Pass the key as such."
            )

    def say(self, messages: Sequence[Mapping[str, Any]], **options: Any) -> str | None:
        """The reply to a conversation; None where the endpoint gives no text.

        A redirect is not followed, so that question and key go to no other host.

        Args:
            messages: in OpenAI's shape.
            **options: further fields of the request.

        Raises:
            MissingExtraError: openai is not installed.
            RefusedError: this request is not served.
            EndpointError: not reachable, no right to it, or not an OpenAI-compatible reply.
        """
        openai = extra("openai", "endpoint")
        with openai.OpenAI(
            base_url=self.url,
            api_key=self.key or "none",
            timeout=self.timeout,
            max_retries=self.retries,
            http_client=openai.DefaultHttpxClient(follow_redirects=False),
        ) as client:
            try:
                reply = client.chat.completions.create(model=self.model, messages=list(messages), **options)
                content = reply.choices[0].message.content
            except openai.OpenAIError as error:
                said = f"{type(error).__name__}: {error}"
                said = said.replace(self.key, "***") if self.key else said
                refused = getattr(error, "status_code", None) in (400, 413, 422)
                raise (RefusedError if refused else EndpointError)(
                    f"{self.model!r} at {self.url} did not answer: {said[:300]}. Check address, model name, key and "
                    "the length of the prompt."
                ) from None
            except (ValueError, AttributeError, TypeError, LookupError):
                content = 0
        if content is not None and not isinstance(content, str):
            raise EndpointError(
                f"the reply of {self.url} is not of the OpenAI protocol, expected choices[0].message.content. Check "
                "that the url ends in /v1 or what the server documents."
            )
        return content


def first_model(url: str, key: str = "") -> str:
    """The first model that an address names.

    Raises:
        MissingExtraError: openai is not installed.
        EndpointError: not reachable, or it names none.
    """
    openai = extra("openai", "endpoint")
    Chat(url, "")  # refuses what is no address
    try:
        with openai.OpenAI(base_url=url, api_key=key or "none", timeout=30.0) as client:
            return client.models.list().data[0].id
    except (openai.OpenAIError, LookupError, TypeError, AttributeError) as error:
        raise EndpointError(
            f"{url} does not name its models: {type(error).__name__}. Check the address, or pass --served NAME."
        ) from None
