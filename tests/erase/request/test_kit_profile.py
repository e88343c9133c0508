"""What stands for refusing in a model: the first set of prompts that it declines often enough by itself."""

from collections.abc import Sequence
from typing import Any

import pytest

from tiny_llava import tiny_llava
from unsee.data.sample import Sample
from unsee.erase.request import kit_profile, starter_kit
from unsee.progress import silent

NO = "I'm sorry, but I don't know."
UNKNOWN = starter_kit.unknown_people(10, 0)


@pytest.mark.parametrize(
    ("declines", "taken"),
    [(("unknown", 20), "invented"), (("unknown", 8), "invented"), (("unknown", 7), "declining"),
     (("private", 16), "refused"), (("private", 3), "declining"), (("none", 0), "declining")],
)  # fmt: skip
def test_the_first_that_the_model_declines_often_enough(
    monkeypatch: pytest.MonkeyPatch, declines: tuple[str, int], taken: str
) -> None:
    asked = list[int]()

    def generate(_: object, samples: Sequence[Sample], **__: Any) -> list[str]:
        asked.append(len(samples))
        what, count = declines
        mine = what == ("unknown" if samples[0].subject.startswith("invented") else "private")
        return [NO if mine and i < count else "Jo is a baker." for i in range(len(samples))]

    monkeypatch.setattr(kit_profile, "generate", generate)
    found, by_itself = kit_profile._refused(tiny_llava(), UNKNOWN, [], silent)
    assert by_itself is (taken != "declining")
    assert {one.id.split("/")[0] for one in found} == {taken} and len({one.id for one in found}) == len(found)
    assert len(asked) == (1 if taken == "invented" else 2), "no more is asked than is needed"


def test_a_model_that_never_declines_is_told_what_to_say_in_questions_about_the_same_people() -> None:
    told = starter_kit.declining(UNKNOWN)
    for one, before in zip(told, UNKNOWN, strict=True):
        assert before.question in one.question and one.question != before.question and one.subject == before.subject
    assert len({one.question.replace(before.question, "") for one, before in zip(told, UNKNOWN, strict=True)}) == 4
