"""MLLMU-Bench's demonstrations, from samples made by hand."""

import pytest

from unsee.data.benchmarks.few_shot import demonstrations
from unsee.data.sample import ImageFile, Sample
from unsee.errors import OptionError

FOUR = {"A": "Tarn", "B": "Moss", "C": "Lund", "D": "Vik"}


def full(*people: str) -> list[Sample]:
    found = []
    for person in people:
        face = ImageFile(person, person.encode())
        found += [
            Sample(f"{person}/0", person, f"Where is {person}?", "B", "Moss", "classification", face, FOUR),
            Sample(f"{person}/1", person, f"Where does {person} live?", "C", "Lund", "classification", None, FOUR),
            Sample(f"{person}/2", person, f"{person} lives in __.", "Moss", "Moss", "cloze", face),
            Sample(f"{person}/3", person, f"{person} has a __.", "cat", "cat", "cloze"),
            Sample(f"{person}/4", person, "Tell.", "A life.", "A life."),
        ]
    return found


def test_multiple_choice_as_the_release_writes_it() -> None:
    shown = demonstrations(full("x"), full("x", "y"), "classification")
    assert shown.people == ("x",)
    assert shown.text["image"] == (
        "USER: <image>\nQuestion: Where is x?\nA: Tarn\nB: Moss\nC: Lund\nD: Vik\nCorrect Answer: B\n"
    )
    assert shown.text["text"] == (
        "USER:\nQuestion: Where does x live?\nA: Tarn\nB: Moss\nC: Lund\nD: Vik\nCorrect Answer: C\n"
    )
    assert [image.id for image in shown.images] == ["x"]


def test_cloze_as_the_release_writes_it() -> None:
    shown = demonstrations(full("x", "y"), full("x", "y"), "cloze", people=2, seed=5)
    tail = "\nPlease **ONLY** provide the correct answer that should replace the [Blank].\nCorrect Answer: "
    assert shown.text["image"] == "".join(f"USER:<image>\n{p} lives in [Blank].{tail}Moss\n" for p in "xy")
    assert shown.text["text"] == "".join(f"USER:\n{p} has a [Blank].{tail}cat\n" for p in "xy")
    # Rows come in Full_Set's order, whatever the order of the draw.
    assert [image.id for image in shown.images] == ["x", "y"]


def test_who_was_shown_is_not_asked() -> None:
    asked = full("x", "y", "z")
    shown = demonstrations(asked, asked, "classification", seed=1)
    assert {sample.subject for sample in shown.rest(asked)} == {"x", "y", "z"} - set(shown.people)


def test_the_draw_is_seeded() -> None:
    asked = full(*"abcdefgh")
    draws = {demonstrations(asked, asked, "cloze", 2, seed).people for seed in range(20)}
    assert len(draws) > 5
    assert demonstrations(asked, asked, "cloze", 2, 3) == demonstrations(asked, asked, "cloze", 2, 3)


@pytest.mark.parametrize("people", [0, 2])
def test_as_many_as_there_are(people: int) -> None:
    with pytest.raises(OptionError, match=rf"people is {people}, expected 1 to 1"):
        demonstrations(full("x"), full("x"), "cloze", people)
