"""The words around a bare question: one user turn per form, as a benchmark's released evaluation asks it, or a user.

Readers keep the bare question, so that the same sample can be asked as the benchmark does ("official", or the name of
any benchmark of `RELEASED`) or as a user would ("plain"). Few-shot demonstrations are left out on purpose: the released
script of MLLMU-Bench draws them, unseeded, from the people under evaluation, whose answers then stand in the prompt.
"""

from collections.abc import Sequence
from typing import Literal, get_args

from unsee.data.benchmarks.released_prompts import RELEASED
from unsee.data.sample import ImageFile, Sample, Turn
from unsee.errors import OptionError

Style = Literal[
    "official", "plain",
    "mllmu", "clear", "clear-choice", "umu", "fiubench", "safeeraser", "offside", "offside-qwen", "unlok",
]  # fmt: skip
Content = list[dict[str, str]]
Message = dict[str, str | Content]


def instruction(sample: Sample, style: Style = "official") -> str:
    """The text of the user turn: question, options where there are any, and the form's instruction.

    `plain` asks a generation question bare. A classification or a cloze keeps its instruction, since without
    it nobody could tell that a letter or a word is wanted.

    Args:
        sample: the bare question.
        style: "plain" for a user's wording, the name of a benchmark for its release's, "official" for MLLMU-Bench's.

    Raises:
        OptionError: `style` is none of these.
    """
    if style not in get_args(Style):
        raise OptionError(f"prompt style is {style!r}, expected one of {list(get_args(Style))}. Pass one of these.")
    if style == "plain" and sample.form == "generation":
        return sample.question
    return RELEASED["mllmu" if style in ("official", "plain") else style].user(sample)


def chat(sample: Sample, style: Style = "official") -> list[Message]:
    """The sample as chat messages for `processor.apply_chat_template`: the image's or video's place, then the text.

    What is shown is passed to the processor beside the rendered text; where there are earlier turns it is shown
    with the first of them.

    Raises:
        OptionError: `style` is not one of the legal ones.
    """
    if sample.turns:
        return _whole(sample.turns, instruction(sample, style))
    turns: list[tuple[str, str]] = []
    for question, answer in sample.earlier:
        turns += [("user", question), ("assistant", answer)]
    turns.append(("user", instruction(sample, style)))
    contents: list[Content] = [[{"type": "text", "text": text}] for _, text in turns]
    if sample.image is not None:
        contents[0].insert(0, {"type": "image"})
    if sample.video:
        contents[0].insert(0, {"type": "video"})
    return [{"role": role, "content": content} for (role, _), content in zip(turns, contents, strict=True)]


def _whole(turns: Sequence[Turn], asked: str) -> list[Message]:
    messages: list[Message] = []
    for turn in turns:
        parts: list[str | ImageFile] = list(turn.parts)
        if turn is turns[-1]:
            parts[max(place for place, part in enumerate(parts) if isinstance(part, str))] = asked
        content: Content = [{"type": "text", "text": p} if isinstance(p, str) else {"type": "image"} for p in parts]
        messages.append({"role": turn.role, "content": content})
    return messages
