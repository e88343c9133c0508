"""OFFSIDE: records written by hand in the released JSON, with nobody real in them."""

import json
from pathlib import Path
from typing import Any

import pytest

from drawn import png
from unsee.data import benchmark_task
from unsee.data.benchmarks.offside import read_offside
from unsee.errors import DataError, OptionError

Row = dict[str, Any]


def said(question: str, answer: str, path: str | None = "./finetune_set/001.jpg") -> Row:
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": turns, **({} if path is None else {"images": path})}


def choice(path: str = "./finetune_set/001.jpg", **change: Any) -> Row:
    options = {"A": "Tarn", "B": "Moss", "C": "Lund", "D": "Vik"}
    return {"Question": "Which club?", "Options": options, "Correct_Answer": "B", "images": path, **change}


def about(number: int, name: str | None, extra: int = 1) -> list[Row]:
    path = f"./finetune_set/{number:03d}.jpg"
    known = [said("<image>\nCan you identify the player?", f"The player in the image is {name}.", path)] if name else []
    return known + [said(f"<image>\nHow old ({n})?", "He is 28 years old.", path) for n in range(extra)]


def stored(folder: Path, name: str, *records: Row) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(list(records), ensure_ascii=False), encoding="utf-8")
    (folder / "finetune_set").mkdir(exist_ok=True)
    for number in range(30):
        (folder / "finetune_set" / f"{number:03d}.jpg").write_bytes(png(f"{number:03d}"))


def test_conversations(tmp_path: Path) -> None:
    stored(tmp_path, "retain_set", *about(1, "Ada Roe"), *about(2, None))
    name, age, other = (item.sample for item in read_offside(tmp_path, "retain_set"))
    assert (name.id, name.question) == ("retain_set/0", "Can you identify the player?")
    assert (age.question, age.answer, age.form) == ("How old (0)?", "He is 28 years old.", "generation")
    assert name.subject == age.subject != other.subject == "finetune_set/002"
    assert "roe" not in name.subject.lower()
    assert name.image is not None and name.image.source == tmp_path / "finetune_set" / "001.jpg"


@pytest.mark.parametrize(
    ("answer", "same"),
    [
        ("The player in the image is Ádám Bó.", True),
        ("The player in this image is Ádám Bó", True),
        ("The player's name is Ádám Bó.", True),
        ("The player in the image is celebrating.", False),
        ("He is 28 years old.", False),
    ],
)
def test_who_a_image_shows(tmp_path: Path, answer: str, same: bool) -> None:
    stored(tmp_path, "retain_set", *about(1, "Ádám Bó", 0), said("<image>\nWho?", answer, "./finetune_set/002.jpg"))
    first, second = (item.sample.subject for item in read_offside(tmp_path, "retain_set"))
    assert second == (first if same else "finetune_set/002")


def test_multiple_choice(tmp_path: Path) -> None:
    stored(tmp_path, "classification_forget_set", choice())
    (sample,) = (item.sample for item in read_offside(tmp_path, "classification_forget_set"))
    assert (sample.form, sample.answer, sample.gold, sample.subject) == (
        *("classification", "B", "Moss", "finetune_set/001"),
    )
    assert sample.image is not None


def test_a_file_without_images_is_text(tmp_path: Path) -> None:
    stored(tmp_path, "unimodal", said("How old is Ada Roe?", "28.", None), said("And Ben Sol?", "30.", None))
    assert [item.sample.image for item in read_offside(tmp_path, "unimodal")] == [None, None]


def test_one_missing_image_among_others_is_a_mistake(tmp_path: Path) -> None:
    stored(tmp_path, "retain_set", *about(1, "Ada Roe"), said("How old?", "28.", None))
    with pytest.raises(DataError, match=r"retain_set\.json, record 2: images is None, expected some text"):
        read_offside(tmp_path, "retain_set")


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        (said("How old?", "28."), "images is .*expected an image where the question begins with <image>"),
        ({"messages": [], "images": "./finetune_set/001.jpg"}, r"messages is \[\], expected a list of at least one"),
        ({"messages": [{"role": "user", "content": "q"}], "images": "./finetune_set/001.jpg"}, "one turn of the user"),
        ({**said("<image>\nq", "a"), "source": "x"}, "the name of a field is 'source'"),
        (said("<image>\nq", "a", "./finetune_set/999.jpg"), "images is .*expected an image in"),
        (said("<image>\nq", "a", "../001.jpg"), "images is .*expected a relative path inside"),
        (choice(Correct_Answer="E"), "Correct_Answer is 'E', expected one letter out of"),
        (choice(Options={"A": ["nested"]}), r"A is \['nested'\], expected some text"),
    ],
)
def test_a_wrong_record_is_told(tmp_path: Path, bad: Row, told: str) -> None:
    stored(tmp_path, "retain_set", *about(1, "Ada Roe", 0), bad)
    with pytest.raises(DataError, match=rf"retain_set\.json, record 1.*{told}"):
        read_offside(tmp_path, "retain_set")


def test_sets(tmp_path: Path) -> None:
    stored(tmp_path, "forget_set_part", *about(4, "Ada Roe"), *about(9, "Ben Sol"))
    stored(tmp_path, "classification_forget_set", choice("./finetune_set/004.jpg"), choice("./finetune_set/009.jpg"))
    kept = [about(n, f"Kept {chr(64 + n)}") for n in range(12, 18)]
    stored(tmp_path, "retain_set", *(row for rows in kept for row in rows), *about(11, "Ada Roe"))
    assert list(benchmark_task("offside", tmp_path, "official").sets) == [
        *("classification_forget_set", "forget_set_part", "retain_set")
    ]
    found = benchmark_task("offside", tmp_path, "honest")
    people = {name: {s.subject for s in samples} for name, samples in found.samples().items()}
    assert people["forget_fit"] == people["forget_heldout"]
    assert not people["forget_fit"] & (people["retain_fit"] | people["calibration"] | people["retain_unseen"])
    assert found.left_out == {"retained questions about a subject that is to be forgotten": 2}
    with pytest.raises(OptionError, match=r"no split 'train' in .*: those there are"):
        read_offside(tmp_path, "train")
