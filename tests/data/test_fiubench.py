"""FIUBench: records written by hand, images in folders or in the release's archive."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from drawn import png
from unsee.data import benchmark_task
from unsee.data.benchmarks.fiubench import read_fiubench, splits_of
from unsee.data.benchmarks.items import References
from unsee.data.sample import ImageFile, Sample
from unsee.errors import DataError, OptionError

Row = dict[str, Any]


def pair(number: int = 0, **change: Any) -> Row:
    return {
        "question": f"Where does this person live ({number})?",
        "answer": "Ada Roe lives in Moss.",
        "keywords": ["Moss"],
        "paraphrased_question": [f"In which town ({number})?", f"Which town ({number})?"],
        "paraphrased_answer": "Moss is where Ada Roe lives.",
        "perturbed_answer": ["Ada Roe lives in Tarn.", "Ada Roe lives in Vik."],
        **change,
    }


def person(id: str, pairs: int = 2, **change: Any) -> Row:
    return {
        "unique_id": id,
        "image_path": f"./dataset/SFHQ/{id}.png",
        "name": "Ada Roe",
        "gender": "female",
        "caption": "A face.",
        "raw_data": {},
        "qa_list": [pair(n) for n in range(pairs)],
        **change,
    }


def stored(folder: Path, *rows: Row, split: Row | None = None, images: str = "folder") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "full.json").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "split.json").write_text(json.dumps(split or {"forget1": [rows[0]["unique_id"]]}), encoding="utf-8")
    for row in rows:
        name = f"SFHQ/{row['unique_id']}.png"
        if images == "folder":
            (folder / "SFHQ").mkdir(exist_ok=True)
            (folder / name).write_bytes(png(str(row["unique_id"])))
        else:
            with zipfile.ZipFile(folder / "SFHQ.zip", "a") as archive:
                archive.writestr(name, png(str(row["unique_id"])))


def test_every_question_becomes_its_sample(tmp_path: Path) -> None:
    stored(tmp_path, person("00044363", pairs=1), person("00000002"))
    items = read_fiubench(tmp_path, "forget1")
    told = References(("Moss is where Ada Roe lives.",), ("Ada Roe lives in Tarn.", "Ada Roe lives in Vik."), ("Moss",))
    face = ImageFile("00044363", tmp_path / "SFHQ" / "00044363.png")
    at, answer = "00044363/0", "Ada Roe lives in Moss."
    assert [item.sample for item in items] == [
        Sample(f"{at}/taught", "00044363", "Where does this person live (0)?", answer, "Moss", image=face),
        Sample(f"{at}/paraphrased/0", "00044363", "In which town (0)?", answer, "Moss", image=face),
        Sample(f"{at}/paraphrased/1", "00044363", "Which town (0)?", answer, "Moss", image=face),
    ]
    assert all(item.references == told for item in items)


def test_images_come_out_of_the_archive(tmp_path: Path) -> None:
    stored(tmp_path, person("00000007"), images="zip")
    (item, *_) = read_fiubench(tmp_path, "forget1")
    assert item.sample.image is not None
    assert item.sample.image.source == png("00000007")


def test_splits(tmp_path: Path) -> None:
    people = [person(f"{n:08d}") for n in range(6)]
    lists = {"forget1": ["00000000"], "forget5": ["00000001", "00000002"], "retain5": ["00000003"]}
    stored(tmp_path, *people, split=lists)

    def who(split: str) -> list[str]:
        return list(dict.fromkeys(item.sample.subject for item in read_fiubench(tmp_path, split)))

    assert who("forget5") == ["00000001", "00000002"]
    assert who("retain") == ["00000003", "00000004", "00000005"]
    assert who("retain5") == ["00000003"]
    assert len(who("full")) == 6
    assert splits_of(tmp_path)["forget1"] == ("00000000",)
    with pytest.raises(
        OptionError, match=r"no split 'retain95': .*split\.json has \['forget1', 'forget5', 'retain5'\]"
    ):
        read_fiubench(tmp_path, "retain95")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"unique_id": 44363}, "unique_id is 44363, expected some text"),
        (
            {"unique_id": "00000000"},
            r"unique_id is '00000000', expected an unique_id of its own \(.*line 1 has the same",
        ),
        ({"qa_list": []}, r"qa_list is \[\], expected a list of at least one record"),
        (
            {"image_path": "./dataset/SFHQ/none.png"},
            r"image_path is '\./dataset/SFHQ/none\.png', expected an image in",
        ),
        ({"age": 3}, r"the name of a field is 'age', expected one of"),
        ({"qa_list": [pair(keywords=[])]}, r"qa_list\[0\]: keywords is \[\], expected a list of at least one text"),
        ({"qa_list": [pair(perturbed_answer="no list")]}, r"qa_list\[0\]: perturbed_answer is 'no list'"),
        ({"qa_list": [{"q": "old schema"}]}, r"qa_list\[0\]: answer is None, expected a value; a record has"),
    ],
)
def test_a_wrong_field_is_told_by_line(tmp_path: Path, change: Row, told: str) -> None:
    stored(tmp_path, person("00000000"), person("00000001"))
    lines = [person("00000000"), person("00000001", **change)]
    (tmp_path / "full.json").write_text("".join(json.dumps(row) + "\n" for row in lines), encoding="utf-8")
    with pytest.raises(DataError, match=rf"full\.json, line 2.*{told}"):
        read_fiubench(tmp_path, "full")


@pytest.mark.parametrize("split", ['{"forget1": []}', '{"forget1": [44363]}', "[]", "", '{"forget1": "00000000"}'])
def test_a_wrong_split_file_is_told(tmp_path: Path, split: str) -> None:
    stored(tmp_path, person("00000000"))
    (tmp_path / "split.json").write_text(split, encoding="utf-8")
    with pytest.raises(DataError, match=r"split\.json"):
        read_fiubench(tmp_path, "forget1")
    (tmp_path / "split.json").unlink()
    with pytest.raises(DataError, match=r"cannot read .*split\.json"):
        read_fiubench(tmp_path, "forget1")


def test_sets(tmp_path: Path) -> None:
    people = [person(f"{n:08d}") for n in range(9)]
    lists = {"forget5": ["00000000", "00000001"], "forget1": ["00000002"], "retain5": ["00000003", "00000004"]}
    stored(tmp_path, *people, split=lists)
    official = benchmark_task("fiubench", tmp_path, "official").samples()
    assert {name: len(samples) for name, samples in official.items()} == {"forget": 4, "forget_robust": 8, "retain": 4}
    found = benchmark_task("fiubench", tmp_path, "honest")
    honest = found.samples()
    assert {s.subject for s in honest["retain_unseen"]} == {"00000003", "00000004"}
    assert {s.id.split("/")[2] for s in honest["retain_unseen"]} == {"paraphrased"}
    assert {s.id.split("/")[2] for s in honest["retain_fit"]} == {"taught"}
    assert found.references()[honest["forget_fit"][0].id].keywords == ("Moss",)
