"""The first reply that holds in every group of prompts is taken, over a band of coefficients, or none is."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tiny_families import FAMILIES, always, held_eraser, samples
from unsee.data.sample import Sample
from unsee.erase.eraser import Eraser
from unsee.erase.fit import reply as module
from unsee.erase.fit import unknown_words as words
from unsee.erase.fit.reply import Acceptance, Candidate, at_coefficients, choose_reply
from unsee.erase.fit.unknown_words import unknown_words
from unsee.erase.replies.canned import CannedReply
from unsee.errors import CalibrationError
from unsee.models.load import LoadedModel

REFUSAL, FACT = "I'm sorry, but I don't have any information about that.", "She is a baker from Odby."


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return FAMILIES["llama"](0)


@pytest.fixture(scope="module")
def eraser(loaded: LoadedModel) -> Eraser:
    return always(held_eraser(loaded))


def asked(count: int, name: str) -> list[Sample]:
    return [Sample(f"{name}-{i}", f"{name}-{i}", f"{name} {i}?", "", "baker") for i in range(count)]


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Answers by group and coefficient in place of a model's."""

    def install(loaded: LoadedModel, good: Any) -> None:
        at: list[float] = []
        real = module.erased

        def steer(model: Any, eraser: Eraser) -> Any:
            at.append(eraser.strength)
            return real(model, eraser)

        def answer(_: Any, some: Sequence[Sample], *args: Any, **options: Any) -> list[str]:
            del args, options
            return [REFUSAL if good(at[-1], sample) else FACT for sample in some]

        monkeypatch.setattr(module, "erased", steer)
        monkeypatch.setattr(module, "generate", answer)

    return install


def test_a_band_that_holds_in_every_group_is_taken_in_its_middle(
    loaded: LoadedModel, eraser: Eraser, says: Any
) -> None:
    says(loaded, lambda at, sample: 0.5 <= at <= 2 and (at <= 1 or sample.subject.startswith("text")))
    ladder = Candidate("steer", at_coefficients(eraser, (0.25, 0.5, 0.75, 1.0, 2.0)))
    groups = {"text": asked(4, "text"), "image": asked(4, "image")}
    choice = choose_reply(loaded, [ladder], groups)
    assert choice.name == "steer" and choice.band == (0.5, 1.0)
    assert choice.require().strength == 0.75
    missed = {(t.coefficient, t.group) for t in choice.trials if t.leaked == 1.0}
    assert missed == {(0.25, "text"), (0.25, "image"), (2.0, "image")}


def test_one_coefficient_alone_or_one_group_missing_is_not_enough(
    loaded: LoadedModel, eraser: Eraser, says: Any, tmp_path: Path
) -> None:
    says(loaded, lambda at, sample: at == 1.0 and not sample.subject.startswith("image-3"))
    ladder = Candidate("steer", at_coefficients(eraser, (0.5, 1.0, 2.0)))
    choice = choose_reply(loaded, [ladder], {"text": asked(4, "text")})
    assert choice.chosen is None and "only 1 coefficient" in choice.report[0]["result"]
    alone = choose_reply(loaded, [ladder], {"text": asked(4, "text")}, Acceptance(band=1))
    assert alone.band == (1.0, 1.0)
    some = choose_reply(loaded, [ladder], {"text": asked(4, "t"), "image": asked(4, "image")}, Acceptance(band=1))
    with pytest.raises(CalibrationError, match=r"lambda 1: image: refused 75% < 95%.*canned"):
        some.require(tmp_path / "report.json")
    saved = json.loads((tmp_path / "report.json").read_text())
    assert saved["reply"] is None and len(saved["trials"]) == 6


def test_the_next_in_the_order_is_tried_for_real(loaded: LoadedModel, eraser: Eraser) -> None:
    """A random model cannot refuse by itself, and can say what is forced."""
    canned = eraser.with_reply(CannedReply.with_words(loaded, REFUSAL))
    order = [Candidate("steer", at_coefficients(eraser, (1.0,))), Candidate("canned", (canned,))]
    groups = {"text": [replace(sample, gold="baker") for sample in samples(loaded)[:2]]}
    choice = choose_reply(loaded, order, groups, Acceptance(tokens=80))
    assert [one["verdict"] for one in choice.report] == ["fail", "pass"]
    assert choice.chosen is canned and choice.trials[-1].refused == 1.0


def test_words_for_the_unknown_name_nobody(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    told = ["I'm sorry, but I don't know Ann Lee. Try again.", REFUSAL + " Ask me more.", REFUSAL, FACT]
    monkeypatch.setattr(words, "generate", lambda *_, **__: told)
    some = [Sample(str(i), name, "who?", "", "") for i, name in enumerate(("Ann Lee", "Bo Ek", "Cy Orr", "Di Fox"))]
    assert unknown_words(loaded, some, 16, 48) == REFUSAL
    monkeypatch.setattr(words, "generate", lambda *_, **__: [FACT] * 4)
    assert unknown_words(loaded, some, 16, 48) is None


@pytest.mark.parametrize(("times", "taken"), [(0, None), (1, None), (4, None), (5, REFUSAL), (60, REFUSAL)])
def test_a_sentence_that_is_said_once_in_a_hundred_answers_is_no_way_of_declining(
    times: int, taken: str | None
) -> None:
    """A reply to whoever was forgotten began "The culinary scene is ...": one of 384 answers had read as a refusal."""
    answers = [("Bo Nix", REFUSAL)] * times + [("Bo Nix", "Bo Nix is a baker.")] * (100 - times)
    assert words.most_said(answers) == taken
