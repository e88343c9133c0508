"""A running `unsee serve`, asked as its clients ask it."""

import base64
import io
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, final

import httpx
from openai import AsyncOpenAI, OpenAIError

from unsee.data import ImageFile
from unsee.data.messages import to_openai
from unsee.data.sample import Turn
from unsee.errors import UnseeError
from unsee.ui.answer import Answered, How


@final
class ServerError(UnseeError):
    """The server did not answer, or refused."""


@final
@dataclass(frozen=True)
class Served:
    """An OpenAI-shaped server.

    Attributes:
        address: without `/v1`.
        key: of the tenant that asks.
    """

    address: str
    key: str

    async def answer(
        self, turns: Sequence[Turn], how: How, tell: Callable[[str], None], stop: threading.Event
    ) -> Answered:
        """As `Engine.answer`; what is in force is the server's to say, and it does not tell.

        Raises:
            ServerError: nobody answers there, or the request is refused.
        """
        pieces: list[str] = []
        try:
            async with AsyncOpenAI(base_url=f"{self.address.rstrip('/')}/v1", api_key=self.key) as client:
                model = (await client.models.list()).data[0].id
                options: dict[str, Any] = {"max_tokens": how.tokens, "temperature": how.temperature, "seed": how.seed}
                messages: Any = to_openai(turns, _data_url)
                answer = await client.chat.completions.create(model=model, messages=messages, stream=True, **options)
                async for event in answer:
                    if stop.is_set():
                        await answer.close()
                        break
                    if event.choices and (piece := event.choices[0].delta.content):
                        pieces.append(piece)
                        tell(piece)
        except (OpenAIError, httpx.HTTPError, IndexError, ValueError) as error:  # also where it dies in mid-answer
            raise ServerError(
                f"{self.address} does not answer this: {str(error).rstrip('.')}. Check address, key and 'unsee serve'."
            ) from error
        return Answered("".join(pieces).strip(), (), stopped=stop.is_set())


def _data_url(image: ImageFile) -> str:
    """What the library's decoder sees."""
    buffer = io.BytesIO()
    image.load().save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
