"""Profiles and erasers: what is saved comes back, what is foreign is refused, what is kept cannot be forgotten."""

import hashlib
import shutil
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
from unsee.erase.kept_subjects import KeptSubjects
from unsee.erase.profile import Profile, require_same_model
from unsee.errors import ArtifactError, DataError, MismatchError, OptionError
from unsee.models.load import LoadedModel

MODEL = {"id": "tiny", "revision": None, "digest": "sha256:" + "a" * 64}
KEY = bytes(range(32))


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
        settings=Settings().as_json() | {"seed": 3, "kept": KeptSubjects.of(["anna"], KEY).as_json()},
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


def test_profiles_and_erasers_go_to_the_hub_and_come_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[tuple[str, bool]] = []

    class Hub:
        def create_repo(self, name: str, private: bool, exist_ok: bool) -> None:
            asked.append((name, private))

        def upload_folder(self, repo_id: str, folder_path: str, allow_patterns: list[str]) -> str:
            shutil.copytree(folder_path, tmp_path / repo_id)
            assert sorted(allow_patterns) == sorted(file.name for file in (tmp_path / repo_id).iterdir())
            return f"hub:{repo_id}"

    monkeypatch.setattr("huggingface_hub.HfApi", Hub)
    monkeypatch.setattr("unsee.data.files.snapshot_download", lambda name, **_: str(tmp_path / name))
    eraser = Eraser(MODEL, "llava", (2,), NullSpaceGate(torch.ones(1, 8)), torch.ones(1, 1, 8), 0.5, "m")
    assert a_profile().push_to_hub("owner/profile") == "hub:owner/profile"
    assert eraser.push_to_hub("owner/eraser", private=False) == "hub:owner/eraser"
    assert asked == [("owner/profile", True), ("owner/eraser", False)]
    assert torch.equal(Profile.from_pretrained("owner/profile").trajectory, a_profile().trajectory)
    for source in ("owner/eraser", Path("owner/eraser")):
        assert Eraser.from_pretrained(source).strength == 0.5


def test_the_same_fit_has_the_same_bytes_but_for_the_random_key(tmp_path: Path) -> None:
    fits = [
        replace(a_profile(), settings=a_profile().settings | {"kept": KeptSubjects.of(["anna"], key).as_json()})
        for key in (KEY, KEY, None)
    ]
    ids = [fit.save_pretrained(tmp_path / str(number)) for number, fit in enumerate(fits)]
    assert ids[0] == ids[1] != ids[2]
    stored = [load_file(tmp_path / str(number) / "profile.safetensors") for number in range(3)]
    assert all(torch.equal(stored[0][name], stored[2][name]) for name in stored[0])
    assert {k: v for k, v in fits[0].settings.items() if k != "kept"} == {
        k: v for k, v in Profile.from_pretrained(tmp_path / "2").settings.items() if k != "kept"
    }


def test_steering_starts_at_the_last_block_read() -> None:
    assert a_profile().written == (2, 3)
    assert a_profile().retain.shape == (5, 2, 2, 8)


def test_what_is_kept_cannot_be_forgotten() -> None:
    with pytest.raises(DataError, match="either forgotten or kept"):
        a_profile().require_unknown([Sample("1", "anna", "who?", "", "")])
    a_profile().require_unknown([Sample("1", "berta", "who?", "", "")])


def test_whom_a_profile_kept_cannot_be_guessed_or_linked_without_its_key(tmp_path: Path) -> None:
    a_profile().save_pretrained(tmp_path)
    stored = (tmp_path / "profile.safetensors").read_bytes()
    assert b"anna" not in stored and hashlib.sha256(b"anna").hexdigest()[:16].encode() not in stored
    # RFC 2104 by hand: H((K xor opad) || H((K xor ipad) || m)).
    inner = hashlib.sha256(bytes(k ^ 0x36 for k in KEY.ljust(64, b"\0")) + b"anna").digest()
    outer = hashlib.sha256(bytes(k ^ 0x5C for k in KEY.ljust(64, b"\0")) + inner).hexdigest()
    assert Profile.from_pretrained(tmp_path).settings["kept"]["pseudonyms"] == [outer[:16]]
    one, other = KeptSubjects.of(["anna"]), KeptSubjects.of(["anna"])
    assert one.pseudonyms.isdisjoint(other.pseudonyms) and "anna" in one and "anna" in other and "berta" not in one
    assert one.key not in repr(one)
    with pytest.raises(OptionError, match="has 3 bytes, expected at least 16"):
        KeptSubjects.of(["anna"], b"abc")


def test_a_profile_with_unkeyed_subjects_is_not_taken_for_one_that_kept_nobody() -> None:
    old = replace(a_profile(), settings={"kept": [hashlib.sha256(b"anna").hexdigest()[:16]]})
    with pytest.raises(ArtifactError, match="Make the profile again"):
        old.require_unknown([Sample("1", "anna", "who?", "", "")])


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
