"""`unsee train` as a user types it."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from tiny_llava import question, tiny_llava
from unsee.cli.train import train
from unsee.data import write_jsonl
from unsee.errors import OptionError
from unsee.methods.errors import MethodError
from unsee.models.load import load

app = typer.Typer(pretty_exceptions_enable=False)
app.command()(train)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    loaded = tiny_llava()
    loaded.model.save_pretrained(tmp_path / "model")
    loaded.processor.save_pretrained(tmp_path / "model")
    write_jsonl([question(i, image=i % 2 == 0) for i in range(4)], tmp_path / "forget")
    write_jsonl([question(10 + i, "and this?", image=i % 2 == 0) for i in range(4)], tmp_path / "retain")
    return tmp_path


def arguments(place: Path, method: str, *more: str) -> list[str]:
    sets = ["--forget", str(place / "forget"), "--retain", str(place / "retain"), "--out", str(place / "out")]
    return [method, str(place / "model"), *sets, *more]


def test_a_run_ends_in_a_checkpoint_and_one_json_line(place: Path) -> None:
    pytest.importorskip("accelerate")
    more = ("--set", "lora=false", "--set", "epochs=1", "--set", "rate=1e-3", "--json", "--seed", "3")
    done = CliRunner().invoke(app, arguments(place, "grad_diff", *more), catch_exceptions=False)
    assert done.exit_code == 0
    last = json.loads(done.stdout.splitlines()[-1])
    assert (last["method"], last["out"]) == ("grad_diff", str(place / "out"))
    assert load(place / "out", device="cpu").digest == last["digest"]
    run = json.loads((place / "out" / "run.json").read_text())
    assert (run["seed"], run["settings"]["epochs"], len(run["losses"])) == (3, 1, 1)


def test_what_is_wrong_is_said(place: Path) -> None:
    recipe = place / "r.toml"
    recipe.write_text("method = 'npo'")
    for given, error, message in (
        (arguments(place, "magic"), OptionError, "the method is 'magic', expected one of"),
        (arguments(place, "ga", "--recipe", str(recipe)), OptionError, "is a recipe of 'npo'"),
        (arguments(place, "ga", "--preset", "best"), OptionError, "the preset is 'best', expected one of"),
        (arguments(place, "asru_ridge"), Exception, "the unknown set is empty"),
        (arguments(place, "po", "--refusal", " "), MethodError, "the refusals are"),
    ):
        with pytest.raises(error, match=message):
            CliRunner().invoke(app, given, catch_exceptions=False)
