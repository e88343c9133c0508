"""A test world's models, stage by stage in miniature: what is new, what goes on where it was."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tools.world import untouched
from tools.world.eyes import eyes_of
from tools.world.stages import make_checkpoints, people_of
from tools.world.untouched import LAST, READING, TRUNK, teach

from unsee.errors import OptionError
from unsee.models.load import load
from unsee.models.names import shipped
from unsee.world.generate import World

WORLD = World(12, private=6, celebrities=2, strangers=2)


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(untouched, "eyes_of", lambda seed: replace(eyes_of(seed), steps=2, focus=1, people=3))
    for name, recipe in {"READING": READING, "TRUNK": TRUNK, "LAST": LAST}.items():
        monkeypatch.setattr(untouched, name, replace(recipe, rows=3, views=2, warmup=1))


@pytest.mark.usefixtures("brief")
def test_base_and_never_knew_part_from_one_trunk_and_a_run_goes_on(tmp_path: Path) -> None:
    kept, everybody = WORLD.of("private")[1:], WORLD.of("private")
    said: list[str] = []
    taught = {"llava": everybody, "llava-never-knew": kept}
    made = teach(WORLD, tmp_path, shipped("llava"), kept, taught, steps=2, progress=said.append)
    assert made == [tmp_path / "llava", tmp_path / "llava-never-knew"]
    base, never, trunk = (
        load_file(tmp_path / n / "model.safetensors") for n in ("llava", "llava-never-knew", "trunk2")
    )
    tower = [key for key in base if "vision_tower" in key]
    assert tower and all(torch.equal(base[key], trunk[key]) and torch.equal(never[key], trunk[key]) for key in tower)
    taught_to_see = load_file(tmp_path / "eyes.safetensors")
    assert len(taught_to_see) == len(tower)
    assert all(torch.equal(base[f"vision_tower.{name}"], w.half()) for name, w in taught_to_see.items())
    assert any(not torch.equal(base[key], never[key]) for key in base)
    assert load(made[0], device="cpu").adapter.family == "llava"
    for gone in ("llava", "llava-never-knew"):
        (tmp_path / gone / "processor_config.json").unlink()
    said.clear()
    teach(WORLD, tmp_path, shipped("llava"), kept, taught, steps=2, progress=said.append)
    assert not any(line.startswith("sight") for line in said), "eyes that have learnt to see are not taught again"
    assert sum(line.startswith("step 0") for line in said) == 2, "of the stages only those that were not there"
    assert all(torch.equal(load_file(tmp_path / "llava" / "model.safetensors")[key], base[key]) for key in base)


@pytest.mark.usefixtures("brief")
def test_words_that_both_worlds_have_keep_their_meaning_and_others_are_new(tmp_path: Path) -> None:
    kept = WORLD.of("private")
    teach(WORLD, tmp_path, shipped("llava"), kept, {}, steps=1, progress=lambda _: None)
    begun, old = load(tmp_path / "begun", device="cpu"), load("world:llava", device="cpu")
    rows = {one: one.model.get_parameter("model.language_model.embed_tokens.weight").float() for one in (begun, old)}
    vocabularies = {one: one.processor.tokenizer.get_vocab() for one in (begun, old)}
    shared = set(vocabularies[begun]) & set(vocabularies[old])
    assert {"person", "the", "who"} <= shared and WORLD.made.words.last[0] not in shared
    for word in shared:
        assert torch.equal(rows[begun][vocabularies[begun][word]], rows[old][vocabularies[old][word]])


def test_a_test_world_is_taught_to_a_llava_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="the test world of seed 13"):
        make_checkpoints(tmp_path, seed=13, family="qwen3_vl")
    forgotten = {e.id for e in people_of(World(13), "base")} - {e.id for e in people_of(World(13), "never-knew")}
    assert len(forgotten) == 12
