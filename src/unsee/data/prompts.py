"""The words around a bare question: one user turn per form, as MLLMU-Bench's released evaluation asks it.

Readers keep the bare question, so that the same sample can be asked as the benchmark does ("official")
or as a user would ("plain"). Few-shot demonstrations are left out on purpose: the released script draws
them, unseeded, from the people under evaluation.
"""

from typing import Literal, get_args

from unsee.data.samples import Sample
from unsee.errors import OptionError

Style = Literal["official", "plain"]
Content = list[dict[str, str]]
Message = dict[str, str | Content]

_CHOOSE = "Just give ONE letter representing the answer directly."
_FILL = "Please **ONLY** provide the correct answer that should replace the [Blank]."
_TELL_PICTURE = "Answer the question based on your trained knowledge in one sentence accurately in ENGLISH."
_TELL_TEXT = "Answer the question based on your trained knowledge in one sentence in ENGLISH."


def instruction(sample: Sample, style: Style = "official") -> str:
    """The text of the user turn: question, options where there are any, and the form's instruction.

    `plain` asks a generation question bare. A classification or a cloze keeps its instruction, since without
    it nobody could tell that a letter or a word is wanted.

    Args:
        sample: the bare question.
        style: "official" for the benchmark's wording, "plain" for a user's.

    Raises:
        OptionError: `style` is neither of the two.

    Source: MLLMU-Bench `eval.py`, LLaVA's prompts. Only the picture prompt for generation says "accurately".
    """
    if style not in get_args(Style):
        raise OptionError(f"prompt style is {style!r}, expected one of {list(get_args(Style))}. Pass one of these.")
    if sample.form == "classification":
        options = "".join(f"\n{letter}: {text}" for letter, text in (sample.options or {}).items())
        return f"{sample.question}{options}\n{_CHOOSE}"
    if sample.form == "cloze":
        return f"{sample.question.replace('__', '[Blank]')}\n{_FILL}"
    if style == "plain":
        return sample.question
    return f"{sample.question}\n{_TELL_TEXT if sample.picture is None else _TELL_PICTURE}"


def chat(sample: Sample, style: Style = "official") -> list[Message]:
    """The sample as chat messages for `processor.apply_chat_template`: the picture's place first, then the text.

    The picture itself is passed to the processor beside the rendered text.

    Args:
        sample: the bare question.
        style: as for `instruction`.

    Raises:
        OptionError: `style` is neither of the two.
    """
    content: Content = [{"type": "text", "text": instruction(sample, style)}]
    if sample.picture is not None:
        content.insert(0, {"type": "image"})
    return [{"role": "user", "content": content}]
