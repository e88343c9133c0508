"""UnLOK-VQA: records written by hand in the schema of the card and of the code's files."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from unsee.data import benchmark_task
from unsee.data.benchmarks.unlok import read_unlok
from unsee.errors import DataError, OptionError

Row = dict[str, Any]


def jpeg() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (4, 4), "blue").save(stream, "JPEG")
    return stream.getvalue()


def record(id: int = 1, **change: Any) -> Row:
    return {
        "id": id,
        "src": "Which breed is this?",
        "pred": "Lab",
        "loc": ["nq question: Is this a dog?", "nq question: Is this a dog?", "Where is it?"],
        "loc_ans": ["Yes", "Yes", "Field"],
        "image_id": 407809,
        "rephrase": ["What breed?", "Name the breed."],
        **change,
    }


def stored(folder: Path, *records: Row, name: str = "UnLOK-VQA", where: str = "train2017") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(list(records)), encoding="utf-8")
    (folder / where).mkdir(exist_ok=True)
    for entry in records:
        if isinstance(entry.get("image_id"), int):
            (folder / where / f"{entry['image_id']:012d}.jpg").write_bytes(jpeg())


@pytest.mark.parametrize("where", ["train2017", "val2017", "images", "."])
def test_every_question_becomes_its_sample(tmp_path: Path, where: str) -> None:
    stored(tmp_path, record(), where=where)
    found = [item.sample for item in read_unlok(tmp_path, asked=["target", "rephrased", "neighbour"])]
    assert [(s.id, s.question, s.answer) for s in found] == [
        ("UnLOK-VQA/1/target", "Which breed is this?", "Lab"),
        ("UnLOK-VQA/1/rephrased/0", "What breed?", "Lab"),
        ("UnLOK-VQA/1/rephrased/1", "Name the breed.", "Lab"),
        ("UnLOK-VQA/1/neighbour/0", "Is this a dog?", "Yes"),
        ("UnLOK-VQA/1/neighbour/1", "Is this a dog?", "Yes"),
        ("UnLOK-VQA/1/neighbour/2", "Where is it?", "Field"),
    ]
    assert {s.image.source for s in found if s.image} == {tmp_path / where / "000000407809.jpg"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"id": "2"}, "id is '2', expected a whole number"),
        ({"id": 1}, "id is '1', expected an id of its own"),
        ({"image_id": None}, "image_id is None, expected a whole number"),
        ({"image_id": -4}, "image_id is -4"),
        ({"loc": [["nested"]], "loc_ans": ["x"]}, r"loc\[0\] is \['nested'\], expected some text"),
        ({"loc_ans": ["Yes"]}, "the number of loc_ans is 1, expected 3, as many as loc"),
        ({"answer": "x"}, "the name of a field is 'answer'"),
    ],
)
def test_a_wrong_field_is_told(tmp_path: Path, change: Row, told: str) -> None:
    stored(tmp_path, record(1), record(**{"id": 2, **change}))
    with pytest.raises(DataError, match=rf"UnLOK-VQA\.json, record 1: {told}"):
        read_unlok(tmp_path)


def test_a_missing_image_says_where_it_comes_from(tmp_path: Path) -> None:
    stored(tmp_path, record())
    (tmp_path / "train2017" / "000000407809.jpg").unlink()
    with pytest.raises(DataError, match=r"image_id is '000000407809\.jpg', expected an image in .*COCO 2017"):
        read_unlok(tmp_path)


def test_sets(tmp_path: Path) -> None:
    stored(tmp_path, *(record(n, image_id=n) for n in range(1, 11)))
    assert list(benchmark_task("unlok", tmp_path, "official").sets) == ["target", "neighbour"]
    stored(tmp_path, record(99), name="retain")
    assert list(benchmark_task("unlok", tmp_path, "official").sets) == ["target", "neighbour", "retain"]
    honest = benchmark_task("unlok", tmp_path, "honest").samples()
    gone = {s.subject for s in honest["forget_fit"]}
    assert len(gone) == 1
    assert {s.subject for s in honest["forget_heldout"]} == {s.subject for s in honest["neighbours"]} == gone
    assert not gone & {s.subject for name in ("retain_fit", "calibration", "retain_unseen") for s in honest[name]}


def test_files_without_rephrasings_have_no_honest_sets(tmp_path: Path) -> None:
    bare = [{name: value for name, value in record(n).items() if name != "rephrase"} for n in range(9)]
    stored(tmp_path, *bare)
    assert benchmark_task("unlok", tmp_path, "official")
    with pytest.raises(DataError, match=r"UnLOK-VQA \(rephrased\) set is empty"):
        benchmark_task("unlok", tmp_path, "honest")
    with pytest.raises(OptionError, match=r"no split 'val' in .*: those there are \['UnLOK-VQA'\]"):
        read_unlok(tmp_path, "val")
