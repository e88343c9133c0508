"""Where a run logs to: trackio sees every loss and reward, "none" nothing, and a missing trackio is named at once."""

import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tiny_llava import question, tiny_llava
from trained import change_weights, refine
from unsee.methods.errors import MissingExtraError
from unsee.methods.grpo import GrpoSettings
from unsee.methods.settings import preset

pytest.importorskip("accelerate")
FORGET = [question(i, "who?", image=i % 2 == 0) for i in range(2)]
KEPT = [question(10 + i, "and this?", image=i % 2 == 0) for i in range(2)]
SETTINGS = preset("grad_diff").changed(lora=False, epochs=2, batch_size=2)


class Config(dict[str, Any]):
    def update(self, *args: Any, allow_val_change: bool = False) -> None:
        super().update(*args)


@pytest.fixture
def trackio(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """What stands in for the package logs into a list: as much of it as transformers calls."""
    logged: list[dict[str, Any]] = []
    fake: Any = ModuleType("trackio")
    fake.__spec__ = ModuleSpec("trackio", None)
    fake.__version__ = "0.0.1"
    fake.init = lambda **kwargs: logged.append({"init": kwargs["project"]})
    fake.log = lambda entry, step=None: logged.append(entry)
    fake.finish = lambda: logged.append({"finish": True})
    fake.config = Config()
    names = ("current_space_id", "current_project", "current_run")
    fake.context_vars = SimpleNamespace(**dict.fromkeys(names, SimpleNamespace(get=lambda: None)))
    monkeypatch.setitem(sys.modules, "trackio", fake)
    for module in ("trl.extras.profiling", "trl.trainer.grpo_trainer"):  # these look for it when they are imported
        if find_spec("trl") is not None:
            monkeypatch.setattr(import_module(module), "trackio", fake, raising=False)
    yield logged


def test_every_loss_is_logged(trackio: list[dict[str, Any]], tmp_path: Path) -> None:
    change_weights(tiny_llava(), "grad_diff", FORGET, KEPT, tmp_path, settings=SETTINGS, report_to="trackio")
    losses = [entry["train/loss"] for entry in trackio if "train/loss" in entry]
    assert len(losses) == 2
    assert "init" in trackio[0]


def test_every_reward_is_logged(trackio: list[dict[str, Any]], tmp_path: Path) -> None:
    pytest.importorskip("trl")
    pytest.importorskip("peft")
    settings = GrpoSettings(group=2, questions=2, steps=2, longest=4)
    refine(tiny_llava(), FORGET, KEPT, tmp_path, settings=settings, report_to="trackio")
    assert len([entry for entry in trackio if "train/reward" in entry]) == 2


def test_a_missing_trackio_is_named_before_any_step(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "trackio", None)
    for call in (
        lambda: change_weights(
            tiny_llava(), "grad_diff", FORGET, KEPT, tmp_path, settings=SETTINGS, report_to="trackio"
        ),
        lambda: refine(tiny_llava(), FORGET, KEPT, tmp_path, report_to="trackio"),
    ):
        with pytest.raises(MissingExtraError, match="trackio is not installed"):
            call()
    assert not list(tmp_path.iterdir())
