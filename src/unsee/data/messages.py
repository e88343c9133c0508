"""Conversations in the field's two shapes: OpenAI's `messages` and LLaVA's `conversations`, read strictly as turns."""

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final, Literal

from unsee.data.images import header
from unsee.data.records import reject, text
from unsee.data.sample import ImageFile, Turn
from unsee.errors import ImageError

Opened = Callable[[object, str], ImageFile]
"""The image of a relative path or of bytes, and the field that names it."""
_PLACE: Final = "<image>"
_SPEAKERS: Final[Mapping[str, Literal["system", "user", "assistant"]]] = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
}


def openai_turns(messages: object, images: Sequence[ImageFile], opened: Opened, at: str) -> list[Turn]:
    """Turns of OpenAI's chat format: content as text or as parts, `image_url` as a data URL or a relative path.

    Args:
        messages: the list of messages.
        images: those of the record beside them, for parts of type `image` alone, in order.
        opened: reads an image that a part names.
        at: where the record is.

    Raises:
        DataError: names the message and the field.
    """
    turns, rest = [], list(images)
    for n, message in enumerate(_entries(messages, "messages", at)):
        role, content = message.get("role"), message.get("content")
        if role not in ("system", "user", "assistant"):
            reject(at, f"messages[{n}].role", role, "system, user or assistant")
        field = f"messages[{n}].content"
        if isinstance(content, list):
            given = enumerate(_entries(content, field, at))
            parts = [_part(part, f"{field}[{m}]", rest, opened, at) for m, part in given]
        else:
            parts = [text({field: content}, field, at)]
        if role != "user" and any(isinstance(part, ImageFile) for part in parts):
            reject(at, field, "an image", f"text alone in a turn of the {role}")
        turns.append(Turn(role, _merged(parts)))
    if rest:
        reject(at, "image or video", f"{len(rest)} beside messages", "as many parts of type image in the messages")
    return turns


def llava_turns(conversations: object, images: Sequence[ImageFile], at: str) -> list[Turn]:
    """Turns of LLaVA's format: `from` and `value`, with `<image>` where an image is shown, and the record's `image`.

    Raises:
        DataError: names the turn and the field, or there are not as many places as images.
    """
    rest, turns, places = iter(images), [], 0
    for n, entry in enumerate(_entries(conversations, "conversations", at)):
        speaker = entry.get("from")
        if not isinstance(speaker, str) or speaker not in _SPEAKERS:
            reject(at, f"conversations[{n}].from", speaker, f"one of {list(_SPEAKERS)}")
        said = text({"value": entry.get("value")}, "value", f"{at}, conversations[{n}]").split(_PLACE)
        places += len(said) - 1
        if places > len(images) or (len(said) > 1 and _SPEAKERS[speaker] != "user"):
            reject(at, f"the number of {_PLACE}", places, f"{len(images)}, as many as images, in turns of the user")
        parts: list[str | ImageFile] = [said[0].strip()]
        for words in said[1:]:
            parts += [next(rest), words.strip()]
        turns.append(Turn(_SPEAKERS[speaker], _merged(parts)))
    if places != len(images):
        reject(at, f"the number of {_PLACE}", places, f"{len(images)}, as many as images")
    return turns


def to_openai(turns: Sequence[Turn], place: Callable[[ImageFile], str]) -> list[dict[str, Any]]:
    """The turns in OpenAI's chat format, each image under the URL or path that `place` gives it."""
    return [
        {
            "role": turn.role,
            "content": [
                {"type": "text", "text": part}
                if isinstance(part, str)
                else {"type": "image_url", "image_url": {"url": place(part)}}
                for part in turn.parts
            ],
        }
        for turn in turns
    ]


def _part(part: Mapping[str, Any], field: str, rest: list[ImageFile], opened: Opened, at: str) -> str | ImageFile:
    if part.get("type") == "image" and rest:
        return rest.pop(0)
    if part.get("type") == "text":
        return text({f"{field}.text": part.get("text")}, f"{field}.text", at)
    if part.get("type") != "image_url":
        reject(at, f"{field}.type", part.get("type"), "text or image_url")
    named = part.get("image_url")
    field = f"{field}.image_url"
    url = text({field: named.get("url") if isinstance(named, Mapping) else named}, field, at)
    if url.lower().startswith("data:"):
        return _inline(url, field, at)
    if "://" in url or url.startswith("//"):
        reject(at, field, url, "a data URL or a relative path; nothing is fetched from addresses")
    return opened(url, field)


def _inline(url: str, field: str, at: str) -> ImageFile:
    head, _, body = url.partition(",")
    try:
        if not head.lower().endswith(";base64"):
            raise ValueError("no base64")
        data = base64.b64decode(body, validate=True)
        # Named by content, so that the same image has the same name everywhere.
        image = ImageFile(f"data:{sha256(data).hexdigest()[:16]}", data)
        header(data, image.id)
    except (binascii.Error, ValueError, ImageError) as error:
        reject(at, field, url, f"a data URL of an image in base64 ({error})")
    return image


def _merged(parts: Sequence[str | ImageFile]) -> tuple[str | ImageFile, ...]:
    """Texts that follow each other as one, on lines of their own, as servers put them."""
    found: list[str | ImageFile] = []
    for part in parts:
        if isinstance(part, str) and found and isinstance(before := found[-1], str):
            found[-1] = f"{before}\n{part}"
        elif part:
            found.append(part)
    return tuple(found)


def _entries(value: object, field: str, at: str) -> list[Mapping[str, Any]]:
    if not isinstance(value, list) or not value or not all(isinstance(entry, Mapping) for entry in value):
        reject(at, field, value, "a list of at least one object")
    return value
