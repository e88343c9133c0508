"""The table of benchmarks, what `read` makes of it, and the page that documents it."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from unsee.data import benchmark_task, read, read_benchmark
from unsee.data.benchmarks.items import Protocol
from unsee.errors import DataError, OptionError
from unsee.registry import BENCHMARKS

Folders = Callable[[str], Path]
PUBLISHED = [entry.name for entry in BENCHMARKS if entry.facts["needs_data"]]
PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"


def test_unknown_names_list_the_legal_ones(tmp_path: Path) -> None:
    legal = re.escape(str(BENCHMARKS.names()))
    assert {"clear", "clear-choice", "mllmu", "world"} <= set(BENCHMARKS.names())
    for call in (lambda: benchmark_task("clera", tmp_path), lambda: read(tmp_path, "x", benchmark="clera")):
        with pytest.raises(OptionError, match=rf"benchmark is 'clera', expected one of {legal}"):
            call()
    with pytest.raises(OptionError, match=r"protocol is 'strict', expected one of \['official', 'honest'\]"):
        benchmark_task("clear", tmp_path, "strict")  # pyright: ignore[reportArgumentType]
    with pytest.raises(
        OptionError, match=rf"protocol is 'official' but no benchmark was named, expected one of {legal}"
    ):
        read(tmp_path, protocol="official")


@pytest.mark.parametrize(
    ("name", "ratio", "legal"), [("mllmu", 7, r"\[5, 10, 15\]"), ("unlok", 5, "none: leave it out")]
)
def test_ratios(name: str, ratio: int, legal: str, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=rf"ratio is {ratio}, but .* has {legal}"):
        benchmark_task(name, tmp_path, ratio=ratio)


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("protocol", get_args(Protocol))
def test_every_benchmark_under_every_protocol_and_ratio(
    name: str, protocol: Protocol, benchmark_folder: Folders
) -> None:
    folder = benchmark_folder("clear" if name == "clear-choice" else name)
    for ratio in BENCHMARKS.named(name).facts["ratios"] or (None,):
        found = benchmark_task(name, folder, protocol, ratio)
        assert (found.name, found.protocol) == (name, protocol)
        samples = found.samples()
        for mine in samples.values():
            assert len({sample.id for sample in mine}) == len(mine)
        if protocol == "honest":
            people = {key: {sample.subject for sample in mine} for key, mine in samples.items()}
            kept = [people[key] for key in ("retain_fit", "calibration", "retain_unseen")]
            assert not set.intersection(*kept) and not any(one & two for one in kept for two in kept if one is not two)
            assert not people["forget_fit"] & set().union(*kept)


def test_read_takes_folder_and_split(benchmark_folder: Folders) -> None:
    folder = benchmark_folder("umu")
    samples = read(f"{folder}:forget_5", benchmark="umu")
    assert samples == read(folder, "forget_5", benchmark="umu")
    assert samples == [item.sample for item in read_benchmark("umu", folder, "forget_5")]
    assert read(folder, "forget_5", "umu", "official")
    with pytest.raises(DataError, match="the set of columns is"):
        read(folder, "forget_5")


def test_each_file_opens_with_the_card() -> None:
    for name in PUBLISHED:
        card = BENCHMARKS.named(name).facts["card"]
        source = (
            Path(__file__).parents[2] / "src" / "unsee" / "data" / "benchmarks" / f"{name.removesuffix('-choice')}.py"
        )
        opener = source.read_text(encoding="utf-8").split('"""')[1]
        assert card.title in opener
        assert "Licence" in opener and "Revision" in opener and "Source" in opener
        if card.hub:
            assert card.hub in opener


def test_the_page_has_every_benchmark_with_its_card() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name in PUBLISHED:
        card = BENCHMARKS.named(name).facts["card"]
        assert f"| `{name}` |" in page
        assert card.title in page
        assert card.licence in page
        if card.hub:
            assert f"`{card.hub}`" in page
        for split, rows in card.splits.items():
            assert f"`{split}`" in page, split
            assert not rows or f"{rows}" in page, (split, rows)


def test_every_set_has_a_role_and_the_fitted_ones_are_marked(benchmark_folder: Folders) -> None:
    for name in PUBLISHED:
        folder = benchmark_folder("clear" if name == "clear-choice" else name)
        found = benchmark_task(name, folder, "honest").sets
        fitted = {key for key, one in found.items() if one.use != "test"}
        assert fitted == {"forget_fit", "retain_fit", "calibration"}
        assert {key for key, one in found.items() if one.role == "forget"} == {"forget_fit", "forget_heldout"}
        assert not [key for key, one in found.items() if one.role == "unlabelled"]
