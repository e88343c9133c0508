"""A model behind any OpenAI-compatible address, `unsee serve` among them."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from unsee.data.prompts import chat
from unsee.data.sample import ImageFile, Sample
from unsee.errors import OptionError
from unsee.evals.answerers.base import PLAIN, How
from unsee.evals.chat import Chat, EndpointError
from unsee.models.load import LoadedModel


@final
@dataclass(frozen=True, eq=False)
class Endpoint:
    """Chat completions, one request a question.

    Attributes:
        chat: address, model, key and patience.
    """

    chat: Chat

    @property
    def about(self) -> Mapping[str, Any]:
        """Address and model; what it runs is not known, so nothing says that two runs met the same weights."""
        return {
            "engine": "endpoint",
            "model": {"id": self.chat.model, "revision": None, "digest": None},
            "url": self.chat.url,
        }

    @property
    def loaded(self) -> LoadedModel | None:
        """Nobody can reach it."""
        return None

    def order(self, samples: Sequence[Sample], how: How) -> list[int]:
        """As given."""
        del how
        return list(range(len(samples)))

    def answers(self, samples: Sequence[Sample], how: How = PLAIN, begun: Sequence[str] = ()) -> list[str]:
        """As `Answerer.answers`.

        Raises:
            OptionError: a release's own string is to be fed.
            MissingExtraError: openai is not installed.
            EndpointError: not reachable, refused, or no text.
        """
        if how.verbatim:
            raise OptionError("an endpoint writes its own template, so no release's string can be fed. Ask honestly.")
        drawn: dict[str, Any] = {"temperature": 0.0}
        if how.draw is not None:
            heat = how.draw.temperature
            drawn = {"seed": how.draw.seed, "temperature": 1.0 if heat is None else heat}
        answers = []
        for row, sample in enumerate(samples):
            first = begun[row] if begun else ""
            text = self.chat.say(
                messages_of(sample, how, first),
                max_tokens=how.max_new_tokens,
                extra_body={"continue_final_message": True, "add_generation_prompt": False} if first else None,
                **drawn,
            )
            if text is None:
                raise EndpointError(
                    f"{self.chat.model!r} at {self.chat.url} gave no text to {sample.id!r}. See its log."
                )
            answers.append(text.strip())
        return answers


def messages_of(sample: Sample, how: How, first: str = "") -> list[dict[str, Any]]:
    """OpenAI's chat shape, images as data URLs in the order of their places."""
    shown = iter(sample.shown)
    messages: list[dict[str, Any]] = []
    for message in chat(sample, how.style):
        content = message["content"]
        if isinstance(content, str):
            messages.append({"role": message["role"], "content": content})
            continue
        parts = [_part(part, shown) for part in content]
        messages.append({"role": message["role"], "content": parts})
    return [*messages, {"role": "assistant", "content": first}] if first else messages


def _part(part: Mapping[str, str], shown: Any) -> dict[str, Any]:
    if part["type"] == "text":
        return {"type": "text", "text": part["text"]}
    if part["type"] == "image":
        return {"type": "image_url", "image_url": {"url": _data_url(next(shown))}}
    raise OptionError("an endpoint is not asked about video. Ask about one of its frames as an image.")


def _data_url(image: ImageFile) -> str:
    source = image.source if isinstance(image.source, bytes) else image.source.read_bytes()
    kind = "png" if source[:4] == b"\x89PNG" else "webp" if source[8:12] == b"WEBP" else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(source).decode()}"
