"""The fixtures are in the published schemas: judged by pyarrow, Pillow, json, zipfile and `datasets`."""

import io
import json
import zipfile
from ast import literal_eval
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image

from unsee.data import read_benchmark
from unsee.errors import OptionError, SaveError
from unsee.registry import BENCHMARKS
from unsee.world.fixtures import FIXTURES, write_fixture
from unsee.world.generate import World
from unsee.world.splits import Exam

Folders = Callable[[str], Path]


def rows(folder: Path) -> list[dict[str, Any]]:
    return [row for file in sorted(folder.glob("*.parquet")) for row in pq.read_table(file).to_pylist()]


def decoded(content: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(content)) as image:
        image.load()
        return image.size


def test_every_benchmark_has_a_fixture() -> None:
    assert {one.name.removesuffix("-choice") for one in BENCHMARKS if one.facts["needs_data"]} == set(FIXTURES)


def test_mllmu_has_every_published_config(benchmark_folder: Folders) -> None:
    folder = benchmark_folder("mllmu")
    assert set(BENCHMARKS.named("mllmu").facts["card"].splits) <= {path.name for path in folder.iterdir()}
    assert len(list((folder / "Test_Set").glob("*.parquet"))) == 2
    people = rows(folder / "Test_Set")
    assert {len(person["images"]) for person in people} == {6}
    assert all(decoded(image["bytes"]) for image in people[0]["images"])
    for ratio in (5, 10, 15):
        ids = [{row["ID"] for row in rows(folder / name)} for name in (f"forget_{ratio}", f"retain_{100 - ratio}")]
        assert not ids[0] & ids[1]
        assert ids[0] | ids[1] == {row["ID"] for row in rows(folder / "Full_Set")}
    taught = rows(folder / "ft_Data")
    assert set(json.loads(taught[0]["metadata"])[0]) == {"Question", "Answer"}


def test_clear_has_every_published_config(benchmark_folder: Folders) -> None:
    folder = benchmark_folder("clear")
    assert {"default" if path.name == "data" else path.name for path in folder.iterdir()} == set(
        BENCHMARKS.named("clear").facts["card"].splits
    )
    for path in folder.iterdir():
        columns = set(pq.read_schema(path / "train-00000-of-00001.parquet").names)
        expected = {"image", "caption", "name"}
        if path.name.endswith("+tofu"):
            expected = {"image", "caption", "question", "answer"}
        elif path.name.endswith("_perturbed"):
            expected = {"image", "caption", "name", "perturbed_captions", "paraphrased_caption", "perturbed_names"}
        elif path.name.startswith("real_"):
            expected = {"image", "question", "answer", "options"}
        assert columns == expected, path.name
    assert {row["image"] is None for row in rows(folder / "full+tofu")} == {True, False}
    perturbed = rows(folder / "forget10_perturbed")
    assert {len(row["perturbed_names"]) for row in perturbed} == {5}
    assert not any(row["name"] in row["perturbed_names"] for row in perturbed)


def test_umu_spells_dictionaries_with_the_misspelt_key(benchmark_folder: Folders) -> None:
    folder = benchmark_folder("umu")
    assert {path.name for path in folder.iterdir()} == set(BENCHMARKS.named("umu").facts["card"].splits)
    (row, *_) = rows(folder / "forget_5")
    assert list(row) == ["ID", "image", "Biography", "MM_QA", "UM_QA", "Classify", "Cloze", "Generation"]
    for column in ("Classify", "Cloze", "Generation"):
        both = literal_eval(row[column])
        assert list(both) == ["unimodal", "muitimodal"]
        assert both["unimodal"].keys() == both["muitimodal"].keys()
    entry = next(iter(literal_eval(row["Classify"])["unimodal"].values()))
    assert entry["options"][entry["answer"].split(".")[0]] == entry["answer"].partition(". ")[2]


def test_fiubench_is_json_lines_with_an_archive(benchmark_folder: Folders) -> None:
    folder = benchmark_folder("fiubench")
    people = [json.loads(line) for line in (folder / "full.json").read_text(encoding="utf-8").splitlines()]
    with zipfile.ZipFile(folder / "SFHQ.zip") as archive:
        for person in people:
            assert decoded(archive.read(person["image_path"].removeprefix("./dataset/")))
    pair = people[0]["qa_list"][0]
    assert {name: type(value) for name, value in pair.items()} == {
        **{"question": str, "answer": str, "keywords": list, "paraphrased_question": list},
        **{"paraphrased_answer": str, "perturbed_answer": list},
    }
    assert all(keyword in pair["answer"] for keyword in pair["keywords"])
    assert pair["answer"] not in pair["perturbed_answer"]
    split = json.loads((folder / "split.json").read_text(encoding="utf-8"))
    assert list(split) == ["forget1", "forget5", "forget10", "retain5", "retain15"]
    everybody = [person for people in split.values() for person in people]
    assert len(everybody) == len(set(everybody))
    assert set(everybody) <= {person["unique_id"] for person in people}


def test_json_fixtures_name_images_that_are_there(benchmark_folder: Folders) -> None:
    for name, fields in (("safeeraser", ("image_path", "SDImage_path")), ("offside", ("images",))):
        folder = benchmark_folder(name)
        for file in folder.glob("*.json"):
            for record in json.loads(file.read_text(encoding="utf-8")):
                assert all(decoded((folder / record[field]).read_bytes()) for field in fields)
    folder = benchmark_folder("unlok")
    for record in json.loads((folder / "UnLOK-VQA.json").read_text(encoding="utf-8")):
        (file,) = folder.glob(f"*/{record['image_id']:012d}.jpg")
        assert decoded(file.read_bytes())
        assert all(question.startswith("nq question: ") for question in record["loc"])


@pytest.mark.parametrize("name", ["clear", "umu", "fiubench", "safeeraser", "offside", "unlok"])
def test_the_same_world_writes_the_same_bytes(name: str, small_exam: Exam, tmp_path: Path) -> None:
    first, second = (write_fixture(name, small_exam, tmp_path / part) for part in "ab")
    files = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert files
    assert all((first / file).read_bytes() == (second / file).read_bytes() for file in files)


def test_datasets_reads_what_ours_reads(benchmark_folder: Folders, tmp_path: Path) -> None:
    """The library behind the hub's own page, as an independent reader of two schemas."""
    datasets = pytest.importorskip("datasets")
    for name, config, column in (("clear", "forget10_perturbed", "caption"), ("umu", "forget_10", "ID")):
        files = str(benchmark_folder(name) / config / "*.parquet")
        table = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir=str(tmp_path / name))
        ours = read_benchmark(name, benchmark_folder(name), config)
        shown = {item.sample.image.source for item in ours if item.sample.image}
        assert {row["image"]["bytes"] for row in table} == shown
        said = {item.sample.answer for item in ours} | {item.sample.subject for item in ours}
        assert {row[column] for row in table} <= said


def test_what_cannot_be_written(small_exam: Exam, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"there is no fixture 'pebench': expected one of \['mllmu', 'clear'"):
        write_fixture("pebench", small_exam, tmp_path)
    with pytest.raises(OptionError, match=r"the world has \{'private': 4, .*expected at least \{'private': 16"):
        write_fixture("clear", Exam(World(0, private=4, celebrities=4, strangers=1)), tmp_path)
    (tmp_path / "unlok").write_text("in the way")
    with pytest.raises(SaveError, match="cannot write"):
        write_fixture("unlok", small_exam, tmp_path)
