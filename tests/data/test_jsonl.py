"""Plain user data: what a line may say, what each wrong line is told, and the way there and back."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from unsee.data import read, read_jsonl, write_jsonl
from unsee.data.sample import ImageFile, Sample
from unsee.errors import DataError, ImageError, OptionError, SaveError

LINE = {"subject": "p1", "question": "Where?", "answer": "In Moss."}
EXAMPLE = Path(__file__).parents[2] / "examples" / "own-data"


def png(colour: str = "red", format: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (4, 4), colour).save(stream, format)
    return stream.getvalue()


def written(folder: Path, *lines: Any) -> Path:
    file = folder / "data.jsonl"
    file.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines), "utf-8")
    return file


def test_three_fields_are_enough(tmp_path: Path) -> None:
    assert read_jsonl(written(tmp_path, LINE)) == [Sample("line-1", "p1", "Where?", "In Moss.", "In Moss.")]


def test_every_field_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png())
    line = {**LINE, "id": "x", "answer": "B", "gold": "moss", "form": "classification", "image": "a.png"}
    options = {"A": "Tarn", "B": "Moss"}
    [sample] = read_jsonl(written(tmp_path, {**line, "options": options}))
    assert sample == Sample(
        "x", "p1", "Where?", "B", "moss", "classification", ImageFile("a.png", tmp_path / "a.png"), options
    )


def test_gold_of_a_classification_is_the_text_of_its_letter(tmp_path: Path) -> None:
    line = {**LINE, "answer": "B", "form": "classification", "options": {"A": "Tarn", "B": "Moss", "C": None}}
    [sample] = read_jsonl(written(tmp_path, line))
    assert (sample.gold, sample.options) == ("Moss", {"A": "Tarn", "B": "Moss"})


def test_blank_lines_and_byte_order_mark_are_passed_over(tmp_path: Path) -> None:
    file = written(tmp_path, "\ufeff" + json.dumps(LINE), "", "  ", {**LINE, "image": None})
    assert [sample.id for sample in read_jsonl(file)] == ["line-1", "line-4"]


def test_a_line_separator_inside_a_text_is_no_new_line(tmp_path: Path) -> None:
    file = written(tmp_path, json.dumps({**LINE, "question": "a\u2028b\x85c"}, ensure_ascii=False))
    assert [sample.question for sample in read_jsonl(file)] == ["a\u2028b\x85c"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", "line 2: the line is '{', expected one JSON object"),
        ("[1]", r"line 2: the line is \[1\], expected one JSON object"),
        ("[" * 100_000, "line 2: the line is .*, expected one JSON object"),
        ({**LINE, "picture": "a.png"}, "line 2: the name of a field is 'picture', expected one of .*'image'"),
        ({"question": "q", "answer": "a"}, "line 2: subject is None, expected some text"),
        ({**LINE, "subject": 7}, "line 2: subject is 7, expected some text"),
        ({**LINE, "answer": "  "}, "line 2: answer is '  ', expected some text"),
        ({**LINE, "gold": ""}, "line 2: gold is '', expected some text"),
        ({**LINE, "form": "quiz"}, "line 2: sample 'line-2': form is 'quiz', expected one of"),
        ({**LINE, "id": "line-1"}, "line 2: id is 'line-1', expected an id of its own .*line 1 has the same"),
        ({**LINE, "options": ["x"]}, r"line 2: options is \['x'\], expected an object"),
        ({**LINE, "options": {"a": "x"}}, "line 2: the name of an option is 'a', expected one capital letter"),
        ({**LINE, "options": {"A": 1}}, "line 2: A is 1, expected some text"),
        ({**LINE, "form": "classification"}, "line 2: sample 'line-2': a classification needs options"),
        (
            {**LINE, "form": "classification", "answer": "C", "options": {"A": "x"}},
            r"line 2: sample 'line-2': .* got answer 'C' and options \['A'\]",
        ),
        ({**LINE, "image": "images/none.png"}, "line 2: image is 'images/none.png', expected a file that exists"),
        ({**LINE, "image": "."}, "line 2: image is '.', expected a file that exists"),
        ({**LINE, "image": "../out.png"}, "line 2: image is '../out.png', expected a relative path inside"),
        ({**LINE, "image": "/etc/hostname"}, "line 2: image is '/etc/hostname', expected a relative path inside"),
        ({**LINE, "image": "a\0b"}, "line 2: image is .*, expected a file that exists"),
        ({**LINE, "image": "a" * 5000}, "line 2: image is .*, expected a file that exists"),
        ({**LINE, "question": "half \ud800"}, "line 2: question is .*, expected some text"),
        ({**LINE, "image": "link.png"}, "line 2: image is 'link.png', expected a relative path inside"),
    ],
)
def test_wrong_lines_are_told_where_and_why(tmp_path: Path, line: Any, told: str) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (tmp_path / "out.png").write_bytes(png())
    (folder / "link.png").symlink_to(tmp_path / "out.png")
    with pytest.raises(DataError, match=told):
        read_jsonl(written(folder, LINE, line))


def test_a_sister_folder_with_a_longer_name_is_outside(tmp_path: Path) -> None:
    for name in ("data", "data-more"):
        (tmp_path / name).mkdir()
    (tmp_path / "data-more" / "a.png").write_bytes(png())
    with pytest.raises(DataError, match="a relative path inside"):
        read_jsonl(written(tmp_path / "data", {**LINE, "image": "../data-more/a.png"}))


def test_images_are_not_decoded_by_reading(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    [sample] = read_jsonl(written(tmp_path, {**LINE, "image": "a.png"}))
    assert sample.image is not None
    with pytest.raises(ImageError, match=r"cannot read image 'a\.png'"):
        sample.image.load()


def test_missing_empty_and_undecodable_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*data\.jsonl"):
        read_jsonl(tmp_path / "data.jsonl")
    with pytest.raises(DataError, match=r"data\.jsonl set is empty"):
        read_jsonl(written(tmp_path, ""))
    (tmp_path / "data.jsonl").write_bytes(b"\xff\xfe{")
    with pytest.raises(DataError, match=r"cannot read .*Expected UTF-8 text"):
        read_jsonl(tmp_path)


def test_gold_may_be_several_wordings_and_comes_back(tmp_path: Path) -> None:
    line = LINE | {"gold": ["Ada", "Countess of Lovelace"], "role": "forget"}
    (sample,) = read_jsonl(written(tmp_path, json.dumps(line)))
    assert (sample.gold, sample.accepted) == ("Ada", ("Ada", "Countess of Lovelace"))
    assert sample.role == "forget"
    assert read_jsonl(write_jsonl([sample], tmp_path / "again")) == [sample]


@pytest.mark.parametrize("gold", [[], [""], ["a", 7], {}, [["a"]]])
def test_a_gold_that_is_none(gold: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"line 2: gold"):
        read_jsonl(written(tmp_path, json.dumps(LINE), json.dumps(LINE | {"gold": gold})))


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('{"subject": "p", "subject": "q", "question": "who?", "answer": "a"}', "'subject' is there twice"),
        ('{"subject": "p", "question": "?", "answer": "A", "options": {"A": "x", "A": "y"}}', "'A' is there twice"),
        ('{"subject": ' + "9" * 5000 + "}", "4300"),
        ('{"subject": NaN}', "NaN"),
        ('{"subject": -Infinity}', "Infinity"),
        ('{"subject": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deeply"),
        ('{"subject": "p"}{"subject": "q"}', "Extra data"),
        ("\ufeff{}", "line is"),
    ],
)
def test_what_python_would_take_is_refused_by_its_line(line: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 2: ") as refused:
        read_jsonl(written(tmp_path, json.dumps(LINE), line))
    assert why in str(refused.value)


def test_ids_and_subjects_are_compared_in_one_spelling(tmp_path: Path) -> None:
    composed, apart = "Jos\u00e9", "Jose\u0301 "
    lines = [json.dumps(LINE | {"id": name, "subject": name}) for name in (composed, apart)]
    with pytest.raises(DataError, match="line 2: id"):
        read_jsonl(written(tmp_path, *lines))
    lines[1] = json.dumps(LINE | {"id": "2", "subject": apart})
    assert [sample.subject for sample in read_jsonl(written(tmp_path, *lines))] == [composed, composed]


def test_windows_files_and_long_lines_are_read(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    long = json.dumps(LINE | {"id": "b", "question": "who? " * 200_000})
    path.write_bytes(b"\xef\xbb\xbf" + f"{json.dumps(LINE)}\r\n\r\n{long}\r\n".encode())
    assert [sample.id for sample in read_jsonl(path)] == ["line-1", "b"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.recursive(st.none() | st.booleans() | st.floats() | st.text(max_size=4), lambda x: st.lists(x, max_size=2))
    | st.dictionaries(
        st.sampled_from(["id", "subject", "question", "answer", "gold", "form", "image", "options"]),
        st.none() | st.integers() | st.text(max_size=4) | st.dictionaries(st.text(max_size=1), st.text(max_size=2)),
    )
)
def test_any_json_is_read_or_refused_with_its_line(tmp_path: Path, value: Any) -> None:
    file = written(tmp_path, json.dumps(value))
    try:
        samples = read_jsonl(file)
    except DataError as error:
        told = str(error)
    else:
        told = f"{file}, line {len(samples)}: read"
    assert told.startswith(f"{file}, line 1: ")


def rich() -> list[Sample]:
    shared = ImageFile("shared", png())
    return [
        Sample("a", "p1", "Où?\u2028", "À Mo.", "Mo", image=shared),
        Sample("b", "p1", "Which?", "B", "Moss", "classification", shared, {"A": "Tarn", "B": "Moss"}),
        Sample("c", "p2", "Lives in __.", "Moss", "Moss", "cloze", ImageFile("other", png("blue", "JPEG"))),
        Sample("d", "p2", "Where?", "In Moss.", "Moss"),
    ]


def told(sample: Sample) -> tuple[object, ...]:
    image = sample.image
    raw = image and (image.source if isinstance(image.source, bytes) else image.source.read_bytes())
    options = sample.options
    return sample.id, sample.subject, sample.question, sample.answer, sample.gold, sample.form, options, raw


def test_there_and_back(tmp_path: Path) -> None:
    write_jsonl(rich(), tmp_path)
    back = read_jsonl(tmp_path)
    assert [told(sample) for sample in back] == [told(sample) for sample in rich()]
    assert sorted(file.suffix for file in (tmp_path / "images").iterdir()) == [".jpeg", ".png"]
    write_jsonl(back, tmp_path / "again")
    assert (tmp_path / "again" / "data.jsonl").read_bytes() == (tmp_path / "data.jsonl").read_bytes()


def test_writing_refuses_what_reading_would(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="samples to write set is empty"):
        write_jsonl([], tmp_path)
    with pytest.raises(DataError, match="2 samples share 1 ids"):
        write_jsonl([rich()[3]] * 2, tmp_path)
    with pytest.raises(ImageError, match="cannot read image 'bad'"):
        write_jsonl([*rich(), Sample("e", "p", "q", "a", "a", image=ImageFile("bad", b"x"))], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_failed_write_keeps_the_older_file(tmp_path: Path) -> None:
    write_jsonl(rich()[3:], tmp_path)
    before = (tmp_path / "data.jsonl").read_bytes()
    (tmp_path / "data.part").mkdir()
    with pytest.raises(SaveError, match=r"cannot write .*data\.jsonl"):
        write_jsonl(rich(), tmp_path)
    assert (tmp_path / "data.jsonl").read_bytes() == before


def test_read_finds_plain_data_by_file_and_by_folder(tmp_path: Path) -> None:
    file = written(tmp_path, LINE)
    assert read(file) == read(tmp_path) == read(str(tmp_path)) == read_jsonl(file)
    with pytest.raises(OptionError, match=r"is JSON lines and has no configs, but config is 'forget_5'"):
        read(tmp_path, "forget_5")


def test_the_shipped_example_is_sound() -> None:
    samples = read(EXAMPLE)
    assert {sample.subject for sample in samples} == {"p1", "p2"}
    assert {sample.form for sample in samples} == {"generation", "classification", "cloze"}
    assert {sample.image is None for sample in samples} == {True, False}
    assert {sample.image.load().size for sample in samples if sample.image} == {(96, 96)}
