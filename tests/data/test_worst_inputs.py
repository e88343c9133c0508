"""Every reader against the worst that a download can be: each is told by file, row and field."""

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from drawn import bomb
from unsee.data import read_benchmark
from unsee.errors import DataError, OptionError

Row = dict[str, Any]
Steps = tuple[Any, ...]


@dataclass(frozen=True)
class Kept:
    """Where one benchmark keeps what.

    Attributes:
        split: to read.
        file: that holds it.
        key: field whose values are unique, or None.
        words: steps to a text.
        many: steps to a list, and what that list is called in errors.
        image: name of the image field in errors.
        shown: file of the first image, where images are files.
    """

    split: str
    file: str
    key: str | None
    words: Steps
    many: Steps
    image: str
    shown: str | None = None


KEPT = {
    "mllmu": Kept(
        *("forget_10", "forget_10/train-00000-of-00001.parquet", "ID", ("Mask_Task", 0, "Question")),
        *(("Mask_Task",), "image.bytes"),
    ),
    "clear": Kept(
        *("forget10_perturbed", "forget10_perturbed/train-00000-of-00001.parquet", None, ("caption",)),
        *(("perturbed_captions",), "image.bytes"),
    ),
    "umu": Kept("retain_90", "retain_90/train-00000-of-00001.parquet", "ID", ("Cloze",), ("Classify",), "image.bytes"),
    "fiubench": Kept("full", "full.json", "unique_id", ("qa_list", 0, "question"), ("qa_list",), "image_path"),
    "safeeraser": Kept(
        *("all_val", "all_val.json", "image_path", ("unsafe_pairs", 0, "question"), ("unsafe_pairs",), "image_path"),
        "img/Violence/all_val-000.png",
    ),
    "offside": Kept("retain_set", "retain_set.json", None, ("messages", 1, "content"), ("messages",), "images"),
    "unlok": Kept("UnLOK-VQA", "UnLOK-VQA.json", "id", ("src",), ("loc",), "image_id"),
}  # fmt: skip
EVERY = pytest.mark.parametrize("name", KEPT)


@pytest.fixture
def copy(benchmark_folder: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    return lambda name: Path(shutil.copytree(benchmark_folder(name), tmp_path / name))


def rows_of(file: Path) -> list[Row]:
    if file.suffix == ".parquet":
        return pq.read_table(file).to_pylist()
    content = file.read_text(encoding="utf-8")
    return json.loads(content) if content.startswith("[") else [json.loads(line) for line in content.splitlines()]


def write(file: Path, rows: list[Row], schema: pa.Schema | None = None) -> None:
    if file.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows, schema), file)
    else:
        file.write_text(json.dumps(rows), encoding="utf-8")


def put(row: Row, steps: Steps, value: Any) -> None:
    place: Any = row
    for step in steps[:-1]:
        place = place[step]
    place[steps[-1]] = value


def changed(folder: Path, name: str, change: Callable[[list[Row]], None], typed: bool = True) -> None:
    """Change rows of a fixture; `typed` keeps a table's schema, else the types follow the values."""
    file = folder / KEPT[name].file
    schema = pq.read_schema(file) if typed and file.suffix == ".parquet" else None
    rows = rows_of(file)
    change(rows)
    write(file, rows, schema)


def told(folder: Path, name: str, pattern: str) -> None:
    """Reading fails; the message names the file, fits the pattern and ends in what to do."""
    kept = KEPT[name]
    with pytest.raises(DataError, match=pattern) as caught:
        read_benchmark(name, folder, kept.split)
    message = str(caught.value)
    assert Path(kept.file).name in message or Path(kept.file).parent.name in message, message
    assert any(word in message for word in ("Fix", "Fetch", "fetch", "Check", "check")), message


@EVERY
def test_truncated(name: str, copy: Callable[[str], Path]) -> None:
    folder = copy(name)
    file = folder / KEPT[name].file
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2 - 1])
    told(folder, name, "is not a sound parquet file|expected one JSON object")


def shown_as(folder: Path, name: str, content: bytes) -> None:
    """Give the first row's image other bytes."""
    kept = KEPT[name]
    if kept.image == "image.bytes":
        changed(folder, name, lambda rows: put(rows[0], ("image", "bytes"), content))
        return
    if name == "fiubench":
        # A file is looked for before the archive.
        (folder / "SFHQ").mkdir()
        file = folder / "SFHQ" / Path(rows_of(folder / kept.file)[0]["image_path"]).name
    else:
        row = rows_of(folder / kept.file)[0]
        places = [f"{row['image_id']:012d}.jpg"] if name == "unlok" else [row.get("images") or row["image_path"]]
        file = next(found for place in places for found in folder.rglob(Path(place).name))
    file.write_bytes(content)


@EVERY
def test_an_image_of_wrong_magic(name: str, copy: Callable[[str], Path]) -> None:
    folder = copy(name)
    shown_as(folder, name, b"<html>404 not found</html>")
    told(folder, name, rf"{KEPT[name].image} is .*expected an image file of at most .*Unidentified")


@EVERY
def test_an_image_of_unsafe_size(name: str, copy: Callable[[str], Path]) -> None:
    folder = copy(name)
    shown_as(folder, name, bomb(50_000, 50_000))
    told(folder, name, rf"{KEPT[name].image} is .*expected an image file of at most .*DecompressionBomb")


@EVERY
def test_an_image_of_another_kind_is_as_good(name: str, copy: Callable[[str], Path]) -> None:
    folder, stream = copy(name), io.BytesIO()
    Image.new("RGBA", (9, 9), (1, 2, 3, 4)).save(stream, "WEBP")
    shown_as(folder, name, stream.getvalue())
    first = next(i.sample.image for i in read_benchmark(name, folder, KEPT[name].split) if i.sample.image)
    assert first.load().size == (9, 9)
    assert first.load().mode == "RGB"


@EVERY
def test_an_image_that_is_missing(name: str, copy: Callable[[str], Path]) -> None:
    folder, kept = copy(name), KEPT[name]
    if kept.image == "image.bytes":
        changed(folder, name, lambda rows: put(rows[0], ("image",), None))
        told(folder, name, "row 0.*image is None, expected the bytes of an image file")
        return
    row = rows_of(folder / kept.file)[0]
    if name == "fiubench":
        (folder / "SFHQ.zip").unlink()
    else:
        wanted = f"{row['image_id']:012d}.jpg" if name == "unlok" else Path(row.get("images") or row["image_path"]).name
        for file in folder.rglob(wanted):
            file.unlink()
    told(folder, name, rf"{kept.image} is .*expected an image in ")


@EVERY
def test_a_split_that_is_not_there(name: str, copy: Callable[[str], Path]) -> None:
    folder = copy(name)
    with pytest.raises(OptionError, match=r"no (?:config|split) 'nonsense'"):
        read_benchmark(name, folder, "nonsense")
    file = folder / KEPT[name].file
    file.unlink()
    with pytest.raises((DataError, OptionError), match=r"no (?:config|split)|cannot read"):
        read_benchmark(name, folder, KEPT[name].split)
    with pytest.raises(DataError, match="there is no folder"):
        read_benchmark(name, folder / "nowhere", KEPT[name].split)


@EVERY
def test_the_same_key_twice(name: str, copy: Callable[[str], Path]) -> None:
    folder, kept = copy(name), KEPT[name]
    changed(folder, name, lambda rows: rows.append(rows[0]))
    if kept.key is None:
        samples = [item.sample for item in read_benchmark(name, folder, kept.split)]
        assert len({sample.id for sample in samples}) == len(samples)
    else:
        told(folder, name, rf"{kept.key} is .*, expected an {kept.key} of its own \(.*has the same\)")


UNICODE = "Zoë Ångström 名前 שלום 🙂 a\u0301 \u202eevil \u2028line 'quote' \"q\" \\ \n end"


@EVERY
def test_unicode_comes_through_unchanged(name: str, copy: Callable[[str], Path]) -> None:
    folder, kept = copy(name), KEPT[name]
    entry = {"question": UNICODE, "answer": UNICODE}
    value = repr({"unimodal": {"k": entry}, "muitimodal": {"k": entry}}) if name == "umu" else UNICODE
    changed(folder, name, lambda rows: put(rows[0], kept.words, value))
    samples = [item.sample for item in read_benchmark(name, folder, kept.split)]
    assert any(UNICODE in (sample.question, sample.answer) for sample in samples)


@EVERY
@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_text_that_is_none_or_blank(name: str, value: str | None, copy: Callable[[str], Path]) -> None:
    folder, kept = copy(name), KEPT[name]
    changed(folder, name, lambda rows: put(rows[0], kept.words, value))
    told(folder, name, rf"{kept.words[-1]} is .*expected some text")


@EVERY
def test_a_list_that_is_empty(name: str, copy: Callable[[str], Path]) -> None:
    folder, kept = copy(name), KEPT[name]
    value: Any = repr({"unimodal": {}, "muitimodal": {}}) if name == "umu" else []
    changed(folder, name, lambda rows: put(rows[0], kept.many, value))
    told(folder, name, rf"{kept.many[0]}.* is .*expected (?:a list of at least one|an object with at least one)")


@EVERY
def test_a_list_that_numpy_has_spelt_out(name: str, copy: Callable[[str], Path]) -> None:
    """What `str(array)` leaves in a column: text where a list should be."""
    folder, kept = copy(name), KEPT[name]

    def spelt(rows: list[Row]) -> None:
        for row in rows:
            row[kept.many[0]] = (
                "{'unimodal': array([1]), 'muitimodal': array([1])}" if name == "umu" else "array(['a', 'b'])"
            )

    changed(folder, name, spelt, typed=False)
    told(folder, name, rf"{kept.many[0]} is .*array\(.*expected a")


@EVERY
def test_a_column_too_many_and_one_too_few(name: str, copy: Callable[[str], Path]) -> None:
    folder, kept = copy(name), KEPT[name]
    changed(folder, name, lambda rows: rows[0].update(surprise=1), typed=False)
    told(folder, name, "surprise")

    def short(rows: list[Row]) -> None:
        for row in rows:
            row.pop("surprise", None)
            del row[kept.many[0]]

    changed(folder, name, short, typed=False)
    told(folder, name, kept.many[0] if name != "offside" else "Question|messages")
