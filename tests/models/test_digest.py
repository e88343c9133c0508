"""A digest is remembered only as long as it must be the same."""

import json
import os
import time
from pathlib import Path

import pytest

from tiny_foreign import tiny_llama
from unsee.models import digest as digests
from unsee.models.load import load


@pytest.fixture
def saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint whose last change is long enough ago to be remembered."""
    monkeypatch.setenv("UNSEE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(digests, "_SETTLED", 0.0)
    save(tmp_path / "model")
    return tmp_path / "model"


def save(folder: Path, seed: int = 0) -> None:
    tiny_llama(seed).model.save_pretrained(folder)
    tiny_llama(seed).processor.tokenizer.save_pretrained(folder)


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """One entry per digest that was computed."""
    computed: list[str] = []
    compute = digests.weights_digest
    monkeypatch.setattr(digests, "weights_digest", lambda model: computed.append(compute(model)) or computed[-1])
    return computed


def test_the_second_time_nothing_is_hashed(saved: Path, hashed: list[str]) -> None:
    assert load(saved, device="cpu").digest == load(saved, device="cpu").digest == tiny_llama().digest
    assert len(hashed) == 1


def test_other_weights_with_the_same_size_and_time_are_hashed_again(saved: Path, hashed: list[str]) -> None:
    weights = saved / "model.safetensors"
    before = weights.stat()
    assert load(saved, device="cpu").digest == tiny_llama().digest
    save(saved, seed=1)
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert weights.stat().st_size == before.st_size
    assert load(saved, device="cpu").digest == tiny_llama(1).digest != tiny_llama().digest
    assert len(hashed) == 2


def test_weights_written_in_place_with_the_same_time_are_hashed_again(saved: Path, hashed: list[str]) -> None:
    weights = saved / "model.safetensors"
    before = weights.stat()
    first = load(saved, device="cpu").digest
    changed = bytearray(weights.read_bytes())
    changed[-1] ^= 1
    with weights.open("r+b") as stream:
        stream.write(changed)
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert weights.stat().st_ino == before.st_ino
    assert load(saved, device="cpu").digest != first
    assert len(hashed) == 2


def test_files_that_have_just_changed_are_not_remembered(
    saved: Path, hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests, "_SETTLED", 3600.0)
    load(saved, device="cpu")
    load(saved, device="cpu")
    assert len(hashed) == 2


@pytest.mark.parametrize("text", ["", "{", "[]", '{"digest": 7}', '{"digest": "sha256:zz"}'])
def test_a_spoilt_memory_is_taken_again(saved: Path, hashed: list[str], tmp_path: Path, text: str) -> None:
    right = load(saved, device="cpu").digest
    (place,) = (tmp_path / "cache" / "digests").glob("*.json")
    place.write_text(text)
    assert load(saved, device="cpu").digest == right == json.loads(place.read_text())["digest"]
    assert len(hashed) == 2


def test_a_memory_that_cannot_be_written_costs_nothing_else(
    saved: Path, hashed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("UNSEE_CACHE", str(tmp_path / "file"))
    assert load(saved, device="cpu").digest == tiny_llama().digest


def test_files_that_change_while_they_are_read_are_not_remembered(saved: Path, hashed: list[str]) -> None:
    model = tiny_llama().model
    before = digests.states_of_files(str(saved), None)
    time.sleep(0.01)
    (saved / "config.json").touch()
    assert before is not None
    digests.digest_of_files(model, before, digests.states_of_files(str(saved), None))
    digests.digest_of_files(model, before, digests.states_of_files(str(saved), None))
    assert len(hashed) == 2
