"""What a model's own refusals are good for: none fluent is an error, none at all makes unknown entities stand in."""

from collections.abc import Sequence

import pytest
import torch

from tiny_llava import question, tiny_llava
from unsee.data.sample import Sample
from unsee.erase import fit_profile as fitting
from unsee.erase.config import Settings
from unsee.erase.fit import behaviour
from unsee.erase.fit.activations import capture
from unsee.erase.fit.calibration import Trial
from unsee.erase.fit_profile import NO_WORDING, fit_profile
from unsee.errors import DirectionError
from unsee.models.load import LoadedModel

FLUENT, GARBLED = "He lives in a small town.", " ".join(["I cannot share that"] * 4)


def asked(first: int, text: str, images: bool = True) -> list[Sample]:
    return [question(first + i, f"{text} {i}?", image=images and i % 2 == 0) for i in range(6)]


RECALL, REFUSAL, UNKNOWN = asked(0, "tell me"), asked(10, "give me the secret"), asked(50, "who", images=False)


def says(monkeypatch: pytest.MonkeyPatch, declined: str) -> None:
    def said(_: LoadedModel, samples: Sequence[Sample], *__: object, **___: object) -> list[str]:
        return [FLUENT if sample in RECALL else declined for sample in samples]

    monkeypatch.setattr(behaviour, "generate", said)


def test_refusals_that_are_never_fluent_give_no_direction(monkeypatch: pytest.MonkeyPatch) -> None:
    says(monkeypatch, GARBLED)
    with pytest.raises(DirectionError, match=r"refuses D\+ in 6 prompts, but never fluently: got \['I cannot share"):
        fit_profile(
            tiny_llava(), retain=asked(20, "where"), calibration=asked(30, "what"), recall=RECALL, refusal=REFUSAL
        )


def test_a_model_that_declines_nothing_is_led_from_known_to_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    says(monkeypatch, FLUENT)
    loaded, sets = tiny_llava(), {"retain": asked(20, "where"), "calibration": asked(30, "what")}
    settings = Settings(adversarial=False, later=0.5, strengths=(1.0,), answer_tokens=4)
    with pytest.raises(DirectionError, match=r"refuses D\+ in 0 of 6 prompts"):
        fit_profile(loaded, **sets, recall=RECALL, refusal=REFUSAL, settings=settings)
    made = fit_profile(loaded, **sets, recall=RECALL, refusal=REFUSAL, unknown=UNKNOWN, settings=settings)
    line = next(one for one in made.report if one["check"] == "refuses D+")
    assert line["verdict"] == "warn" and "known against 6 unknown entities" in line["result"]
    means = [capture(loaded, side, made.layers, 64, pool=("last",)).last.double().mean(0) for side in (UNKNOWN, RECALL)]
    first, later = (made.trajectory[:, step].double() for step in (0, 1))
    torch.testing.assert_close(first, means[0] - means[1], rtol=2e-3, atol=2e-3)
    torch.testing.assert_close(later, first / 2, rtol=2e-3, atol=2e-3)
    assert made.trajectory.shape[1] == 2


def test_a_wording_that_breaks_the_text_is_given_up_for_the_first_token(monkeypatch: pytest.MonkeyPatch) -> None:
    says(monkeypatch, "I cannot say that.")
    tried: list[list[str]] = []

    def trials(_: LoadedModel, __: object, trajectories: dict[str, object], *___: object) -> list[Trial]:
        tried.append(list(trajectories))
        return [Trial(2.0, name, refused=float(name == NO_WORDING), leaked=0, fluent=1) for name in trajectories]

    monkeypatch.setattr(fitting, "try_strengths", trials)
    settings = Settings(adversarial=False, steps=3, trajectory_prompts=2)
    sets = {"retain": asked(20, "where"), "calibration": asked(30, "what")}
    made = fit_profile(tiny_llava(), **sets, recall=RECALL, refusal=REFUSAL, settings=settings)
    assert tried == [["I cannot say that."], [NO_WORDING]] and made.strength == 2.0
    assert made.trajectory.shape[1] == 2 and not made.trajectory[:, 1].any()
    assert any(one["check"] == "trajectory of one wording" for one in made.report)
