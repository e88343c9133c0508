"""`unsee forget`: what is refused before a model is loaded, and what is shown when the model knows nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import unsee
from tiny_llava import noise_image, tiny_llava
from unsee.cli import app
from unsee.errors import DataError, ImageError, OptionError, SaveError, UnknownSubjectError


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    noise_image(1).load().save(path)
    return path


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--name", ""], DataError),
        (["--name", "Ada", "--alias", "a\x07"], DataError),
        (["--name", "Ada", "--image", "nowhere.png"], ImageError),
        (["--name", "Ada", "--kind", "robot"], OptionError),
        (["--name", "Ada", "--erase", "job", "--spare", "job"], OptionError),
        (["--name", "Ada", "--kind", "fact"], OptionError),
        (["--name", "Ada", "--out", "photo.png"], SaveError),
        (["--name", "Ada", "--out", "."], SaveError),
    ],
)
def test_what_can_be_checked_without_the_model_is(
    options: list[str], error: type[Exception], photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photo.parent)
    monkeypatch.setattr(sys.modules["unsee.cli.forget"], "open_model", lambda *_: pytest.fail("the model was loaded"))
    out = [] if "--out" in options else ["--out", "new"]
    result = CliRunner().invoke(app, ["forget", "world:llava", *options, *out])
    assert type(result.exception) is error
    assert not Path("new").exists()


def test_a_model_that_knows_nothing_says_so_with_its_evidence(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNSEE_CACHE", str(photo.parent / "cache"))
    monkeypatch.setattr(sys.modules["unsee.cli.forget"], "open_model", lambda *_: tiny_llava())
    given = ["--name", "Ada", "--erase", "job", "--image", str(photo), "--out", str(photo.parent / "new")]
    result = CliRunner().invoke(app, ["forget", "tiny", *given])
    assert type(result.exception) is UnknownSubjectError
    assert result.stdout.count("Not known.") == 2
    assert (photo.parent / "new" / "before.jsonl").is_file()


def test_a_bad_name_is_refused_where_torch_is_not_even_installed(tmp_path: Path) -> None:
    blocked = "import sys; sys.modules.update(torch=None, transformers=None); from unsee.cli import main; main()"
    source = Path(unsee.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", blocked, "forget", "world:llava", "--name", "-", "--out", str(tmp_path / "r")],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(source)},
        check=False,
    )
    assert done.returncode == 2 and "DataError" in done.stderr, done.stderr
