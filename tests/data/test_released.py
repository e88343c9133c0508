"""Released prompts, letter by letter: the expected strings are typed from the scripts, not built from our parts."""

import random
from typing import Any, get_args

import pytest

from unsee.data import RELEASED, chat, instruction, whole_prompt
from unsee.data.prompts import Style
from unsee.data.sample import ImageFile, Sample
from unsee.errors import OptionError
from unsee.registry import BENCHMARKS

FACE = ImageFile("face", b"unread")


def sample(**fields: Any) -> Sample:
    return Sample(
        **{
            "id": "s",
            "subject": "p",
            "question": "Where does Ada Roe live?",
            "answer": "Moss.",
            "gold": "Moss",
            **fields,
        }
    )


def choice(image: ImageFile | None = None) -> Sample:
    return sample(
        answer="B", form="classification", options={"A": "Tarn", "B": "Moss", "C": "Lund", "D": "Vik"}, image=image
    )


def cloze(image: ImageFile | None = None) -> Sample:
    return sample(question="Ada Roe lives in __.", form="cloze", image=image)


Q = "Where does Ada Roe live?"
LISTED = "A: Tarn\nB: Moss\nC: Lund\nD: Vik"
STEM = "The name of the person on the image is "
LETTER = "Just give ONE letter representing the answer directly."
HUMAN = (
    "A chat between a curious human and an artificial intelligence assistant. The assistant gives helpful, detailed, "
    "and polite answers to the human's questions. "
)


@pytest.mark.parametrize(
    ("benchmark", "asked", "whole"),
    [
        ("mllmu", choice(FACE), f"USER: <image>\n{Q}\n{LISTED}\n{LETTER}\nASSISTANT:"),
        ("mllmu", choice(), f"USER:\n{Q}\n{LISTED}\n{LETTER}\nASSISTANT:"),
        (
            "mllmu",
            cloze(FACE),
            "USER: <image>\nAda Roe lives in [Blank].\nPlease **ONLY** provide the correct answer that should replace "
            "the [Blank].\nASSISTANT:",
        ),
        (
            "mllmu",
            cloze(),
            "USER:\nAda Roe lives in [Blank].\nPlease **ONLY** provide the correct answer that should replace the "
            "[Blank].\nASSISTANT:",
        ),
        (
            "mllmu",
            sample(image=FACE),
            f"USER: <image>\n{Q}\nAnswer the question based on your trained knowledge in one sentence accurately in "
            "ENGLISH.\nASSISTANT: ",
        ),
        (
            "mllmu",
            sample(),
            f"USER: {Q}\nAnswer the question based on your trained knowledge in one sentence in ENGLISH.\nASSISTANT:",
        ),
        ("umu", choice(FACE), f"USER: <image>\n{Q}\nSelect answer in ['Tarn', 'Moss', 'Lund', 'Vik']\nASSISTANT:"),
        ("umu", choice(), f"USER:\n{Q}\nSelect answer in ['Tarn', 'Moss', 'Lund', 'Vik']\nASSISTANT:"),
        (
            "umu",
            cloze(FACE),
            "USER: <image>\nAda Roe lives in __.\nPlease **ONLY** provide the correct answer without any explanation\n"
            "ASSISTANT:",
        ),
        (
            "umu",
            cloze(),
            "USER: Ada Roe lives in __.\nPlease **ONLY** provide the correct answer without any explanation\n"
            "ASSISTANT:",
        ),
        (
            "umu",
            sample(),
            f"USER: {Q}\nAnswer the question based on your trained knowledge in one sentence in ENGLISH.\nASSISTANT:",
        ),
        ("fiubench", sample(image=FACE), f"{HUMAN}USER: <image>\nWhere does ada roe live? ASSISTANT: "),
        (
            "safeeraser",
            sample(image=FACE),
            "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, "
            f"detailed, and polite answers to the user's questions. USER: <image>\n{Q} ASSISTANT:",
        ),
        (
            "unlok",
            sample(image=FACE),
            f"{HUMAN}USER: <image>\nAnswer the question in one word:\n Question: {Q} Answer: ASSISTANT:",
        ),
    ],
)
def test_the_whole_string_for_llava(benchmark: str, asked: Sample, whole: str) -> None:
    assert whole_prompt(asked, benchmark) == whole


@pytest.mark.parametrize(
    ("benchmark", "asked", "user"),
    [
        ("clear", sample(question=STEM, image=FACE), STEM),
        ("clear-choice", choice(FACE), f"{Q}\nA. Tarn\nB. Moss\nC. Lund\nD. Vik\n"),
        ("clear-choice", sample(), Q),
        ("safeeraser", sample(image=FACE), Q),
        (
            "offside",
            choice(FACE),
            f"{Q}\n\nPlease look at this image and answer the question by selecting the correct option from the "
            "choices below.\n\nPlease respond with only the letter of the correct answer (e.g., 'The answer is A' or "
            f"just 'A').\n\nOptions:\n{LISTED}\n\n",
        ),
        ("offside", sample(image=FACE), Q),
        ("offside-qwen", sample(image=FACE), f"<image>\n{Q}"),
        ("offside-qwen", sample(), Q),
        ("fiubench", sample(), "Where does ada roe live?"),
    ],
)  # fmt: skip
def test_the_users_turn(benchmark: Style, asked: Sample, user: str) -> None:
    assert instruction(asked, benchmark) == user
    assert chat(asked, benchmark)[0]["content"][-1] == {"type": "text", "text": user}


def test_umu_lists_options_as_python_prints_them() -> None:
    options = {"A": "Ada's", "B": 'the "Quill"', "C": "x", "D": "y"}
    asked = sample(answer="A", form="classification", options=options)
    assert instruction(asked, "umu").endswith(f"\nSelect answer in {list(options.values())!s}")


@pytest.mark.parametrize("name", ["clear", "offside", "clear-choice", "nonsense"])
def test_a_release_without_llava_prompt_says_so(name: str) -> None:
    with pytest.raises(OptionError, match=rf"no released LLaVA prompt for '{name}': expected one of \['mllmu', 'umu'"):
        whole_prompt(sample(), name)


def test_every_style_can_be_asked_and_every_benchmark_has_one() -> None:
    assert set(get_args(Style)) == {"official", "plain", *RELEASED}
    assert {one.facts["style"] for one in BENCHMARKS} <= {*RELEASED, "plain"}
    rng = random.Random(0)
    for style in get_args(Style):
        for asked in (choice(FACE), choice(), cloze(), sample(image=rng.choice([FACE, None]))):
            assert instruction(asked, style).strip()


def test_no_prompt_gives_the_answer_away() -> None:
    for style in get_args(Style):
        for asked in (sample(image=FACE), sample(), cloze()):
            assert asked.gold not in instruction(asked, style)
