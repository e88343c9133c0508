"""Folders, hub ids, and tables of several files."""

from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest
from huggingface_hub.errors import OfflineModeIsEnabled

from unsee.data import hub as source
from unsee.data.hub import locate, shards
from unsee.errors import DataError


def test_a_folder_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "snapshot_download", lambda *_, **__: pytest.fail("asked the hub"))
    assert locate(tmp_path, ["*"]) == locate(str(tmp_path), ["*"]) == tmp_path


@pytest.mark.parametrize(
    ("id", "name", "revision"),
    [
        ("therem/CLEAR", "therem/CLEAR", None),
        ("therem/CLEAR@2e1fcda", "therem/CLEAR", "2e1fcda"),
        ("therem/CLEAR@refs/pr/3", "therem/CLEAR", "refs/pr/3"),
        ("a_b/c-d.e", "a_b/c-d.e", None),
    ],
)
def test_hub_ids(id: str, name: str, revision: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[dict[str, Any]] = []

    def fetch(repo: str, **options: Any) -> str:
        calls.append({"repo": repo, **options})
        return str(tmp_path)

    monkeypatch.setattr(source, "snapshot_download", fetch)
    assert locate(id, ["a/*"]) == tmp_path
    assert calls == [{"repo": name, "repo_type": "dataset", "revision": revision, "allow_patterns": ["a/*"]}]


@pytest.mark.parametrize("id", ["no-such", "a/b/c", "/no/such", "a/b@", "-a/b", "owner/name:config"])
def test_what_is_neither(id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "snapshot_download", lambda *_, **__: pytest.fail("asked the hub"))
    with pytest.raises(DataError, match=r"there is no folder .*Check the path"):
        locate(id, ["*"])


def test_offline_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(*_: Any, **__: Any) -> str:
        raise OfflineModeIsEnabled("off")

    monkeypatch.setattr(source, "snapshot_download", fetch)
    with pytest.raises(DataError, match=r"cannot be had from the hub: OfflineModeIsEnabled: off.* pass its folder"):
        locate("therem/CLEAR", ["*"])


def test_every_announced_file_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no parquet file"):
        shards(tmp_path)
    for number in (0, 2):
        (tmp_path / f"train-{number:05d}-of-00003.parquet").write_bytes(b"")
    with pytest.raises(DataError, match=r"but not \['train-00001-of-00003\.parquet'\].*part of the rows would be left"):
        shards(tmp_path)
    (tmp_path / "train-00001-of-00003.parquet").write_bytes(b"")
    (tmp_path / "mine.parquet").write_bytes(b"")
    assert [file.name for file in shards(tmp_path)] == [
        "mine.parquet",
        *(f"train-{number:05d}-of-00003.parquet" for number in range(3)),
    ]


def test_what_is_in_the_cache_needs_no_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's own layout, read by the hub's own client with the network closed."""
    commit = "0" * 40
    kept = tmp_path / "datasets--therem--CLEAR"
    (kept / "refs").mkdir(parents=True)
    (kept / "refs" / "main").write_text(commit)
    (kept / "snapshots" / commit / "forget01").mkdir(parents=True)
    (kept / "snapshots" / commit / "forget01" / "train-00000-of-00001.parquet").write_bytes(b"PAR1")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    for id in ("therem/CLEAR", f"therem/CLEAR@{commit}"):
        assert locate(id, ["forget01/*.parquet"]) == kept / "snapshots" / commit
    with pytest.raises(DataError, match="'therem/OTHER' is no folder here and cannot be had from the hub"):
        locate("therem/OTHER", ["*"])
