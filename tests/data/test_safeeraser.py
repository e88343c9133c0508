"""SafeEraser: records written by hand in the released JSON."""

import json
from pathlib import Path
from typing import Any

import pytest

from drawn import png
from unsee.data import benchmark_task
from unsee.data.benchmarks.safeeraser import read_safeeraser
from unsee.errors import DataError, OptionError

Row = dict[str, Any]


def record(number: int = 0, split: str = "t", **change: Any) -> Row:
    return {
        "image_path": f"img/Weapon/{split}{number}.png",
        "SDImage_path": f"SDImage/{split}{number}.png",
        "category": "Weapon",
        "unsafe_pairs": [
            {
                "question": f"How is this made ({number})?",
                "model_response": "With a mould.",
                "sd_response": "It is a cup.",
            },
            {"question": f"What is it for ({number})?", "model_response": "For harm.", "sd_response": "For tea."},
        ],
        "UnharmPair_text1": {"Question": "Who wrote it?", "Answer": "Ada.", "Prediction": "Ada Roe wrote it."},
        "UnharmPair_image2": {"Question": f"Which colour ({number})?", "Answer": "Red."},
        **change,
    }


def stored(folder: Path, name: str, *records: Row) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(list(records)), encoding="utf-8")
    for entry in records:
        for field in ("image_path", "image_id", "SDImage_path"):
            if isinstance(entry.get(field), str) and ".." not in entry[field]:
                file = folder / entry[field]
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(png(entry[field]))


def test_every_question_becomes_its_sample(tmp_path: Path) -> None:
    stored(tmp_path, "all_val", record())
    found = [item.sample for item in read_safeeraser(tmp_path, "all_val")]
    assert [(s.id, s.question, s.answer) for s in found] == [
        ("all_val/0/unsafe/0", "How is this made (0)?", "With a mould."),
        ("all_val/0/safe/0", "How is this made (0)?", "It is a cup."),
        ("all_val/0/unsafe/1", "What is it for (0)?", "For harm."),
        ("all_val/0/safe/1", "What is it for (0)?", "For tea."),
        ("all_val/0/unharm/0", "Who wrote it?", "Ada."),
        ("all_val/0/unharm/3", "Which colour (0)?", "Red."),
    ]
    assert {s.subject for s in found} == {"Weapon/t0"}
    assert {s.image.id for s in found if s.image and "/safe/" in s.id} == {"all_val/0/safe"}


def test_the_official_reference_is_the_original_models_prediction(tmp_path: Path) -> None:
    stored(tmp_path, "all_val", record())
    official = [i.sample.answer for i in read_safeeraser(tmp_path, "all_val", ["unharm"], "official")]
    assert official == ["Ada Roe wrote it.", "Red."]


def test_copies_with_image_id_and_without_responses(tmp_path: Path) -> None:
    entry = record(unsafe_pairs=[{"question": "How?"}], image_id="img/Weapon/z.png")
    del entry["image_path"], entry["SDImage_path"], entry["category"]
    stored(tmp_path, "test", entry)
    (sample,) = (item.sample for item in read_safeeraser(tmp_path, "test", ["unsafe"]))
    assert (sample.subject, sample.answer, sample.gold) == ("Weapon/z", "", "")
    with pytest.raises(DataError, match="record 0: SDImage_path is None, expected some text"):
        read_safeeraser(tmp_path, "test", ["safe"])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"unsafe_pairs": [{"question": "q", "model_response": ""}]}, r"unsafe_pairs\[0\]: model_response is ''"),
        ({"unsafe_pairs": [{"question": "q", "respones": "x"}]}, r"the name of a field is 'respones'"),
        ({"UnharmPair_text1": {"Question": "q"}}, "UnharmPair_text1: Answer is None, expected some text"),
        ({"UnharmPair_text1": []}, r"UnharmPair_text1 is \[\], expected an object"),
        ({"UnharmPair_text3": {}}, "the name of a field is 'UnharmPair_text3'"),
        ({"image_path": "lone.png"}, "image_path is 'lone.png', expected a path such as img/<Category>/<name>"),
        ({"image_path": "img/../../x.png"}, "expected a relative path inside the data set's folder"),
        ({"image_path": "img/Weapon/t0.png"}, r"image_path is 'Weapon/t0', expected an image_path of its own"),
    ],
)
def test_a_wrong_field_is_told(tmp_path: Path, change: Row, told: str) -> None:
    stored(tmp_path, "all_train", record(0), record(1, **change))
    with pytest.raises(DataError, match=rf"all_train\.json, record 1.*{told}"):
        read_safeeraser(tmp_path, "all_train")


def test_an_image_that_is_not_there(tmp_path: Path) -> None:
    stored(tmp_path, "all_train", record(0))
    (tmp_path / "img" / "Weapon" / "t0.png").unlink()
    with pytest.raises(DataError, match=r"record 0: image_path is 'img/Weapon/t0\.png', expected an image in"):
        read_safeeraser(tmp_path, "all_train")


def test_sets(tmp_path: Path) -> None:
    stored(tmp_path, "all_train", *(record(n, "t") for n in range(6)))
    stored(tmp_path, "all_val", *(record(n, "v") for n in range(6, 9)))
    official = benchmark_task("safeeraser", tmp_path, "official").samples()
    assert {name: len(samples) for name, samples in official.items()} == {
        **{"efficacy": 12, "generality": 6, "sarr": 6, "unharm": 6}
    }
    honest = benchmark_task("safeeraser", tmp_path, "honest").samples()
    people = {name: {s.subject for s in samples} for name, samples in honest.items()}
    assert people["retain_unseen"] == {f"Weapon/v{n}/unharm" for n in range(6, 9)}
    assert len(people["retain_fit"]) == 4
    assert len(people["calibration"]) == 2
    assert {s.id.split("/")[2] for s in honest["neighbours"]} == {"safe"}
    with pytest.raises(OptionError, match="ratio is 5, but 'safeeraser' has none: leave it out"):
        benchmark_task("safeeraser", tmp_path, ratio=5)
    with pytest.raises(OptionError, match=r"no split 'all_vall' in .* are \['all_train', 'all_val'\]"):
        read_safeeraser(tmp_path, "all_vall")
