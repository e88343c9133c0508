"""JSON lines: what Python's reader would take without a word, or fail on with a traceback, is refused by its line."""

import json
from pathlib import Path
from typing import Any

import pytest

from unsee.data import read_jsonl, write_jsonl
from unsee.errors import DataError

LINE = {"subject": "p", "question": "who?", "answer": "Ada."}


def file(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "data.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_gold_may_be_several_wordings_and_comes_back(tmp_path: Path) -> None:
    line = LINE | {"gold": ["Ada", "Countess of Lovelace"], "role": "forget"}
    (sample,) = read_jsonl(file(tmp_path, json.dumps(line)))
    assert (sample.gold, sample.accepted) == ("Ada", ("Ada", "Countess of Lovelace"))
    assert sample.role == "forget"
    assert read_jsonl(write_jsonl([sample], tmp_path / "again")) == [sample]


@pytest.mark.parametrize("gold", [[], [""], ["a", 7], {}, [["a"]]])
def test_a_gold_that_is_none(gold: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"line 2: gold"):
        read_jsonl(file(tmp_path, json.dumps(LINE), json.dumps(LINE | {"gold": gold})))


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
        read_jsonl(file(tmp_path, json.dumps(LINE), line))
    assert why in str(refused.value)


def test_ids_and_subjects_are_compared_in_one_spelling(tmp_path: Path) -> None:
    composed, apart = "Jos\u00e9", "Jose\u0301 "
    lines = [json.dumps(LINE | {"id": name, "subject": name}) for name in (composed, apart)]
    with pytest.raises(DataError, match="line 2: id"):
        read_jsonl(file(tmp_path, *lines))
    lines[1] = json.dumps(LINE | {"id": "2", "subject": apart})
    assert [sample.subject for sample in read_jsonl(file(tmp_path, *lines))] == [composed, composed]


def test_windows_files_and_long_lines_are_read(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    long = json.dumps(LINE | {"id": "b", "question": "who? " * 200_000})
    path.write_bytes(b"\xef\xbb\xbf" + f"{json.dumps(LINE)}\r\n\r\n{long}\r\n".encode())
    assert [sample.id for sample in read_jsonl(path)] == ["line-1", "b"]
