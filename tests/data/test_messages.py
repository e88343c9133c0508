"""Conversations in OpenAI's and LLaVA's shapes, from the line to the prompt of every family."""

import base64
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tiny_families import FAMILIES, sees
from unsee.data import ImageFile, Sample, chat, read_jsonl, write_jsonl
from unsee.errors import DataError
from unsee.models.generate import encode, generate, render


def png(colour: str) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (16, 16), colour).save(stream, "PNG")
    return stream.getvalue()


BLUE = "data:image/png;base64," + base64.b64encode(png("blue")).decode()
MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": "be brief."},
    {"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "red.png"}}, {"type": "text", "text": "who is this?"},
    ]},
    {"role": "assistant", "content": [{"type": "text", "text": "ada."}]},
    {"role": "user", "content": [
        {"type": "text", "text": "and this"}, {"type": "image_url", "image_url": BLUE},
        {"type": "text", "text": "is it her?"},
    ]},
]  # fmt: skip


def read(tmp_path: Path, **record: Any) -> list[Sample]:
    (tmp_path / "red.png").write_bytes(png("red"))
    (tmp_path / "data.jsonl").write_text(json.dumps({"subject": "p", **record}) + "\n")
    return read_jsonl(tmp_path)


def colours(sample: Sample) -> list[object]:
    return [image.load().getpixel((0, 0)) for image in sample.shown]


def test_openai_messages(tmp_path: Path) -> None:
    (sample,) = read(tmp_path, messages=MESSAGES, answer="yes.")
    assert (sample.question, sample.answer) == ("is it her?", "yes.")
    assert colours(sample) == [(255, 0, 0), (0, 0, 255)]
    assert sample.image == sample.shown[0]
    assert [(turn.role, len(turn.parts)) for turn in sample.turns] == [
        ("system", 1), ("user", 2), ("assistant", 1), ("user", 3),
    ]  # fmt: skip
    kinds = [[part["type"] for part in message["content"]] for message in chat(sample, "plain")]
    assert kinds == [["text"], ["image", "text"], ["text"], ["text", "image", "text"]]


def test_the_last_answer_is_the_one_that_was_taught(tmp_path: Path) -> None:
    (sample,) = read(tmp_path, messages=[*MESSAGES, {"role": "assistant", "content": "yes."}])
    assert (sample.question, sample.answer, sample.gold) == ("is it her?", "yes.", "yes.")


def test_llava_conversations(tmp_path: Path) -> None:
    turns = [
        {"from": "human", "value": "<image>\nwho is this?"}, {"from": "gpt", "value": "ada."},
        {"from": "human", "value": "is <image> her?"}, {"from": "gpt", "value": "yes."},
    ]  # fmt: skip
    (sample,) = read(tmp_path, conversations=turns, image=["red.png", "red.png"])
    assert (sample.question, sample.answer, len(sample.shown)) == ("her?", "yes.", 2)
    assert [part if isinstance(part, str) else None for part in sample.turns[2].parts] == ["is", None, "her?"]


def test_there_and_back(tmp_path: Path) -> None:
    (sample,) = read(tmp_path, messages=MESSAGES, answer="yes.", gold=["yes", "it is"])
    (again,) = read_jsonl(write_jsonl([sample], tmp_path / "again"))
    assert chat(again, "plain") == chat(sample, "plain")
    assert (again.accepted, colours(again)) == (sample.accepted, colours(sample))


@pytest.mark.parametrize(
    ("record", "field"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [7]}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, r"messages\[0\].role"),
        ({"messages": [{"role": "user", "content": None}]}, r"messages\[0\].content"),
        ({"messages": [{"role": "user", "content": [{"type": "audio"}]}]}, r"content\[0\].type"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "red.png"}]}]}, "last question"),
        ({"messages": [{"role": "system", "content": "x"}]}, "last question"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "last question"),
        ({"messages": MESSAGES, "question": "who?"}, "the question"),
        ({"messages": MESSAGES, "image": "red.png"}, "image or video"),
        *(
            ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": url}]}]}, "image_url")
            for url in ("https://example.com/a.png", "../x.png", "no.png", "data:image/png;base64,AAAA", "data:,a", 7)
        ),
        ({"conversations": [{"from": "human", "value": "<image> who?"}]}, "the number of <image>"),
        ({"conversations": [{"from": "human", "value": "who?"}], "image": "red.png"}, "the number of <image>"),
        ({"conversations": [{"from": "bot", "value": "who?"}]}, r"conversations\[0\].from"),
    ],
)
def test_a_wrong_conversation_is_told_by_line_and_field(record: dict[str, Any], field: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"line 1.*{field}"):
        read(tmp_path, **{"answer": "a", **record})


def test_an_image_that_the_turns_do_not_show_is_refused(tmp_path: Path) -> None:
    (sample,) = read(tmp_path, messages=MESSAGES, answer="yes.")
    with pytest.raises(DataError, match="image to be their first"):
        replace(sample, image=ImageFile("other", png("green")))


@pytest.mark.parametrize("family", list(FAMILIES))
def test_every_family_is_asked_as_its_own_template_writes_it(family: str, tmp_path: Path) -> None:
    loaded = FAMILIES[family](0)
    messages = json.loads(json.dumps(MESSAGES))
    if not sees(loaded):
        for message in messages:
            if isinstance(message["content"], list):
                message["content"] = [part for part in message["content"] if part["type"] == "text"]
    (sample,) = read(tmp_path, messages=messages, answer="yes.")
    for message in messages:
        if isinstance(message["content"], str):
            message["content"] = [{"type": "text", "text": message["content"]}]
        message["content"] = [p if p["type"] == "text" else {"type": "image"} for p in message["content"]]
        if not sees(loaded):
            message["content"] = [{"type": "text", "text": "\n".join(p["text"] for p in message["content"])}]
    own = loaded.processor.apply_chat_template(messages, add_generation_prompt=True)
    assert render(loaded, [sample]) == [own]
    marker = loaded.adapter.image_token(loaded.processor)
    assert marker is None or own.count(marker) == 2
    one = Sample("one", "q", "who?", "", "")
    alone, both = (encode(loaded, asked) for asked in ([sample], [one, sample]))
    width = alone["input_ids"].shape[1]
    assert both["input_ids"][1, -width:].tolist() == alone["input_ids"][0].tolist()
    assert len(generate(loaded, [sample, one], max_new_tokens=2)) == 2
