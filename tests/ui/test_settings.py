"""What is chosen beside a question survives a link, and a command line repeats the answer."""

import asyncio
import json
import shlex
import sys
import threading
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
import torch
from PIL import Image

from unsee.cli import main
from unsee.data import ImageFile
from unsee.data.sample import Turn
from unsee.erase.eraser import Eraser
from unsee.erase.gates.prompt_ridge import PromptRidgeGate
from unsee.erase.profile import identity
from unsee.erase.steer.hooks import erased
from unsee.models.load import LoadedModel, load
from unsee.ui.answer import How, answer
from unsee.ui.engine import Engine
from unsee.ui.settings import Settings


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return load("world:llava")


@pytest.fixture
def folder(loaded: LoadedModel, tmp_path: Path) -> Path:
    """An eraser whose gate is always open and whose steering changes answers."""
    gate = PromptRidgeGate((4,), torch.zeros(1, 1, 2, 192), torch.ones(1), torch.zeros(1))
    moved = torch.randn(1, 24, 192, generator=torch.Generator().manual_seed(0))
    Eraser(identity(loaded), "llava", (4,), gate, moved, 2.0, "test", subjects=("a",)).save_pretrained(tmp_path / "e")
    return tmp_path / "e"


SETTINGS = [
    Settings(["e"], how=How(12)),
    Settings(["e"], coefficient=0.3, how=How(12)),
    Settings(["e"], reply="canned", words="i do not know 'them'.", how=How(12)),
    Settings(["e"], reply="prefix", words="i do not", system="be short.", how=How(12)),
    Settings(["e"], coefficient=0.1, how=How(12, 0.9, 7)),
]


@pytest.mark.parametrize("chosen", SETTINGS)
def test_a_link_opens_the_same_settings(chosen: Settings) -> None:
    query = dict(parse_qsl(urlsplit(chosen.link("who is 'she' & what? 😀")).query))
    assert query.pop("question") == "who is 'she' & what? 😀"
    assert Settings.of(query, ["other", "e"]) == chosen


@pytest.mark.parametrize(
    "query", [{"seed": "9" * 5000}, {"tokens": "-1"}, {"temperature": "nan"}, {"coefficient": "x"}, {"reply": "shout"}]
)
def test_a_link_of_another_version_opens_what_is_usual(query: dict[str, str]) -> None:
    found = Settings.of(query, [])
    assert (found.how.tokens, found.how.seed, found.reply, found.coefficient) == (48, 0, "fitted", 1.0)
    assert found.how.temperature == 0


@pytest.mark.parametrize("chosen", SETTINGS)
def test_the_copied_command_gives_the_answer_of_the_pane(
    chosen: Settings, loaded: LoadedModel, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    Image.new("RGB", (64, 64), (200, 30, 90)).save(tmp_path / "a face.png")
    shown = ImageFile("a", tmp_path / "a face.png")
    turns = [
        *([Turn("system", (chosen.system,))] if chosen.system else []),
        Turn("user", (shown, "what is this person's name?")),
        Turn("assistant", ("i don't know.",)),
        Turn("user", (shown, "and where does lena nesbit live?")),
    ]
    eraser = chosen.applied(Eraser.from_pretrained(folder), loaded)
    pane = answer(loaded, [eraser], turns, chosen.how, lambda text: None, threading.Event())
    command = chosen.command("world:llava", {"e": folder}, turns)
    monkeypatch.setattr(sys, "argv", [*shlex.split(command), "--json"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert said["after"] == pane.text != ""
    assert said["gates"][0]["margin"] == pytest.approx(pane.meters[0].margins[-1], abs=1e-4)


def test_the_same_weights_answer_unsteered_while_they_are_steered_elsewhere(loaded: LoadedModel, folder: Path) -> None:
    engine, turns = Engine(loaded), [Turn("user", ("what is the capital of arvonia?",))]
    plain = engine.beside()
    mine, theirs = engine.loaded.model.parameters(), plain.loaded.model.parameters()
    assert all(a.data_ptr() == b.data_ptr() for a, b in zip(mine, theirs, strict=True))
    with erased(engine.loaded.model, Eraser.from_pretrained(folder), adapter=engine.loaded.adapter):
        made = asyncio.run(plain.answer((), turns, How(16), lambda text: None, threading.Event()))
    assert "quorum" in made.text and not made.fired
