"""UMU-Bench: rows written by hand, dictionaries spelt as Python literals, by plain pyarrow."""

import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from drawn import png
from unsee.data import benchmark_task
from unsee.data.benchmarks.items import Item
from unsee.data.benchmarks.umu import drawn_retain, read_umu
from unsee.data.sample import ImageFile, Sample
from unsee.errors import DataError, OptionError

Row = dict[str, Any]
FOUR = {"A": "Tarn", "B": "Moss", "C": "Lund", "D": "Vik"}


def both(text: Row, image: Row, key: str = "muitimodal") -> str:
    return repr({"unimodal": text, key: image})


def person(id: str = "001", **change: Any) -> Row:
    choice = {"question": f"Where does {id} live?", "options": FOUR, "answer": "B. Moss"}
    shown = {**choice, "question": "Where does this person live?"}
    row = {
        "ID": id,
        "image": {"bytes": png(id), "path": f"{id}.png"},
        "Biography": "A life.",
        "MM_QA": repr(
            {"question": {"1": "Who's this?", "2": "Where?"}, "answer": {"1": f"It's {id}.", "2": "In Moss."}}
        ),
        "UM_QA": repr({"question": {"1": f"Who is {id}?"}, "answer": {"1": 'A "baker".'}}),
        "Classify": both({"q1": choice}, {"q1": shown}),
        "Cloze": both(
            {"c1": {"question": f"{id} lives in ____", "answer": "Moss."}},
            {"c1": {"question": "____", "answer": "Moss."}},
        ),
        "Generation": both(
            {"g": {"question": f"Tell of {id}.", "answer": "Bakes."}}, {"g": {"question": "Tell.", "answer": "Bakes."}}
        ),
    }
    return {**row, **change}


def stored(folder: Path, *rows: Row) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows)), folder / "train-00000-of-00001.parquet")


def samples(items: list[Item]) -> list[Sample]:
    return [item.sample for item in items]


def test_every_question_becomes_its_sample(tmp_path: Path) -> None:
    stored(tmp_path / "forget_5", person())
    face = ImageFile("forget_5/001", png("001"))
    at = "forget_5/001"
    assert samples(read_umu(tmp_path, "forget_5")) == [
        Sample(f"{at}/taught/image/1", "001", "Who's this?", "It's 001.", "It's 001.", image=face),
        Sample(f"{at}/taught/image/2", "001", "Where?", "In Moss.", "In Moss.", image=face),
        Sample(f"{at}/taught/text/1", "001", "Who is 001?", 'A "baker".', 'A "baker".'),
        Sample(f"{at}/generation/image/g", "001", "Tell.", "Bakes.", "Bakes.", image=face),
        Sample(f"{at}/generation/text/g", "001", "Tell of 001.", "Bakes.", "Bakes."),
        Sample(
            f"{at}/classification/image/q1",
            "001",
            "Where does this person live?",
            "B",
            "Moss",
            "classification",
            face,
            FOUR,
        ),
        Sample(
            f"{at}/classification/text/q1", "001", "Where does 001 live?", "B", "Moss", "classification", None, FOUR
        ),
        Sample(f"{at}/cloze/image/c1", "001", "____", "Moss.", "Moss.", "cloze", face),
        Sample(f"{at}/cloze/text/c1", "001", "001 lives in ____", "Moss.", "Moss.", "cloze"),
    ]


def test_the_two_modalities_pair_by_id(tmp_path: Path) -> None:
    stored(tmp_path / "forget_5", person("001"), person("002"))
    asked = ("generation", "classification", "cloze")
    image, text = (samples(read_umu(tmp_path, "forget_5", asked, [m])) for m in ("image", "text"))
    assert [s.id.replace("/image/", "/text/") for s in image] == [s.id for s in text]


def test_both_names_of_the_real_people(tmp_path: Path) -> None:
    stored(tmp_path / "real_person", person())
    assert read_umu(tmp_path, "Real_Person_Set") == read_umu(tmp_path, "Real_Person_Set")
    assert [s.id.split("/")[0] for s in samples(read_umu(tmp_path, "Real_Person_Set"))][-1] == "Real_Person_Set"
    with pytest.raises(OptionError, match=r"no split 'forget_5' in .* are \['real_person'\]"):
        read_umu(tmp_path, "forget_5")


CHOICE = {"question": "Where?", "options": FOUR, "answer": "B. Moss"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"MM_QA": "not a literal"}, "MM_QA is 'not a literal', expected a dictionary as a Python literal"),
        ({"MM_QA": '{"question": null}'}, "MM_QA is .*expected a dictionary as a Python literal"),
        ({"UM_QA": repr({"question": {"1": "a"}, "answer": {}})}, r"UM_QA\['answer'\] is \{\}, expected an object"),
        (
            {"UM_QA": repr({"question": {"1": "a"}, "answer": {"2": "b"}})},
            r"UM_QA\['answer'\] is \['2'\], expected the keys",
        ),
        ({"UM_QA": repr({"question": {}, "answer": {}})}, r"UM_QA\['question'\] is \{\}"),
        (
            {"Classify": repr({"unimodal": {"q": CHOICE}})},
            r"the keys of Classify is \['unimodal'\], expected exactly one of \['muitimodal', 'multimodal'\]",
        ),
        (
            {"Classify": repr({"unimodal": {"q": CHOICE}, "muitimodal": {}, "multimodal": {}})},
            "expected exactly one of",
        ),
        (
            {"Classify": both({"q": CHOICE}, {"r": CHOICE})},
            r"Classify\['muitimodal'\] is \['r'\], expected keys \['q'\]",
        ),
        (
            {"Classify": both({"q": CHOICE}, {"q": {**CHOICE, "answer": "E. None"}})},
            r"Classify\['q'\]: answer is 'E', expected one letter",
        ),
        ({"Classify": both({"q": CHOICE}, {"q": {**CHOICE, "answer": "Moss"}})}, r"Classify\['q'\]: answer is 'Moss'"),
        ({"Classify": both({"q": CHOICE}, {"q": {**CHOICE, "options": []}})}, r"Classify\['q'\]: options is \[\]"),
        (
            {"Cloze": both({"c": {"question": "a __", "answer": None}}, {"c": {"question": "a __", "answer": "x"}})},
            r"Cloze\['c'\]: answer is None",
        ),
        (
            {"Generation": both({"g": ["nested"]}, {"g": ["nested"]})},
            r"Generation\['g'\]: the entry is \['nested'\], expected an object",
        ),
        (
            {"Generation": repr({"unimodal": {"g": {"question": "q", "answer": "a"}}, "muitimodal": [{"g": 1}]})},
            r"Generation\['muitimodal'\] is \[\{'g': 1\}\]",
        ),
        ({"image": None}, "image is None, expected the bytes of an image"),
    ],
)
def test_a_wrong_field_is_told(tmp_path: Path, change: Row, told: str) -> None:
    stored(tmp_path / "forget_5", person("000"), person("001", **change))
    with pytest.raises(DataError, match=rf"forget_5/train-00000-of-00001\.parquet, row 1.*{told}"):
        read_umu(tmp_path, "forget_5")


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    for name, ids in (
        ("forget_5", ["001"]),
        ("retain_95", [f"{n:03d}" for n in range(2, 22)]),
        ("Real_Person_Set", ["900"]),
    ):
        stored(tmp_path / name, *(person(id) for id in ids))
    return tmp_path


def test_official_and_honest_sets(whole: Path) -> None:
    official = benchmark_task("umu", whole, "official").samples()
    assert list(official) == ["forget", "retain", "real_person", "forget_train", "retain_train"]
    assert len(official["forget"]) == 6
    honest = benchmark_task("umu", whole, "honest").samples()
    assert {s.id.split("/")[2] for s in honest["forget_fit"]} == {"taught"}
    assert {s.id.split("/")[2] for s in honest["forget_heldout"]} == {"generation", "classification", "cloze"}
    assert {s.subject for s in honest["celebrity"]} == {"900"}


def test_retain_is_drawn_as_the_release_draws_it() -> None:
    """unlearn_dataset.py: `n = int(len * (1 - ratio) / ratio)`, `random.seed(42)`, `random.sample(flattened, n)`."""
    items = [Item(Sample(str(n), "p", "q", "a", "a")) for n in range(190)]
    state = random.getstate()
    random.seed(42)
    expected = random.sample(items, int(190 * (1 - 0.95) / 0.95))
    random.setstate(state)
    assert drawn_retain(items, 95) == expected
    assert len(expected) in (9, 10)
