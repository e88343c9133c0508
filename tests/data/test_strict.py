"""The checks that all readers share, one by one."""

import io
import json
import struct
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from unsee.data.strict import (
    documents,
    filed_image,
    literal,
    plain,
    pseudonym,
    records,
    require_columns,
    require_fields,
    stored_image,
    texts,
    unique,
)
from unsee.errors import DataError


def encoded(kind: str, size: tuple[int, int] = (3, 2)) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, "red").save(stream, kind)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"])
def test_images_of_every_usual_kind(kind: str) -> None:
    shown = stored_image({"bytes": encoded(kind), "path": None}, "x", "t.parquet, row 3")
    assert shown.load().size == (3, 2)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "image is None, expected the bytes of an image file"),
        ({"bytes": None, "path": "a.png"}, r"image\.bytes is None, expected the bytes"),
        ({"bytes": b""}, r"image\.bytes is b''"),
        ({"path": "a.png"}, r"image\.bytes is None"),
        ({"bytes": "text"}, r"image\.bytes is 'text'"),
        (
            {"bytes": b"not a picture at all"},
            r"image\.bytes is b'not a picture at', expected an image file of at most",
        ),
        ({"bytes": b"%!PS-Adobe-3.0 EPSF"}, ".*expected an image file"),
        ({"bytes": encoded("PNG")[:12]}, ".*expected an image file"),
        ([], r"image is \[\]"),
        ("face.png", "image is 'face.png'"),
    ],
)
def test_what_is_no_image(value: Any, told: str) -> None:
    with pytest.raises(DataError, match=rf"t\.parquet, row 3: {told}.*Mend or remove that entry"):
        stored_image(value, "x", "t.parquet, row 3")


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that announces a size; its pixels are never reached."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("size", "why"),
    [((10_000, 10_000), "DecompressionBomb"), ((60_000, 60_000), "DecompressionBombError")],
)
def test_an_image_that_announces_an_unsafe_size(size: tuple[int, int], why: str) -> None:
    # Whatever the program does with warnings: Pillow only warns of the smaller one.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(DataError, match=rf"at most \d+ pixels \({why}\)"):
            stored_image({"bytes": bomb(*size)}, "x", "row 0")


def test_an_image_is_found_by_the_tail_of_its_path(tmp_path: Path) -> None:
    (tmp_path / "img" / "Weapon").mkdir(parents=True)
    (tmp_path / "img" / "Weapon" / "1.png").write_bytes(encoded("PNG"))
    for name in ("img/Weapon/1.png", "./dataset/img/Weapon/1.png", r"img\Weapon\1.png"):
        assert filed_image(name, "x", [tmp_path], "r").source == tmp_path / "img" / "Weapon" / "1.png"
    # One folder alone must not decide: another category may have a file of the same name.
    (tmp_path / "1.png").write_bytes(encoded("PNG"))
    with pytest.raises(DataError, match=r"r: image is 'img/Violence/1\.png', expected an image in"):
        filed_image("img/Violence/1.png", "x", [tmp_path], "r")
    assert filed_image("img/Violence/1.png", "x", [tmp_path], "r", shortest=1).source == tmp_path / "1.png"


@pytest.mark.parametrize("name", ["../secret.png", "a/../../b.png", "", "./.", "a\x00b.png", "x" * 5000 + ".png"])
def test_paths_that_lead_out_or_nowhere(tmp_path: Path, name: str) -> None:
    (tmp_path.parent / "secret.png").write_bytes(encoded("PNG"))
    with pytest.raises(DataError, match="image is "):
        filed_image(name, "x", [tmp_path], "r", shortest=1)


def test_an_absolute_path_stays_inside(tmp_path: Path) -> None:
    outside = tmp_path / "outside.png"
    outside.write_bytes(encoded("PNG"))
    (tmp_path / "inside").mkdir()
    with pytest.raises(DataError, match="expected an image in"):
        filed_image(str(outside), "x", [tmp_path / "inside"], "r", shortest=1)


def test_images_in_an_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "SFHQ.zip", "w") as archive:
        archive.writestr("SFHQ/a.png", encoded("PNG"))
        archive.writestr("SFHQ/twice/b.png", encoded("PNG"))
        archive.writestr("other/b.png", encoded("PNG"))
        archive.writestr("SFHQ/text.png", "no picture")
    assert filed_image("./dataset/SFHQ/a.png", "x", [tmp_path], "r").source == encoded("PNG")
    with pytest.raises(
        DataError, match=r"expected one file of that name; there are \['SFHQ\.zip: SFHQ/twice/b\.png', "
    ):
        filed_image("b.png", "x", [tmp_path], "r", shortest=1)
    # An archive that comes first has a file of that name elsewhere: the longer tail decides.
    with zipfile.ZipFile(tmp_path / "CelebA.zip", "w") as archive:
        archive.writestr("CelebA/a.png", encoded("PNG", (9, 9)))
    assert filed_image("./dataset/SFHQ/a.png", "x", [tmp_path], "r", shortest=1).source == encoded("PNG")
    with pytest.raises(DataError, match=r"there are \['CelebA\.zip: CelebA/a\.png', 'SFHQ\.zip: SFHQ/a\.png'\]"):
        filed_image("dataset/a.png", "x", [tmp_path], "r", shortest=1)
    with pytest.raises(DataError, match="expected an image file"):
        filed_image("SFHQ/text.png", "x", [tmp_path], "r")
    (tmp_path / "SFHQ.zip").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(DataError, match=r"SFHQ\.zip is not a sound zip archive: .*Fetch it again"):
        filed_image("SFHQ/a.png", "x", [tmp_path], "r")


def test_an_archive_is_not_unpacked_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unsee.data.strict._LARGEST_FILE", 10)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/a.png", encoded("PNG"))
    with pytest.raises(DataError, match="expected at most 10 bytes unpacked, not"):
        filed_image("x/a.png", "x", [tmp_path], "r")


def test_columns() -> None:
    assert require_columns(["b", "a"], [("a", "b"), ("a",)], "f") == ("a", "b")
    with pytest.raises(DataError, match=r"f: the set of columns is \['a', 'c'\].*missing or unknown: \['b', 'c'\]"):
        require_columns(["a", "c"], [("a", "b")], "f")


def test_fields() -> None:
    require_fields({"a": 1, "b": None}, ("a",), ("b", "c"), "f, record 0")
    with pytest.raises(DataError, match="f, record 0: a is None, expected a value"):
        require_fields({"b": 1}, ("a",), ("b",), "f, record 0")
    with pytest.raises(DataError, match=r"f, record 0: the name of a field is 'anwser', expected one of \['a'\]"):
        require_fields({"a": 1, "anwser": 2}, ("a",), (), "f, record 0")


def test_keys_are_unique() -> None:
    places: dict[str, str] = {}
    unique(places, "x", "row 0", "ID")
    unique(places, "x", "row 0", "ID")
    with pytest.raises(DataError, match=r"row 4: ID is 'x', expected an ID of its own \(row 0 has the same\)"):
        unique(places, "x", "row 4", "ID")


nested = st.recursive(
    st.none() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def wrapped(value: Any) -> Any:
    """As pandas hands out what parquet holds: every list an array of objects."""
    if isinstance(value, dict):
        return {key: wrapped(entry) for key, entry in value.items()}
    if isinstance(value, list):
        array = np.empty(len(value), dtype=object)
        array[:] = [wrapped(entry) for entry in value]
        return array
    return np.int64(value) if isinstance(value, int) else value


@settings(deadline=None)
@given(nested)
def test_numpy_wrapped_lists_become_plain(value: Any) -> None:
    unwrapped = plain(wrapped(value))
    assert unwrapped == value
    json.dumps(unwrapped)


def test_records_and_texts() -> None:
    assert records([{"a": 1}], "f", "r") == [{"a": 1}]
    assert records(np.array([{"a": 1}], dtype=object), "f", "r") == [{"a": 1}]
    assert texts(np.array(["a", "b"], dtype=object), "f", "r") == ("a", "b")
    assert texts(["é", "名前", "🙂"], "f", "r") == ("é", "名前", "🙂")


@pytest.mark.parametrize(
    "value", [None, [], "text", 3, [[{"a": 1}]], [None], ["a"], {"a": 1}, np.array([]), np.array(5)]
)
def test_what_is_no_list_of_records(value: Any) -> None:
    with pytest.raises(DataError, match=r"r: f is .*expected a list of at least one record"):
        records(value, "f", "r")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "f is None, expected a list of at least one text"),
        ([], r"f is \[\], expected a list of at least one text"),
        ("text", "f is 'text', expected a list"),
        (["a", ""], r"f\[1\] is '', expected some text"),
        (["a", None], r"f\[1\] is None"),
        ([["a"]], r"f\[0\] is \['a'\], expected some text"),
        (["\ud800"], r"f\[0\] is '\\ud800', expected some text"),
        (np.array([1, 2]), r"f\[0\] is 1, expected some text"),
    ],
)
def test_what_is_no_list_of_texts(value: Any, told: str) -> None:
    with pytest.raises(DataError, match=f"r: {told}"):
        texts(value, "f", "r")


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=5), nested, max_size=4))
def test_literals_are_what_repr_wrote(value: dict[str, Any]) -> None:
    assert literal(repr(value), "f", "r") == value


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "f is None, expected some text"),
        ({"a": 1}, "f is {'a': 1}, expected some text"),
        ('{"a": null}', "expected a dictionary as a Python literal, such as"),
        ("[1, 2]", "expected a dictionary as a Python literal"),
        ("{'a': array([1, 2])}", r"a Python literal, without numpy's array\(\.\.\.\): save it with \.tolist\(\)"),
        ("__import__('os').system('true')", "expected a dictionary as a Python literal"),
        ("{'a': open('x')}", "expected a dictionary as a Python literal"),
        ("[" * 50_000, "expected a dictionary as a Python literal"),
        ("{'a': ", "expected a dictionary as a Python literal"),
    ],
)
def test_what_is_no_literal(value: Any, told: str) -> None:
    with pytest.raises(DataError, match=f"r: .*{told}"):
        literal(value, "f", "r")


def test_json_as_a_list_or_a_record_a_line(tmp_path: Path) -> None:
    file = tmp_path / "full.json"
    for content in ('[{"a": 1}, {"a": 2}]', '{"a": 1}\n{"a": 2}\n', '\ufeff{"a": 1}\r\n\r\n{"a": 2}'):
        file.write_text(content, encoding="utf-8")
        assert [record["a"] for _, record in documents(file)] == [1, 2]
    file.write_text('{"a": 1}', encoding="utf-8")
    assert documents(file) == [(f"{file}, record 0", {"a": 1})]
    file.write_text('{"a": "x\u2028y"}\n{"a": 2}', encoding="utf-8")
    assert documents(file)[0][1]["a"] == "x\u2028y"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "holds no record, expected at least one"),
        (b"[]", "holds no record"),
        (b"[[]]", r"record 0: the record is \[\], expected a JSON object"),
        (b"[null]", "record 0: the record is None"),
        (b"3", "record 0: the record is 3"),
        (b'{"a": 1}\n{"a": ', r"line 2: the line is '\{\"a\": ', expected one JSON object, or the whole file"),
        (b'[{"a": 1}, {"a', "line 1: the line is"),
        (b"\xff\xfe", "cannot read .*Expected UTF-8 text"),
        (b"[" * 100_000, "line 1: the line is"),
    ],
)
def test_json_that_is_none(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(DataError, match=told):
        documents(tmp_path / "a.json")


def test_json_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .*a\.json: .*fetch it again or check the path"):
        documents(tmp_path / "a.json")


def test_pseudonyms() -> None:
    assert pseudonym("author", "Ada Roe") == pseudonym("author", " ada roe ") != pseudonym("author", "Ada Row")
    assert "ada" not in pseudonym("author", "Ada Roe").lower().removeprefix("author")
