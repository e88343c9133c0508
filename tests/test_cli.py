"""The command line on real files: what works, and that every mendable mistake ends with 2 and a text that teaches."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from unsee.cli import main
from unsee.data import ImageFile, Sample, write_jsonl
from unsee.erase.config import Settings
from unsee.erase.eraser import Eraser
from unsee.erase.gates.prompt_ridge import PromptRidgeGate
from unsee.erase.kept_subjects import KeptSubjects
from unsee.erase.profile import Profile, identity
from unsee.models.load import load
from unsee.models.names import shipped

MODEL = "world:llava"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["unsee", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        out, err = capsys.readouterr()
        return int(stopped.value.code or 0), out, err

    return call


@pytest.fixture(scope="module")
def forget(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("forget")
    image = folder / "face.png"
    Image.new("RGB", (64, 64), (200, 30, 30)).save(image)
    samples = [
        Sample(f"s{i}", "subject-1", f"what is this person's job {i}?", "x.", "x", image=ImageFile("f", image))
        for i in range(3)
    ]
    write_jsonl(samples, folder)
    return folder


def an_eraser(width: int = 192, layer: int = 4) -> Eraser:
    gate = PromptRidgeGate((layer,), torch.zeros(1, 1, 2, width), torch.zeros(1), torch.ones(1))
    return Eraser(
        identity(load(shipped("llava"))),
        "llava",
        (layer,),
        gate,
        torch.ones(1, 2, width),
        1.0,
        "held-ridge",
        subjects=("a",),
    )


def test_asking_without_eraser_answers(run: Run) -> None:
    code, out, _ = run("ask", MODEL, "--question", "what is the capital of arvonia?", "--json")
    assert code == 0
    assert "quorum" in json.loads(out.splitlines()[-1])["before"]


def test_asking_with_an_eraser_shows_its_gate(run: Run, tmp_path: Path) -> None:
    an_eraser().save_pretrained(tmp_path / "e")
    code, out, _ = run(
        "ask", MODEL, "--question", "what is the capital of arvonia?", "--eraser", tmp_path / "e", "--json"
    )
    answered = json.loads(out.splitlines()[-1])
    assert code == 0
    assert answered["before"] == answered["after"], "a shut gate leaves the answer as it is"
    assert answered["gates"] == [{"eraser": str(tmp_path / "e"), "name": "a", "margin": -1.0}]


def test_showing_an_eraser(run: Run, tmp_path: Path) -> None:
    an_eraser().save_pretrained(tmp_path / "e")
    code, out, _ = run("show", tmp_path / "e")
    assert code == 0 and "held-ridge" in out
    code, out, _ = run("show", a_profile(tmp_path / "p"))
    assert code == 0 and "profile" in out


def test_an_artifact_of_the_hub_is_shown_by_its_id(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever kind it is of; nothing is fetched in place of a folder that is here."""
    hub = {"owner/profile": a_profile(tmp_path / "p"), "owner/eraser": tmp_path / "e"}
    an_eraser().save_pretrained(hub["owner/eraser"])
    monkeypatch.setattr("unsee.data.files.snapshot_download", lambda name, **_: str(hub[name]))
    for name in hub:
        code, out, err = run("show", name, "--json")
        assert code == 0 and json.loads(out.splitlines()[-1])["kind"].startswith(name.removeprefix("owner/")), err


def a_profile(folder: Path) -> Path:
    rows = torch.zeros(2, 1, 192).half()
    Profile(
        model=identity(load(shipped("llava"))),
        family="llava",
        layers=(4,),
        read=(4,),
        trajectory=torch.ones(1, 2, 192).half(),
        retain_last=rows,
        retain_mean=rows,
        calibration=torch.zeros(2, 1, 2, 192).half(),
        strength=1.0,
        settings=Settings().as_json() | {"kept": KeptSubjects.of(["anna"]).as_json()},
        counts={"retain": 2},
    ).save_pretrained(folder)
    return folder


def refused(result: tuple[int, str, str], *words: str) -> None:
    code, _, err = result
    flat = " ".join(err.split())
    assert code == 2, flat
    assert "Traceback" not in flat
    for word in words:
        assert word in flat, flat


def test_a_missing_checkpoint(run: Run, tmp_path: Path) -> None:
    refused(run("ask", tmp_path / "none", "--question", "who?"), "no model directory", "check the path")


def test_a_truncated_checkpoint(run: Run, tmp_path: Path) -> None:
    shutil.copytree(shipped("llava"), tmp_path / "m")
    weights = tmp_path / "m" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100_000])
    refused(run("ask", tmp_path / "m", "--question", "who?"), "ModelError", "the weights")


def test_another_family(run: Run, tmp_path: Path) -> None:
    shutil.copytree(shipped("llava"), tmp_path / "m")
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    (tmp_path / "m" / "config.json").write_text(json.dumps(config | {"model_type": "idefics2"}))
    refused(run("ask", tmp_path / "m", "--question", "who?"), "'idefics2'", "--layers")


def test_an_empty_forget_set(run: Run, tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_text("")
    refused(
        run(
            *("erase", MODEL, "--profile", a_profile(tmp_path / "p"), "--forget", tmp_path / "data.jsonl"),
            *("--out", tmp_path / "e"),
        ),
        "empty",
    )


def test_a_missing_profile_is_said_before_anything_is_read(run: Run, tmp_path: Path) -> None:
    made = ("--profile", tmp_path / "none", "--forget", tmp_path / "no-questions", "--out", tmp_path / "r")
    refused(run("erase", tmp_path / "no-model", *made), "none: there is no such folder, expected a saved profile")


def test_no_question_at_all_is_told_by_the_option(run: Run, tmp_path: Path) -> None:
    asked = ("eval", MODEL, "--benchmark", "world", "--limit", 0, "--out", tmp_path / "r")
    refused(run(*asked), "'--limit'", "greater than or equal to 1")


def test_a_person_in_both_sets(run: Run, tmp_path: Path, forget: Path) -> None:
    refused(
        run(
            *("erase", MODEL, "--profile", a_profile(tmp_path / "p"), "--forget", forget, "--retain", forget),
            *("--out", tmp_path / "e"),
        ),
        "both the forget and the retain set",
        "subject-1",
    )


def test_an_unreadable_image(run: Run, tmp_path: Path) -> None:
    (tmp_path / "face.png").write_bytes(b"not a picture")
    refused(run("ask", MODEL, "--image", tmp_path / "face.png", "--question", "who?"), "cannot read image", "PNG")


def test_a_nan_in_an_artifact(run: Run, tmp_path: Path) -> None:
    import safetensors.torch

    an_eraser().save_pretrained(tmp_path / "e")
    file = tmp_path / "e" / "eraser.safetensors"
    tensors = safetensors.torch.load_file(file)
    tensors["trajectory"][0, 0, 0] = float("nan")
    with safetensors.safe_open(file, "pt") as saved:
        header = saved.metadata()
    file.write_bytes(safetensors.torch.save(tensors, metadata=header))
    refused(run("ask", MODEL, "--question", "who?", "--eraser", tmp_path / "e"), "ArtifactError", "trajectory")


def test_an_artifact_for_another_model(run: Run, tmp_path: Path) -> None:
    from dataclasses import replace

    eraser = an_eraser()
    replace(eraser, model=eraser.model | {"id": "other-model", "digest": "sha256:" + "1" * 64}).save_pretrained(
        tmp_path / "e"
    )
    refused(run("ask", MODEL, "--question", "who?", "--eraser", tmp_path / "e"), "'other-model'", "'world:llava'")


@pytest.mark.parametrize(("width", "layer", "word"), [(64, 4, "64 wide"), (192, 40, "layers [40]")])
def test_an_artifact_of_another_shape(run: Run, tmp_path: Path, width: int, layer: int, word: str) -> None:
    an_eraser(width, layer).save_pretrained(tmp_path / "e")
    refused(run("ask", MODEL, "--question", "who?", "--eraser", tmp_path / "e"), "MismatchError", word)


def test_unknown_option_values_list_the_legal_ones(run: Run, tmp_path: Path, forget: Path) -> None:
    refused(
        run("erase", MODEL, "--profile", tmp_path, "--forget", forget, "--out", tmp_path / "e", "--method", "magic"),
        "'magic'",
        "'held-ridge'",
        "'released-llava'",
    )
    refused(run("eval", MODEL, "--data", forget, "--out", tmp_path / "r", "--style", "rude"), "'official'")
    refused(run("profile", MODEL, "--retain", forget, "--out", tmp_path / "p", "--direction", "up"), "'multimodal'")
    refused(run("ask", "world:bert", "--question", "who?"), "no checkpoint 'bert'")


def test_a_full_disk_leaves_the_old_artifact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno
    import os

    from unsee.errors import SaveError

    old = an_eraser()
    old.save_pretrained(tmp_path / "e")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SaveError):
        old.with_strength(2.0).save_pretrained(tmp_path / "e")
    monkeypatch.undo()
    assert Eraser.from_pretrained(tmp_path / "e").strength == 1.0
