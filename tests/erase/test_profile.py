"""Profiles and erasers: what is saved comes back, what is foreign is refused, what is kept cannot be forgotten."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from safetensors.torch import load_file

from unsee.data.sample import Sample
from unsee.erase.config import Settings
from unsee.erase.eraser import Eraser
from unsee.erase.gates.null_space import NullSpaceGate
from unsee.erase.gates.prompt_ridge import PromptRidgeGate
from unsee.erase.profile import Profile, require_same_model, subject_digest
from unsee.errors import ArtifactError, DataError, MismatchError, OptionError
from unsee.models.load import LoadedModel

MODEL = {"id": "tiny", "revision": None, "digest": "sha256:" + "a" * 64}


def a_profile() -> Profile:
    generator = torch.Generator().manual_seed(0)
    return Profile(
        model=MODEL,
        family="llava",
        layers=(1, 2, 3),
        read=(1, 2),
        trajectory=torch.randn(3, 4, 8, generator=generator).half(),
        retain_last=torch.randn(5, 3, 8, generator=generator).half(),
        retain_mean=torch.randn(5, 2, 8, generator=generator).half(),
        calibration=torch.randn(6, 2, 2, 8, generator=generator).half(),
        strength=0.5,
        settings=Settings().as_json() | {"seed": 3, "kept": [subject_digest("anna")]},
        counts={"retain": 5},
        report=[{"check": "a", "result": "b", "verdict": "pass", "note": ""}],
        curves={"pgd": [-2.0, -1.0]},
    )


def test_a_profile_comes_back_as_it_was(tmp_path: Path) -> None:
    profile = a_profile()
    content = profile.save_pretrained(tmp_path)
    again = Profile.from_pretrained(tmp_path)
    assert again.save_pretrained(tmp_path / "b") == content
    for name in ("trajectory", "retain_last", "retain_mean", "calibration"):
        assert torch.equal(getattr(again, name), getattr(profile, name))
    assert (again.settings, again.read, again.strength, again.curves) == (
        profile.settings,
        profile.read,
        profile.strength,
        profile.curves,
    )
    assert Settings.from_json(again.settings) == Settings()


def test_steering_starts_at_the_last_block_read() -> None:
    assert a_profile().written == (2, 3)
    assert a_profile().retain.shape == (5, 2, 2, 8)


def test_what_is_kept_cannot_be_forgotten() -> None:
    with pytest.raises(DataError, match="either forgotten or kept"):
        a_profile().require_unknown([Sample("1", "anna", "who?", "", "")])
    a_profile().require_unknown([Sample("1", "berta", "who?", "", "")])


def test_another_model_is_refused_with_both_names() -> None:
    other = SimpleNamespace(name="elsewhere", revision=None, digest="sha256:" + "b" * 64)
    with pytest.raises(MismatchError, match=r"'tiny'.*'elsewhere'"):
        require_same_model(MODEL, cast(LoadedModel, other), "eraser")


@pytest.mark.parametrize("held", [True, False])
def test_an_eraser_comes_back_as_it_was(tmp_path: Path, held: bool) -> None:
    gate = (
        PromptRidgeGate((1,), torch.ones(2, 1, 2, 8), torch.zeros(2), torch.tensor([0.5, 0.6]))
        if held
        else NullSpaceGate(torch.ones(2, 8))
    )
    eraser = Eraser(
        MODEL, "llava", (2, 3), gate, torch.ones(2, 4, 8), 0.5, "m", subjects=("a", "b"), counts={"forget": 2}
    )
    content = eraser.save_pretrained(tmp_path)
    again = Eraser.from_pretrained(tmp_path)
    tensors = load_file(tmp_path / "eraser.safetensors")
    assert eraser.stored_bytes == sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    assert type(again.gate) is type(gate)
    assert torch.equal(again.gate.weight, gate.weight)
    assert (again.subjects, again.strength, again.layers) == (("a", "b"), 0.5, (2, 3))
    assert again.save_pretrained(tmp_path / "b") == content
    assert "deletes" not in again.card() and "weights still contain" in again.card()


def test_a_changed_setting_is_noticed(tmp_path: Path) -> None:
    eraser = Eraser(MODEL, "llava", (2,), NullSpaceGate(torch.ones(1, 8)), torch.ones(1, 1, 8), 0.5, "m")
    eraser.save_pretrained(tmp_path)
    file = tmp_path / "eraser.safetensors"
    file.write_bytes(file.read_bytes().replace(b'strength\\":0.5', b'strength\\":5.0'))
    with pytest.raises(ArtifactError, match="content_id"):
        Eraser.from_pretrained(tmp_path)


def test_a_random_direction_has_the_same_length_and_the_same_gate() -> None:
    eraser = Eraser(MODEL, "llava", (2,), NullSpaceGate(torch.ones(1, 8)), torch.randn(1, 3, 8), 0.5, "m")
    control = eraser.with_random_direction(1)
    torch.testing.assert_close(control.trajectory.norm(dim=-1), eraser.trajectory.norm(dim=-1))
    assert not torch.allclose(control.trajectory, eraser.trajectory)
    assert control.gate is eraser.gate
    assert replace(control, trajectory=eraser.trajectory, method="m").strength == eraser.strength


def test_settings_refuse_what_makes_no_sense() -> None:
    for wrong in (
        {"direction": "up"},
        {"read": (0.6, 0.3)},
        {"tail": 0.0},
        {"strengths": ()},
        {"steps": 0},
        {"ridge": -1.0},
        {"wordings": 0},
        {"refused": 7},
        {"epsilon": -1},
        {"epsilon": float("nan")},
        {"step_size": 0.0},
        {"strengths": (1.0, 0.5)},
        {"strengths": (float("inf"),)},
        {"pgd_steps": 2.5},
    ):
        with pytest.raises(OptionError, match="expected"):
            Settings.from_json(wrong)


def test_a_trajectory_beyond_half_precision_is_not_saved(tmp_path: Path) -> None:
    eraser = Eraser(MODEL, "llava", (2,), NullSpaceGate(torch.ones(1, 8)), torch.full((1, 1, 8), 1e5), 0.5, "m")
    with pytest.raises(ArtifactError, match="'trajectory' has 8 of 8 values NaN or infinite"):
        eraser.save_pretrained(tmp_path)
    assert not any(tmp_path.iterdir())
