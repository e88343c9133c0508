"""From a name and an image in the vault to a fitted and verified request, on a tiny model."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from benchmarks.ledger_worker import BY, GROUND, made
from PIL import Image
from tests.tiny_llava import WIDTH, question, tiny_llava

from unsee.data.sample import Sample
from unsee.erase.config import Settings
from unsee.erase.fit.activations import capture_features
from unsee.erase.profile import Profile, identity
from unsee.ledger import Person, erasers, fitting
from unsee.ledger.errors import LifeCycleError
from unsee.ledger.receiving import add
from unsee.ledger.verification import questions_needed
from unsee.models.load import LoadedModel


def about(subject: str, count: int) -> list[Sample]:
    return [
        replace(question(i, f"{subject}, {i}?", image=i % 2 == 0), subject=subject, id=f"{subject}/{i}")
        for i in range(count)
    ]


def tiny_profile(loaded: LoadedModel) -> Profile:
    kept = capture_features(loaded, [s for n in ("ada", "bob", "cyd") for s in about(n, 6)], (1, 2), 16)
    held = capture_features(loaded, [s for n in ("eve", "fay", "gus") for s in about(n, 13)], (1, 2), 16)
    lenient = Settings(ridge=0.1, tail=0.6, floor=0.01)  # a random model tells nobody apart
    return Profile(
        model=identity(loaded), family="llava", layers=(1, 2), read=(1, 2), trajectory=torch.randn(2, 3, WIDTH),
        retain_last=kept[:, :, 0].half(), retain_mean=kept[:, :, 1].half(), calibration=held.half(), strength=1.0,
        settings=lenient.as_json(), counts={},
    )  # fmt: skip


def test_from_the_vault_to_a_verdict(tmp_path: Path) -> None:
    loaded, image = tiny_llava(), io.BytesIO()
    Image.new("RGB", (16, 16), (200, 10, 10)).save(image, "PNG")
    with made(tmp_path) as ledger:
        request = add(ledger, Person(names=("hal", "hally")), BY, images=[image.getvalue()], **GROUND).request
        with pytest.raises(LifeCycleError, match="'fit' is not allowed"):
            erasers.fit(ledger, request.id, loaded, tiny_profile(loaded), BY)
        ledger.take("accept", request.id, BY)
        done = erasers.fit(ledger, request.id, loaded, tiny_profile(loaded), BY)
        artifact = ledger.artifact(done.holding or "")
        assert done.state == "fitted" and artifact is not None and artifact.about["counts"]["forget"] == 27
        verdict, now = erasers.verify(ledger, request.id, loaded, BY, neighbours=about("zoe", 3))
        assert verdict.measured.leak.n == 6 * 27 and now.state == ("verified" if verdict.passed else "fitted")
        assert "hal" not in str([row.details for row in ledger.history()])


def test_held_out_wordings_are_not_those_of_the_fit() -> None:
    person = Person(names=("hal",))
    fit = {s.question for s in fitting.questions("r", person, [b""], fitting.FIT, fitting.SEEN, ("{}",))}
    held = {s.question for s in fitting.questions("r", person, [b""])}
    assert len(fit) == 15 and len(held) == 90 and not fit & held
    assert len(fitting.questions("r", person, [])) >= (questions_needed(0.05, 0.95) or 0), (
        "one name is enough to claim it"
    )


def test_a_namesake_on_the_panel_is_among_what_must_be_answered() -> None:
    loaded, panel = tiny_llava(), {"c-1": Person(names=("hal the violinist",))}
    made_for = tiny_profile(loaded)
    alone, beside = (
        fitting.fit(loaded, made_for, "r-1", Person(names=("hal",)), [], namesakes) for namesakes in ({}, panel)
    )
    assert beside.counts["keep"] == alone.counts.get("keep", 0) + 12 and beside.subjects == ("r-1",)
