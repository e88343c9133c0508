"""Presets: every one is described, runs against a base, survives a variant that cannot be fitted, and can be drawn."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from PIL import Image
from tests.tiny_llava import question, tiny_llava

from unsee.erase.config import Settings
from unsee.errors import CalibrationError, SaveError
from unsee.evals.answerers import Answerer, InputFiltered, Local
from unsee.experiments.sweeps.ablations import ABLATIONS, FURTHER, SPLITS, as_rows, described, run
from unsee.experiments.sweeps.picture import draw_variants
from unsee.experiments.sweeps.trying import Trial
from unsee.world.generate import World
from unsee.world.splits import Exam

GOLD = question(0).gold


class Asked:
    """Two questions in every split; the base model knows every answer."""

    def __init__(self) -> None:
        self.loaded, self.exam, self.settings = tiny_llava(), Exam(World(2, private=20)), Settings()

    def stages(self, name: str, total: int) -> Callable[[int], None]:
        return lambda done: None

    def asks(self, split: str) -> list[Any]:
        return [replace(question(i, f"{split}, {i}?"), id=f"{split}/{i}") for i in range(2)]

    def asked(self) -> Answerer:
        return InputFiltered(Local(self.loaded), lambda asked: torch.ones(len(asked)).bool(), GOLD)


def variants(_: Trial) -> Iterable[tuple[str, Callable[[], Answerer]]]:
    def broken() -> Answerer:
        raise CalibrationError("too weak")

    always = InputFiltered(Local(tiny_llava()), lambda asked: torch.ones(len(asked)).bool(), "i must decline.")
    yield "refuses", lambda: always
    yield "broken", broken


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(cast(dict[str, Any], ABLATIONS), "odd", variants)
        return as_rows(run(cast(Trial, Asked()), "odd", tmp_path_factory.mktemp("ablation")))


def test_a_variant_that_cannot_be_fitted_is_unscored_and_the_others_stay(rows: list[dict[str, Any]]) -> None:
    base, refuses, broken = rows
    assert [r["variant"] for r in (base, refuses, broken)] == ["base", "refuses", "broken"]
    assert base["forget_leaked"]["value"] == base["retain_unseen_right"]["value"] == 1
    assert refuses["forget_refused"]["value"] == refuses["retain_fit_refused"]["value"] == 1
    assert refuses["forget_leaked"]["value"] == refuses["visible_right"]["value"] == 0
    assert broken["forget_refused"] == {"value": None, "ci95": None, "n": 0}


def test_every_preset_is_described_in_one_line_and_asks_splits_by_name() -> None:
    for name in ABLATIONS:
        assert described(name).endswith(".")
    assert set(FURTHER) <= set(ABLATIONS.values())
    assert not set(SPLITS) & {split for further in FURTHER.values() for split in further}


def test_a_picture_is_900_wide_and_as_high_as_it_has_lines(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    some = rows
    heights = []
    for count in (1, 3):
        draw_variants(some[:count], "what was varied.", tmp_path / "a.png")
        with Image.open(tmp_path / "a.png") as drawn:
            assert drawn.width == 900
            heights.append(drawn.height)
    assert heights[0] < heights[1]


def test_a_picture_that_cannot_be_written_says_where(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SaveError, match="--out"):
        draw_variants(rows, "t", tmp_path / "file" / "a.png")
