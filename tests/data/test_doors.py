"""What is no file of samples, at the door that every command reads through."""

import os
from pathlib import Path

import pytest

from unsee.data import read
from unsee.data.images import decode
from unsee.errors import DataError, ImageError


@pytest.mark.parametrize(
    ("name", "why"), [("nobody.jsonl", "is not there"), ("nobody", "is not there"), ("rows.csv", "ends in '.csv'")]
)
def test_a_path_that_holds_no_samples_says_why(name: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("subject,question")
    with pytest.raises(DataError, match=rf"{name}' .*{why}, expected a folder, a .jsonl"):
        read(tmp_path / name)


def test_what_never_ends_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    for endless in (tmp_path / "pipe.jsonl", Path("/dev/zero")):
        with pytest.raises(DataError, match="is a device or a pipe"):
            read(endless)
        with pytest.raises(ImageError, match="it is a device or a pipe"):
            decode(endless, "photo")
