"""Other families begin with what a LLaVA knows: the stages one after the other, in miniature, and what is refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tools.world import stages
from tools.world import tower_distillation as eyes
from tools.world.recipe import train
from tools.world.stages import ADAPTING, learn_sight, make_checkpoints, people_of, take_over
from tools.world.stages import FAMILIES as TAUGHT
from tools.world.vision_pretraining import draw_pool

from unsee.errors import OptionError
from unsee.models.load import load
from unsee.models.names import shipped
from unsee.world.generate import World
from unsee.world.shipped import FAMILIES, require_shipped
from unsee.world.splits import Exam


def quiet(_: str) -> None:
    pass


@pytest.mark.parametrize("name", ["qwen2_5_vl", "qwen3_vl"])
def test_a_decoder_is_taken_over_eyes_are_learnt_and_both_go_on_together(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eyes, "draw_pool", lambda people, views, seed, progress: draw_pool(3, 2, seed, progress))
    family, llava, out = TAUGHT[name], shipped("llava"), tmp_path / name
    sight = learn_sight(family, llava, quiet, steps=2)
    take_over(family, llava, sight, out, quiet, steps=1)
    before = load_file(out / "model.safetensors")
    world = World(5, private=6, celebrities=2, strangers=2)
    brief = replace(ADAPTING, steps=2, rows=3, views=2, warmup=1)
    train(world, brief, out, people=world.of("private"), start=out, family=family, progress=quiet)
    after = load_file(out / "model.safetensors")
    moved = {key.rpartition(".")[0] for key, weight in after.items() if not torch.equal(weight, before[key])}
    seen = {part for part in moved if "visual" in part}
    assert any("merger" in part for part in seen) and all("merger" in part for part in seen)
    assert any("layers.5." in part for part in moved)
    assert (out / "model.safetensors").stat().st_size < 10e6
    assert load(out, device="cpu").adapter.family == name


def test_who_never_knew_is_not_shown_the_forgotten() -> None:
    world = World()
    forgotten = {entity.id for entity in Exam(world).forget}
    met = {which: {entity.id for entity in people_of(world, which)} for which in ("base", "never-knew")}
    assert met["base"] - met["never-knew"] == forgotten and len(forgotten) == 20


def test_what_cannot_be_made_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"family is 'gemma', expected one of \['llava', 'qwen2_5_vl', 'qwen3_vl'\]"):
        make_checkpoints(tmp_path, family="gemma")
    with pytest.raises(OptionError, match=r"only is 'all', expected one of \['base', 'never-knew', 'both'\]"):
        make_checkpoints(tmp_path, only="all")
    with pytest.raises(OptionError, match="the shipped one knows the world of seed 0, not of 3"):
        make_checkpoints(tmp_path, family="qwen3_vl", seed=3)


def test_another_world_is_learnt_from_a_llava_of_this_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[tuple[World, Path, dict[str, Any]]] = []
    monkeypatch.setattr(stages, "train", lambda world, recipe, out, **rest: runs.append((world, out, rest)))
    begun = shipped("llava")
    made = make_checkpoints(tmp_path, seed=1, steps=1, start=begun)
    assert made == [tmp_path / "llava", tmp_path / "llava-never-knew"] == [out for _, out, _ in runs]
    for (world, _, rest), which in zip(runs, ("base", "never-knew"), strict=True):
        assert world.seed == 1 and rest["start"] == begun and rest["people"] == people_of(World(1), which)
    with pytest.raises(OptionError, match="start is given for family 'qwen3_vl', expected 'llava'"):
        make_checkpoints(tmp_path, family="qwen3_vl", start=begun)


def test_every_family_said_to_be_shipped_is() -> None:
    for family in FAMILIES:
        require_shipped(family)
        assert shipped(family).is_dir() and shipped(f"{family}-never-knew").is_dir()
    with pytest.raises(OptionError, match=r"family is 'gemma', expected one of \['llava'"):
        require_shipped("gemma")
