"""Where the files of a data set lie, and what they may be: folders, hub ids, JSON, shards, archives."""

import zipfile
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
from huggingface_hub.errors import (
    HTTPError,  # pyright: ignore[reportPrivateImportUsage]
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
)

from drawn import encoded
from unsee.data import files
from unsee.data.files import documents, filed_image, locate
from unsee.data.parquet import shards
from unsee.data.records import pseudonym
from unsee.errors import DataError


@pytest.mark.parametrize(
    ("id", "name", "revision"),
    [
        ("therem/CLEAR", "therem/CLEAR", None),
        ("therem/CLEAR@2e1fcda", "therem/CLEAR", "2e1fcda"),
        ("a_b/c-d.e@refs/pr/3", "a_b/c-d.e", "refs/pr/3"),
    ],
)
def test_hub_ids(id: str, name: str, revision: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, Any]] = []

    def fetch(repo: str, **options: Any) -> str:
        calls.append({"repo": repo, **options})
        return str(tmp_path)

    monkeypatch.setattr(files, "snapshot_download", fetch)
    assert locate(id, ["a/*"]) == tmp_path == locate(tmp_path, ["*"])
    assert calls == [{"repo": name, "repo_type": "dataset", "revision": revision, "allow_patterns": ["a/*"]}]


@pytest.mark.parametrize("id", ["no-such", "a/b/c", "/no/such", "a/b@", "owner/name:config", Path("owner/name")])
def test_what_is_neither(id: str | Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "snapshot_download", lambda *_, **__: pytest.fail("asked the hub"))
    with pytest.raises(DataError, match=r"there is no folder .*Check the path"):
        locate(id, ["*"])


@pytest.mark.parametrize("failure", [LocalEntryNotFoundError("off"), OfflineModeIsEnabled("off"), HTTPError("off")])
def test_an_unreachable_hub_says_what_to_do(failure: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(*_: Any, **__: Any) -> str:
        raise failure

    monkeypatch.setattr(files, "snapshot_download", fetch)
    told = rf"cannot be had from the hub: {type(failure).__name__}: off.* pass its folder"
    with pytest.raises(DataError, match=told):
        locate("therem/CLEAR", ["*"])


def test_what_is_in_the_cache_needs_no_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's own layout, read by the hub's own client with the network closed."""
    commit = "0" * 40
    kept = tmp_path / "datasets--therem--CLEAR"
    (kept / "refs").mkdir(parents=True)
    (kept / "refs" / "main").write_text(commit)
    (kept / "snapshots" / commit / "forget01").mkdir(parents=True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    for id in ("therem/CLEAR", f"therem/CLEAR@{commit}"):
        assert locate(id, ["forget01/*.parquet"]) == kept / "snapshots" / commit


def test_every_announced_file_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no parquet file"):
        shards(tmp_path)
    for number in (0, 2):
        (tmp_path / f"train-{number:05d}-of-00003.parquet").write_bytes(b"")
    with pytest.raises(DataError, match=r"but not \['train-00001-of-00003\.parquet'\].*part of the rows would be left"):
        shards(tmp_path)
    (tmp_path / "train-00001-of-00003.parquet").write_bytes(b"")
    assert [file.name for file in shards(tmp_path)] == [f"train-{number:05d}-of-00003.parquet" for number in range(3)]


def test_an_image_is_found_by_the_tail_of_its_path(tmp_path: Path) -> None:
    (tmp_path / "img" / "Weapon").mkdir(parents=True)
    (tmp_path / "img" / "Weapon" / "1.png").write_bytes(encoded())
    for name in ("img/Weapon/1.png", "./dataset/img/Weapon/1.png", r"img\Weapon\1.png"):
        assert filed_image(name, "x", [tmp_path], "r").source == tmp_path / "img" / "Weapon" / "1.png"
    # One folder alone must not decide: another category may have a file of the same name.
    (tmp_path / "1.png").write_bytes(encoded())
    with pytest.raises(DataError, match=r"r: image is 'img/Violence/1\.png', expected an image in"):
        filed_image("img/Violence/1.png", "x", [tmp_path], "r")
    assert filed_image("img/Violence/1.png", "x", [tmp_path], "r", shortest=1).source == tmp_path / "1.png"


@pytest.mark.parametrize("name", ["../secret.png", "a/../../b.png", "", "./.", "a\x00b.png", "x" * 5000 + ".png"])
def test_paths_that_lead_out_or_nowhere(tmp_path: Path, name: str) -> None:
    (tmp_path.parent / "secret.png").write_bytes(encoded())
    with pytest.raises(DataError, match="image is "):
        filed_image(name, "x", [tmp_path], "r", shortest=1)


def test_an_absolute_path_stays_inside(tmp_path: Path) -> None:
    (tmp_path / "outside.png").write_bytes(encoded())
    (tmp_path / "inside").mkdir()
    with pytest.raises(DataError, match="expected an image in"):
        filed_image(str(tmp_path / "outside.png"), "x", [tmp_path / "inside"], "r", shortest=1)


def test_images_in_an_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "SFHQ.zip", "w") as archive:
        archive.writestr("SFHQ/a.png", encoded())
        archive.writestr("SFHQ/twice/b.png", encoded())
        archive.writestr("other/b.png", encoded())
        archive.writestr("SFHQ/text.png", "no picture")
    assert filed_image("./dataset/SFHQ/a.png", "x", [tmp_path], "r").source == encoded()
    with pytest.raises(DataError, match=r"expected one file of that name; there are \['SFHQ\.zip: SFHQ/twice/b\.png'"):
        filed_image("b.png", "x", [tmp_path], "r", shortest=1)
    # An archive that comes first has a file of that name elsewhere: the longer tail decides.
    with zipfile.ZipFile(tmp_path / "CelebA.zip", "w") as archive:
        archive.writestr("CelebA/a.png", encoded(size=(9, 9)))
    assert filed_image("./dataset/SFHQ/a.png", "x", [tmp_path], "r", shortest=1).source == encoded()
    with pytest.raises(DataError, match="expected an image file"):
        filed_image("SFHQ/text.png", "x", [tmp_path], "r")
    monkeypatch.setattr("unsee.data.files._LARGEST_FILE", 10)
    with pytest.raises(DataError, match="expected at most 10 bytes unpacked, not"):
        filed_image("SFHQ/a.png", "x", [tmp_path], "r")
    (tmp_path / "SFHQ.zip").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(DataError, match=r"SFHQ\.zip is not a sound zip archive: .*Fetch it again"):
        filed_image("SFHQ/a.png", "x", [tmp_path], "r")


def test_json_as_a_list_or_a_record_a_line(tmp_path: Path) -> None:
    file = tmp_path / "full.json"
    for content in ('[{"a": 1}, {"a": 2}]', '{"a": 1}\n{"a": 2}\n', '\ufeff{"a": 1}\r\n\r\n{"a": 2}'):
        file.write_text(content, encoding="utf-8")
        assert [record["a"] for _, record in documents(file)] == [1, 2]
    file.write_text('{"a": "x\u2028y"}\n{"a": 2}', encoding="utf-8")
    assert documents(file)[0] == (f"{file}, line 1", {"a": "x\u2028y"})


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "holds no record, expected at least one"),
        (b"[[]]", r"record 0: the record is \[\], expected a JSON object"),
        (b"3", "record 0: the record is 3"),
        (b'{"a": 1}\n{"a": ', r"line 2: the line is '\{\"a\": ', expected one JSON object, or the whole file"),
        (b"\xff\xfe", "cannot read .*Expected UTF-8 text"),
        (b"[" * 100_000, "line 1: the line is"),
        (None, "cannot read .*fetch it again or check the path"),
    ],
)
def test_json_that_is_none(tmp_path: Path, content: bytes | None, told: str) -> None:
    if content is not None:
        (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(DataError, match=told):
        documents(tmp_path / "a.json")


def test_pseudonyms() -> None:
    assert pseudonym("author", "Ada Roe") == pseudonym("author", " ada roe ") != pseudonym("author", "Ada Row")
    assert "ada" not in pseudonym("author", "Ada Roe").lower().removeprefix("author")
