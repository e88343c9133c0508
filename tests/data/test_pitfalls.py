"""Traps that public code fell into, as far as reading and asking go: one test each, named after the trap."""

import io
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from unsee.data import benchmark_task, instruction, read_mllmu, subjects
from unsee.data.benchmarks.clear import CARD as CLEAR
from unsee.data.benchmarks.clear import read_clear
from unsee.data.benchmarks.fiubench import read_fiubench, splits_of
from unsee.data.benchmarks.items import Protocol
from unsee.data.benchmarks.mllmu import write_mllmu
from unsee.data.benchmarks.offside import read_offside
from unsee.data.benchmarks.umu import read_umu
from unsee.errors import DataError
from unsee.registry import BENCHMARKS

Folders = Callable[[str], Path]
PUBLISHED = [one.name for one in BENCHMARKS if one.facts["needs_data"]]


@pytest.fixture
def copy(benchmark_folder: Folders, tmp_path: Path) -> Folders:
    return lambda name: Path(shutil.copytree(benchmark_folder(name), tmp_path / name))


def edited(file: Path, change: Callable[[list[dict[str, Any]]], None]) -> None:
    table = pq.read_table(file)
    rows = table.to_pylist()
    change(rows)
    pq.write_table(table.from_pylist(rows, table.schema), file)


# MLLMU-Bench


def test_mllmu_retain_set_is_the_celebrities_not_the_people_to_keep(benchmark_folder: Folders) -> None:
    folder = benchmark_folder("mllmu")
    sets = benchmark_task("mllmu", folder, "official", 10).samples()
    assert set(subjects(sets["retain_celebrity"])) == set(subjects(read_mllmu(folder, "Retain_Set")))
    assert set(subjects(sets["retain_shared"])) == set(subjects(read_mllmu(folder, "retain_90")))
    assert not set(subjects(sets["retain_celebrity"])) & set(subjects(sets["retain_shared"]))
    everybody = set(subjects(sets["forget"])) | set(subjects(sets["retain_shared"]))
    assert everybody == set(subjects(read_mllmu(folder, "Full_Set")))
    honest = benchmark_task("mllmu", folder, "honest", 10).samples()
    fitted = {name: set(subjects(honest[name])) for name in ("retain_fit", "calibration")}
    assert not set(subjects(honest["celebrity"])) & set().union(*fitted.values())


def test_mllmu_test_set_image_is_drawn_without_a_seed(benchmark_folder: Folders) -> None:
    folder = benchmark_folder("mllmu")

    def views(seed: int) -> list[str]:
        samples = read_mllmu(folder, "Test_Set", modalities=["image"], images="drawn", seed=seed)
        return [sample.id.rpartition("/")[2] for sample in samples]

    assert views(1) == views(1) != views(2)
    assert len(set(views(1))) > 2
    # One for each person and form, whatever else is read beside it and in whatever order.
    drawn = read_mllmu(folder, "Test_Set", images="drawn", seed=1)
    shown: dict[tuple[str, str], set[str]] = {}
    for sample in drawn:
        if sample.image is not None:
            shown.setdefault((sample.subject, sample.form), set()).add(sample.image.id)
    assert {len(images) for images in shown.values()} == {1}
    cloze = read_mllmu(folder, "Test_Set", forms=["cloze"], images="drawn", seed=1)
    assert cloze == [sample for sample in drawn if sample.form == "cloze"]
    state = random.getstate()
    read_mllmu(folder, "Test_Set", images="drawn")
    assert random.getstate() == state


@pytest.mark.parametrize("truth", ["", " ", None])
def test_mllmu_empty_ground_truth_would_match_every_reply(truth: str | None, copy: Folders) -> None:
    folder = copy("mllmu")
    file = folder / "forget_5" / "train-00000-of-00001.parquet"
    edited(file, lambda rows: rows[0]["Mask_Task"][0].update(Ground_Truth=truth))
    with pytest.raises(DataError, match=r"row 0, Mask_Task\[0\]: Ground_Truth is .*expected some text"):
        read_mllmu(folder, "forget_5")


def test_mllmu_lists_come_back_from_pandas_as_arrays(benchmark_folder: Folders, tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    file = benchmark_folder("mllmu") / "forget_5" / "train-00000-of-00001.parquet"
    rows: list[Any] = pd.read_parquet(file).to_dict("records")
    assert isinstance(rows[0]["Mask_Task"], np.ndarray)
    write_mllmu(rows, tmp_path, "forget_5")
    assert read_mllmu(tmp_path, "forget_5") == read_mllmu(benchmark_folder("mllmu"), "forget_5")


# CLEAR


def test_clear_perturbed_and_plain_rows_are_not_joined_by_number(copy: Folders) -> None:
    """forget10_perturbed has a row less than forget10: what is beside a row must be in the row."""
    assert CLEAR.splits["forget10_perturbed"] + 1 == CLEAR.splits["forget10"]
    folder = copy("clear")
    before = {i.sample.gold: i for i in read_clear(folder, "forget10_perturbed", ["caption"])}
    edited(folder / "forget10_perturbed" / "train-00000-of-00001.parquet", lambda rows: rows.pop(0))
    for item in read_clear(folder, "forget10_perturbed", ["caption"]):
        assert item.sample.answer.startswith(f"this is {item.sample.gold}.")
        assert item.references.paraphrases[0].startswith(f"the name of this person is {item.sample.gold}.")
        assert item.sample.subject == before[item.sample.gold].sample.subject


# UMU-Bench


@pytest.mark.parametrize("key", ["muitimodal", "multimodal"])
def test_umu_key_is_misspelt(key: str, copy: Folders) -> None:
    folder = copy("umu")
    before = read_umu(folder, "forget_10")
    file = folder / "forget_10" / "train-00000-of-00001.parquet"
    columns = ("Classify", "Cloze", "Generation")
    edited(file, lambda rows: [r.update({c: r[c].replace("'muitimodal'", f"'{key}'") for c in columns}) for r in rows])
    assert read_umu(folder, "forget_10") == before


def test_umu_columns_are_python_literals_and_never_run(copy: Folders) -> None:
    folder = copy("umu")
    file = folder / "forget_10" / "train-00000-of-00001.parquet"
    with pytest.raises(json.JSONDecodeError):
        json.loads(pq.read_table(file).to_pylist()[0]["Classify"])
    mark = folder / "ran"
    edited(file, lambda rows: rows[0].update(Cloze=f"{{'unimodal': open({str(mark)!r}, 'w')}}"))
    with pytest.raises(DataError, match="row 0: Cloze is"):
        read_umu(folder, "forget_10")
    assert not mark.exists()


def test_umu_right_letter_over_the_image_is_taken_from_the_text_entry(copy: Folders) -> None:
    """eval.py: `options[uni[key]['answer'].split('.')[0]]` with the options of the entry over the image."""
    folder = copy("umu")
    options = {"A": "Tarn", "B": "Moss", "C": "Lund", "D": "Vik"}
    swapped = {"A": "Moss", "B": "Tarn", "C": "Lund", "D": "Vik"}
    entries = {
        "unimodal": {"k": {"question": "q", "options": options, "answer": "A. Tarn"}},
        "muitimodal": {"k": {"question": "q", "options": swapped, "answer": "B. Tarn"}},
    }
    file = folder / "forget_10" / "train-00000-of-00001.parquet"
    edited(file, lambda rows: [row.update(Classify=repr(entries)) for row in rows])

    def right(protocol: Any) -> list[tuple[str, str]]:
        items = read_umu(folder, "forget_10", ["classification"], ["image"], protocol)
        return sorted({(item.sample.answer, item.sample.gold) for item in items})

    assert right("honest") == [("B", "Tarn")]
    assert right("official") == [("A", "Moss")]


# FIUBench


def test_fiubench_json_is_a_record_a_line(copy: Folders) -> None:
    folder = copy("fiubench")
    content = (folder / "full.json").read_text(encoding="utf-8")
    with pytest.raises(json.JSONDecodeError):
        json.loads(content)
    before = read_fiubench(folder, "full")
    (folder / "full.json").write_text(json.dumps([json.loads(line) for line in content.splitlines()]), encoding="utf-8")
    assert read_fiubench(folder, "full") == before


def test_fiubench_only_the_first_400_are_used(tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.new("L", (2, 2)).save(stream, "PNG")
    (tmp_path / "face.png").write_bytes(stream.getvalue())
    pair = {"question": "q", "answer": "a", "keywords": ["a"], "paraphrased_question": ["p"]}
    pair |= {"paraphrased_answer": "b", "perturbed_answer": ["c"]}
    lines = [json.dumps({"unique_id": f"{n:08d}", "image_path": "face.png", "qa_list": [pair]}) for n in range(405)]
    (tmp_path / "full.json").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "split.json").write_text('{"forget1": ["00000403", "00000001"]}', encoding="utf-8")
    people = [item.sample.subject for item in read_fiubench(tmp_path, "full", ["taught"])]
    assert len(people) == 400
    assert people[-1] == "00000399"
    assert {item.sample.subject for item in read_fiubench(tmp_path, "forget1")} == {"00000001"}


def test_fiubench_retain5_is_not_what_forget5_leaves(benchmark_folder: Folders) -> None:
    folder = benchmark_folder("fiubench")
    named = splits_of(folder)
    rest = {item.sample.subject for item in read_fiubench(folder, "retain")}
    assert set(named["retain5"]) < rest
    assert not set(named["forget1"]) & set(named["forget5"])
    honest = benchmark_task("fiubench", folder, "honest", 5).samples()
    assert not rest & set(subjects(honest["forget_fit"]))
    assert set(subjects(honest["retain_unseen"])) == {*named["retain5"], *named["retain15"]}


# OFFSIDE, SafeEraser


def test_offside_image_marker_stands_twice_in_a_question(benchmark_folder: Folders) -> None:
    folder = benchmark_folder("offside")
    raw = json.loads((folder / "retain_set.json").read_text(encoding="utf-8"))
    assert any(record["messages"][0]["content"].count("<image>") == 2 for record in raw)
    assert not any("<image>" in item.sample.question for item in read_offside(folder, "retain_set"))
    official = read_offside(folder, "retain_set", "official")
    assert [f"<image>\n{item.sample.question}" for item in official] == [r["messages"][0]["content"] for r in raw]
    assert [instruction(item.sample, "offside-qwen") for item in official] == [r["messages"][0]["content"] for r in raw]


def test_offside_splits_by_image_so_a_player_may_be_on_both_sides(copy: Folders) -> None:
    folder = copy("offside")
    before = benchmark_task("offside", folder, "honest")
    kept = json.loads((folder / "retain_set.json").read_text(encoding="utf-8"))
    gone = json.loads((folder / "forget_set.json").read_text(encoding="utf-8"))
    (folder / "retain_set.json").write_text(json.dumps(kept + gone[:5]), encoding="utf-8")
    after = benchmark_task("offside", folder, "honest")
    assert sum(after.left_out.values()) == 5
    assert {i.sample.subject for i in after.sets["retain_fit"].items} == {
        i.sample.subject for i in before.sets["retain_fit"].items
    }


# All


@pytest.mark.parametrize("name", PUBLISHED)
def test_truth_ratio_and_keywords_have_what_they_need_or_nothing(name: str, benchmark_folder: Folders) -> None:
    """A missing list must not look like an empty one: what is there is complete."""
    sets = benchmark_task(name, benchmark_folder("clear" if name == "clear-choice" else name), "official")
    for references in sets.references().values():
        assert references.perturbed
        assert all(text.strip() for text in (*references.paraphrases, *references.perturbed, *references.keywords))


@pytest.mark.parametrize("name", PUBLISHED)
def test_reading_leaves_the_global_generator_alone(name: str, benchmark_folder: Folders) -> None:
    folder = benchmark_folder("clear" if name == "clear-choice" else name)
    state = random.getstate()
    for protocol in get_args(Protocol):
        benchmark_task(name, folder, protocol)
    assert random.getstate() == state
