"""MLLMU-Bench's schema: read from files written by plain pyarrow, written by us, and every way to be wrong."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from drawn import png
from unsee.data import configs_of, read, read_mllmu, subjects, write_mllmu
from unsee.data import files as source
from unsee.data.sample import ImageFile, Sample
from unsee.errors import DataError, OptionError, SaveError

Row = dict[str, Any]


def choice(question: str, letter: str = "B", **options: str | None) -> Row:
    return {
        "Correct_Answer": letter,
        "Options": options or {"A": "Tarn", "B": "Moss", "C": "Lund", "D": "Vik"},
        "Question": question,
    }


def opened(question: str, truth: str, kind: str) -> Row:
    return {"Ground_Truth": truth, "Question": question, "Type": kind}


def person(id: str = "001") -> Row:
    return {
        "image": {"bytes": png(f"face {id}"), "path": f"{id}.png"},
        "ID": id,
        "Directory": f"faces/{id}",
        "biography": "{}",
        "question": "Who is this?",
        "answer": "Somebody.",
        "Classification_Task": {
            "Image_Textual_Questions": [choice("Which town?"), choice("Which job?", "A", A="baker", B="judge")],
            "Pure_Text_Questions": [choice("Which town has X?", "D")],
        },
        "Generation_Task": [
            opened("Where does this person live?", "In Moss.", "Image_Textual"),
            opened("Where does X live?", "X lives in Moss.", "Pure_Text"),
        ],
        "Mask_Task": [opened("X lives in __.", "Moss", "Pure_Text"), opened("Lives in __.", "Moss", "Image_Textual")],
    }


def other_views(id: str = "001", views: int = 3) -> Row:
    row = person(id)
    del row["image"]
    images = [{"bytes": png(f"view {view} of {id}"), "path": None} for view in range(views)]
    return {"images": images, **row}


def taught(id: str = "001") -> Row:
    pairs = [{"Question": "Who?", "Answer": "X."}, {"Question": "Where?", "Answer": "In Moss.", "ID": id}]
    return {"image": {"bytes": png("face"), "path": None}, "ID": id, "metadata": json.dumps(pairs)}


def released(folder: Path, *rows: Row, name: str = "train-00000-of-00001") -> None:
    """Written without our writer: types are inferred, as any other tool would."""
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows)), folder / f"{name}.parquet")


def test_every_question_becomes_its_sample(tmp_path: Path) -> None:
    released(tmp_path / "forget_5", person())
    face = ImageFile("forget_5/001/0", png("face 001"))
    four = {"A": "Tarn", "B": "Moss", "C": "Lund", "D": "Vik"}
    two = {"A": "baker", "B": "judge"}
    at = "forget_5/001"
    live, tell = "In Moss.", "X lives in Moss."
    assert read_mllmu(tmp_path, "forget_5") == [
        Sample(f"{at}/generation/image/0", "001", "Where does this person live?", live, live, image=face),
        Sample(f"{at}/generation/text/1", "001", "Where does X live?", tell, tell),
        Sample(f"{at}/classification/image/0", "001", "Which town?", "B", "Moss", "classification", face, four),
        Sample(f"{at}/classification/image/1", "001", "Which job?", "A", "baker", "classification", face, two),
        Sample(f"{at}/classification/text/0", "001", "Which town has X?", "D", "Vik", "classification", None, four),
        Sample(f"{at}/cloze/text/0", "001", "X lives in __.", "Moss", "Moss", "cloze"),
        Sample(f"{at}/cloze/image/1", "001", "Lives in __.", "Moss", "Moss", "cloze", face),
    ]


def test_forms_and_modalities_choose(tmp_path: Path) -> None:
    released(tmp_path / "forget_5", person())
    chosen = read_mllmu(tmp_path, "forget_5", forms=["cloze", "generation"], modalities=["text"])
    assert [sample.id.split("/", 2)[2] for sample in chosen] == ["generation/text/1", "cloze/text/0"]
    assert all(sample.image is None for sample in chosen)
    chosen = read_mllmu(tmp_path, "forget_5", modalities=["image"])
    assert len(chosen) == 4
    assert all(sample.image is not None for sample in chosen)


def test_first_view_or_all_of_them(tmp_path: Path) -> None:
    released(tmp_path / "Test_Set", other_views())
    first = read_mllmu(tmp_path, "Test_Set", forms=["cloze"])
    assert [sample.id for sample in first] == ["Test_Set/001/cloze/text/0", "Test_Set/001/cloze/image/1/0"]
    every = read_mllmu(tmp_path, "Test_Set", forms=["cloze"], images="all")
    assert [sample.id.split("/", 2)[2] for sample in every] == [
        "cloze/text/0",
        *(f"cloze/image/1/{v}" for v in range(3)),
    ]
    assert [sample.image.source for sample in every if sample.image] == [
        png("view 0 of 001"),
        png("view 1 of 001"),
        png("view 2 of 001"),
    ]
    assert all(sample in every for sample in first)


def test_training_pairs_are_generation_over_the_image(tmp_path: Path) -> None:
    released(tmp_path / "ft_Data", taught())
    face = ImageFile("ft_Data/001/0", png("face"))
    assert read_mllmu(tmp_path, "ft_Data") == [
        Sample("ft_Data/001/generation/image/0", "001", "Who?", "X.", "X.", image=face),
        Sample("ft_Data/001/generation/image/1", "001", "Where?", "In Moss.", "In Moss.", image=face),
    ]
    with pytest.raises(DataError, match=r"the ft_Data \(cloze; image, text\) set is empty"):
        read_mllmu(tmp_path, "ft_Data", forms=["cloze"])


def test_absent_letters_and_absent_lists_are_passed_over(tmp_path: Path) -> None:
    row = person()
    row["Classification_Task"] = {
        "Image_Textual_Questions": [choice("q", "A", A="x", B=None)],
        "Pure_Text_Questions": None,
    }
    row["Mask_Task"] = None
    released(tmp_path / "forget_5", person("000"), row)
    mine = [sample for sample in read_mllmu(tmp_path, "forget_5") if sample.subject == "001"]
    assert [sample.options for sample in mine if sample.form == "classification"] == [{"A": "x"}]
    assert not [sample for sample in mine if sample.form == "cloze"]


def put(*path: str | int) -> Callable[[Row, Any], None]:
    def change(row: Row, value: Any) -> None:
        place: Any = row
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value

    return change


MCQ = ("Classification_Task", "Image_Textual_Questions")


@pytest.mark.parametrize(
    ("change", "value", "told"),
    [
        (put("ID"), None, "row 1: ID is None, expected some text"),
        (put("ID"), "000", "row 1: ID is '000', expected an ID of its own .*row 0 has the same"),
        (put(*MCQ), [], r"row 1: Image_Textual_Questions is \[\], expected a list of at least one record"),
        (
            put(*MCQ, 1, "Correct_Answer"),
            "E",
            r"Questions\[1\]: Correct_Answer is 'E', expected one letter out of \['A'",
        ),
        (put(*MCQ, 1, "Correct_Answer"), "D", r"Correct_Answer is 'D', expected one letter out of \['A', 'B'\]"),
        (put(*MCQ, 0, "Options"), None, r"Questions\[0\]: options is None, expected an object"),
        (put(*MCQ, 0, "Options", "C"), "", r"Questions\[0\]: C is '', expected some text"),
        (
            put("Mask_Task", 0, "Type"),
            "Video",
            r"Mask_Task\[0\]: Type is 'Video', expected 'Image_Textual' or 'Pure_Text'",
        ),
    ],
)
def test_a_wrong_field_is_told_by_file_row_and_name(
    tmp_path: Path, change: Callable[[Row, Any], None], value: Any, told: str
) -> None:
    row = person()
    change(row, value)
    released(tmp_path / "forget_5", person("000"), row)
    with pytest.raises(
        DataError, match=rf"forget_5/train-00000-of-00001\.parquet, row 1.*{told.removeprefix('row 1')}"
    ):
        read_mllmu(tmp_path, "forget_5")


@pytest.mark.parametrize("metadata", ["no json", "[]", "[1]", "[" * 50_000])
def test_metadata_that_is_no_list_of_pairs(tmp_path: Path, metadata: str) -> None:
    released(tmp_path / "ft_Data", {**taught(), "metadata": metadata})
    with pytest.raises(DataError, match=r"row 0: metadata is .*, expected a list of at least one record"):
        read_mllmu(tmp_path, "ft_Data")


def test_test_set_without_views(tmp_path: Path) -> None:
    released(tmp_path / "Test_Set", other_views("000"), {**other_views(), "images": []})
    with pytest.raises(DataError, match=r"row 1: images is \[\], expected a list of at least one image"):
        read_mllmu(tmp_path, "Test_Set")
    assert read_mllmu(tmp_path, "Test_Set", modalities=["text"])


def test_unknown_config_lists_those_on_disk(tmp_path: Path) -> None:
    released(tmp_path / "forget_5", person())
    released(tmp_path / "mine", person())
    (tmp_path / "empty").mkdir()
    assert configs_of(tmp_path) == ["forget_5", "mine"]
    for unknown in ("forget_10", "empty", "..", "../mine", ""):
        with pytest.raises(OptionError, match=r"no split .* are \['forget_5', 'mine'\]"):
            read_mllmu(tmp_path, unknown)


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ({"forms": ["quiz"]}, r"forms: got \['quiz'\], expected some of \['generation', 'classification', 'cloze'\]"),
        ({"forms": []}, r"forms: got \[\]"),
        ({"modalities": ["sound"]}, r"modalities: got \['sound'\], expected some of \['image', 'text'\]"),
        ({"images": "last"}, r"images: got \['last'\], expected some of \['first', 'all', 'drawn'\]"),
    ],
)
def test_illegal_options_name_the_legal_ones(tmp_path: Path, option: Any, told: str) -> None:
    with pytest.raises(OptionError, match=told):
        read_mllmu(tmp_path, "forget_5", **option)


def test_a_hub_id_is_fetched_once_and_only_the_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    released(tmp_path / "forget_5", person())
    calls: list[tuple[Any, ...]] = []

    def fetch(name: str, repo_type: str, revision: str | None, allow_patterns: list[str]) -> str:
        calls.append((name, repo_type, revision, allow_patterns))
        return str(tmp_path)

    monkeypatch.setattr(source, "snapshot_download", fetch)
    assert read("MLLMMU/MLLMU-Bench:forget_5") == read_mllmu(tmp_path, "forget_5")
    assert read("MLLMMU/MLLMU-Bench@e91a01e:forget_5") == read_mllmu(tmp_path, "forget_5")
    assert read("MLLMMU/baseline_train_split:forget_5") == read_mllmu(tmp_path, "forget_5")
    assert calls == [
        ("MLLMMU/MLLMU-Bench", "dataset", None, ["forget_5/*.parquet"]),
        ("MLLMMU/MLLMU-Bench", "dataset", "e91a01e", ["forget_5/*.parquet"]),
        ("MLLMMU/baseline_train_split", "model", None, ["forget_5/*.parquet"]),
    ]


IMAGE = "struct<bytes: binary, path: string>"
CHOICES = (
    "list<element: struct<Correct_Answer: string, "
    "Options: struct<A: string, B: string, C: string, D: string>, Question: string>>"
)
OPENS = "list<element: struct<Ground_Truth: string, Question: string, Type: string>>"
TASKS = {
    **dict.fromkeys(["ID", "Directory", "biography", "question", "answer"], "string"),
    "Classification_Task": f"struct<Image_Textual_Questions: {CHOICES}, Pure_Text_Questions: {CHOICES}>",
    "Generation_Task": OPENS,
    "Mask_Task": OPENS,
}
WORLDS: list[tuple[Callable[[str], Row], dict[str, str]]] = [
    (person, {"image": IMAGE, **TASKS}),
    (other_views, {"images": f"list<element: {IMAGE}>", **TASKS}),
    (taught, {"image": IMAGE, "ID": "string", "metadata": "string"}),
]


@pytest.mark.parametrize(("make", "schema"), WORLDS)
def test_written_files_have_the_published_schema(tmp_path: Path, make: Callable[[str], Row], schema: Any) -> None:
    file = write_mllmu([make("001"), make("002")], tmp_path, "forget_5")
    assert file == tmp_path / "forget_5" / "train-00000-of-00001.parquet"
    # Releases of pyarrow differ in what they call the entries of a list.
    assert {field.name: str(field.type).replace("<item", "<element") for field in pq.read_schema(file)} == schema


@pytest.mark.parametrize("make", [make for make, _ in WORLDS])
def test_there_and_back(tmp_path: Path, make: Callable[[str], Row]) -> None:
    rows = [make("001"), make("002")]
    before = copy.deepcopy(rows)
    file = write_mllmu(rows, tmp_path / "a", "mine")
    assert rows == before
    back = pq.read_table(file).to_pylist()
    released(tmp_path / "b" / "mine", *rows)
    assert read_mllmu(tmp_path / "a", "mine", images="all") == read_mllmu(tmp_path / "b", "mine", images="all")
    again = write_mllmu(back, tmp_path / "c", "mine")
    assert again.read_bytes() == file.read_bytes()
    assert (
        write_mllmu([dict(reversed(row.items())) for row in rows], tmp_path / "a", "mine").read_bytes()
        == again.read_bytes()
    )
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([], "forget_5: there is no row to write"),
        ([person(), taught("002")], r"forget_5, row 1: the set of columns is .* expected \['image', 'ID', 'Directory'"),
        ([{**person(), "name": "X"}], r"forget_5, row 0: the set of columns is .* unknown: \['name'\]"),
        ([person(), person()], "row 1: ID is '001', expected an ID of its own"),
        ([{**person(), "Mask_Task": [opened("q", "", "Pure_Text")]}], r"row 0, Mask_Task\[0\]: Ground_Truth is ''"),
        ([{**person(), "Mask_Task": [{"Ground": "x"}]}], r"row 0, Mask_Task\[0\]: Type is None"),
        ([{**person(), "Directory": 7}], "forget_5: a value does not fit the schema: .*Expected:\nimage: struct"),
        ([{**person(), "image": "face.png"}], "forget_5: a value does not fit the schema"),
    ],
)
def test_nothing_is_written_that_could_not_be_read(tmp_path: Path, rows: list[Row], told: str) -> None:
    file = write_mllmu([person("009")], tmp_path, "forget_5")
    before = file.read_bytes()
    with pytest.raises(DataError, match=told):
        write_mllmu(rows, tmp_path, "forget_5")
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize("config", ["", "..", "a/b", ".hidden"])
def test_a_config_is_a_plain_folder_name(tmp_path: Path, config: str) -> None:
    with pytest.raises(OptionError, match="expected a plain folder name"):
        write_mllmu([person()], tmp_path, config)


def test_an_unwritable_place_is_a_save_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SaveError, match=r"cannot write .*train-00000-of-00001\.parquet"):
        write_mllmu([person()], tmp_path / "file", "forget_5")


def test_read_finds_the_config(tmp_path: Path) -> None:
    released(tmp_path / "forget_5", person())
    expected = read_mllmu(tmp_path, "forget_5")
    assert read(tmp_path) == read(f"{tmp_path}:forget_5") == read(tmp_path, "forget_5") == expected
    released(tmp_path / "retain_95", person("002"))
    assert subjects(read(f"{tmp_path}:retain_95")) == ["002"]
    with pytest.raises(OptionError, match=r"are \['forget_5', 'retain_95'\]. Say which to read, as in '.*:forget_5'"):
        read(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(OptionError, match=r"holds no data.jsonl, and its configs .* are \[\]"):
        read(tmp_path / "empty")
    with pytest.raises(OptionError, match="no split 'forget_6'"):
        read(f"{tmp_path}:forget_6")


def test_a_folder_may_have_a_colon_in_its_name(tmp_path: Path) -> None:
    released(tmp_path / "a:b" / "forget_5", person())
    assert subjects(read(tmp_path / "a:b")) == subjects(read(f"{tmp_path}/a:b:forget_5")) == ["001"]
