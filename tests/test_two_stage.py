"""The simulation of two stages: with every candidate it is the whole bank, and its figures are what they are called."""

import json

import numpy as np
import pytest
from benchmarks import two_stage

faiss = pytest.importorskip("faiss", reason="extra scale")


def test_with_every_candidate_two_stages_are_one() -> None:
    draws = np.random.default_rng(0)
    bank = two_stage.units(draws, 300, 64)
    asked = two_stage.prompts(draws, bank, 0.6, 80)
    assert {one.dtype for one in (bank, asked.calibration, asked.about)} == {np.dtype("float32")}, "as gates are kept"
    every = two_stage.largest(bank, asked.about)
    for cells in (False, True):
        index = two_stage.indexed(faiss, bank, 64, cells)
        if cells:
            index.nprobe = index.nlist
        found = two_stage.two_stages(index, bank, asked.about, 300)
        assert (found[1] == every[1]).all()
        np.testing.assert_allclose(found[0], every[0], atol=1e-5)


def test_prompts_about_a_subject_are_as_like_it_as_was_said() -> None:
    draws = np.random.default_rng(0)
    bank = two_stage.units(draws, 400, 256)
    asked = two_stage.prompts(draws, bank, 0.4, 400)
    assert (asked.about * bank[asked.whom]).sum(1).mean() == pytest.approx(0.4, abs=0.02)
    assert abs((asked.unknown[:, None] * bank[None]).sum(-1).mean()) < 0.01


def test_figures_of_a_small_bank(capsys: pytest.CaptureFixture[str]) -> None:
    options = "--subjects 50 2000 --candidates 64 --likeness 0.5 --width 128 --pooled 64 --prompts 400 --json"
    two_stage.main(options.split())
    (rows,) = json.loads(capsys.readouterr().out.splitlines()[-1])["tables"].values()
    of = {(row["subjects"], row["way"]): row for row in rows}
    for count in (50, 2000):
        alone, every, staged = (of[count, way] for way in (two_stage.ALONE, two_stage.EVERY, "two stages, 64"))
        assert alone["over"] > 0.15 > 0.06 > every["over"], "small shares add up, and a raised threshold holds them"
        assert every["threshold"] > alone["threshold"] and every["recall"] <= alone["recall"]
        assert abs(staged["over"] - every["over"]) < 0.03
    assert of[2000, "every gate"]["threshold"] > of[50, "every gate"]["threshold"]
    assert of[2000, "two stages, 64"]["read"] < of[2000, "every gate"]["read"] / 3
