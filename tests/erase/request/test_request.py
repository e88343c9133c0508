"""What is refused before any model is loaded, and what a clean request looks like."""

from pathlib import Path

import pytest

from tiny_llava import noise_image
from unsee.erase.request.expansion import scope
from unsee.erase.request.request import LONGEST_NAME, request
from unsee.errors import DataError, ImageError, OptionError, SaveError
from unsee.forgetting.folder import Folder


@pytest.mark.parametrize(
    "name", ["", "   ", "\u200b", "---", "a\x00b", "two\nlines", "\u202eevil", "x" * (LONGEST_NAME + 1)]
)
def test_a_name_that_cannot_be_one_is_refused(name: str) -> None:
    with pytest.raises(DataError):
        request(name)
    with pytest.raises(DataError):
        request("Ada Lovelace", aliases=[name])


def test_a_marker_of_the_prompt_is_no_name() -> None:
    with pytest.raises(DataError, match="markers"):
        request("<image> Ada")


@pytest.mark.parametrize(
    "name", ["Zoë Müller", "José García-Márquez", "李小龙", "Надежда", "👩‍🎤 Moon", "O'Keefe Jr.", "X Æ A-12"]
)
def test_names_of_people_pass(name: str) -> None:
    assert request(name).name == name


def test_names_are_composed_and_trimmed() -> None:
    assert request("  Zoe\u0308   Mu\u0308ller ").names == ("Zoë Müller",)
    assert request("Ada", aliases=["Ada", "Countess", "Countess"]).names == ("Ada", "Countess")


def test_images_are_decoded_before_anything_else(tmp_path: Path) -> None:
    broken = tmp_path / "a.png"
    broken.write_bytes(b"not an image")
    for given in (broken, tmp_path / "missing.jpg", b"nor this"):
        with pytest.raises(ImageError):
            request("Ada", images=[given])
    assert len(request("Ada", images=[noise_image(1)]).images) == 1


def test_options_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(OptionError, match="erased and spared"):
        request("Ada", erase="Job, home city", spare="job")
    with pytest.raises(OptionError, match="kind"):
        request("Ada", kind="robot")
    with pytest.raises(OptionError, match="fact"):
        request("Aldermoor", kind="fact")
    with pytest.raises(OptionError, match="text"):
        request("Ada", text="she wrote programs")


def test_erase_hides_only_what_it_names_and_spare_leaves_the_rest_hidden() -> None:
    only = scope(request("Ada", erase="home city, shoe size"))
    assert only.hidden == ("home city", "shoe size") and "job" in only.spared
    left = scope(request("Ada", spare="job"))
    assert left.spared == ("job",) and "home city" in left.hidden and "job" not in left.hidden


@pytest.mark.parametrize(("name", "warned"), [("Jobs", True), ("Bill Rose", True), ("Mozart Amadeus", False)])
def test_an_ordinary_word_as_a_name_is_warned_of(name: str, warned: bool) -> None:
    assert any("ordinary word" in warning for warning in request(name).warnings) is warned


def test_evidence_is_never_overwritten(tmp_path: Path) -> None:
    folder = Folder.make(tmp_path / "r")
    with pytest.raises(SaveError, match="not empty"):
        Folder.require_free(folder.path)
    with pytest.raises(SaveError, match="no folder"):
        Folder.require_free(folder.path / "request.key" / "deeper")


def test_pseudonyms_need_the_key(tmp_path: Path) -> None:
    one, two = Folder.make(tmp_path / "a"), Folder.make(tmp_path / "b")
    assert one.pseudonym("gold", "Pilot") == one.pseudonym("gold", "pilot.") != two.pseudonym("gold", "pilot")
    assert one.pseudonym("gold", "pilot") != one.pseudonym("subject", "pilot")
