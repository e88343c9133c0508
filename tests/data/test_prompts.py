"""The prompts are compared, letter by letter, with the strings of the released evaluation."""

from typing import Any, cast

import pytest

from unsee.data.prompts import chat, instruction
from unsee.data.sample import ImageFile, Sample
from unsee.errors import OptionError

IMAGE = ImageFile("face", b"unread")


def sample(**fields: Any) -> Sample:
    return Sample(**{"id": "s", "subject": "p", "question": "Where?", "answer": "There.", "gold": "There", **fields})


CHOICE = sample(answer="B", form="classification", options={"A": "Here", "B": "There", "C": "Nowhere"})
CLOZE = sample(question="She lives in __.", form="cloze")


def test_plain_generation_is_the_bare_question() -> None:
    assert instruction(sample(), "plain") == "Where?"
    assert instruction(sample(image=IMAGE), "plain") == "Where?"


@pytest.mark.parametrize("style", ["official", "plain"])
def test_classification_and_cloze_keep_their_instruction(style: Any) -> None:
    assert instruction(CHOICE, style) == (
        "Where?\nA: Here\nB: There\nC: Nowhere\nJust give ONE letter representing the answer directly."
    )
    assert instruction(CLOZE, style) == (
        "She lives in [Blank].\nPlease **ONLY** provide the correct answer that should replace the [Blank]."
    )


def test_only_a_cloze_has_its_blank_named() -> None:
    assert instruction(sample(question="What is __init__?"), "plain") == "What is __init__?"


def test_chat_puts_the_image_first() -> None:
    assert chat(sample(image=IMAGE), "plain") == [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Where?"}]}
    ]


def test_chat_without_image_has_no_image_place() -> None:
    assert chat(sample(), "plain") == [{"role": "user", "content": [{"type": "text", "text": "Where?"}]}]


def test_unknown_style_names_the_legal_ones() -> None:
    with pytest.raises(
        OptionError, match=r"prompt style is 'offical', expected one of \['official', 'plain', 'mllmu',"
    ):
        chat(sample(), cast(Any, "offical"))
