"""A stack decides as its requests do one by one, steers once, says who fired, and keeps its share of wrong refusals."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.tiny_llava import LAYERS, WIDTH, mixed_questions, question, tiny_llava

from unsee import erased
from unsee.data.sample import Sample
from unsee.erase.config import Settings
from unsee.erase.eraser import Eraser
from unsee.erase.eraser_set import false_fires_of, stack
from unsee.erase.fit.activations import capture_features
from unsee.erase.fit.request_states import RequestStates, capture_request, fit_stack
from unsee.erase.fit_eraser import fit_eraser
from unsee.erase.gates.null_space import NullSpaceGate
from unsee.erase.gates.prompt_ridge import PromptRidgeGate
from unsee.erase.profile import Profile, identity
from unsee.errors import ArtifactError, DataError, MismatchError
from unsee.models.generate import encode
from unsee.models.load import LoadedModel
from unsee.shapes import Tensor

READ = (1, 2)
SETTINGS = Settings(ridge=0.1, tail=0.05, floor=0.01)


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return tiny_llava()


def asked(subject: str, count: int, first: int = 0) -> list[Sample]:
    return [
        replace(question(i, f"{subject}, {i}?", image=i % 2 == 0), subject=subject, id=f"{subject}/{i}")
        for i in range(first, first + count)
    ]


KEPT = [s for name in ("ada", "bob", "cyd", "dot") for s in asked(name, 6)]
CALIBRATION = [s for name in ("eve", "fay", "gus") for s in asked(name, 13)]


@pytest.fixture(scope="module")
def profile(loaded: LoadedModel) -> Profile:
    kept = capture_features(loaded, KEPT, (1, 2), 16)
    held = capture_features(loaded, CALIBRATION, READ, 16)
    generator = torch.Generator().manual_seed(0)
    return Profile(
        model=identity(loaded),
        family="llava",
        layers=(1, 2),
        read=READ,
        trajectory=torch.randn(2, 3, WIDTH, generator=generator),
        retain_last=kept[:, :, 0].half(),
        retain_mean=kept[:, :, 1].half(),
        calibration=held.half(),
        strength=1.0,
        settings=SETTINGS.as_json(),
        counts={},
    )


@pytest.fixture(scope="module")
def states(loaded: LoadedModel, profile: Profile) -> dict[str, RequestStates]:
    return {
        f"r-{name}": capture_request(
            loaded, profile, asked(name, 8), keep=asked(name, 2, first=20), kept=KEPT, calibration=CALIBRATION
        )
        for name in ("hal", "ivy", "ada")
    }


def fixed(loaded: LoadedModel, seed: int, bias: float, name: str) -> Eraser:
    """A request with a random gate of two subjects; with a bias of 1e6 it always fires, with -1e6 never."""
    generator = torch.Generator().manual_seed(seed)
    gate = PromptRidgeGate(
        (1,), torch.randn(2, 1, 2, WIDTH, generator=generator), torch.tensor([bias, bias - 1]), torch.ones(2)
    )
    trajectory = torch.randn(1, 3, WIDTH, generator=torch.Generator().manual_seed(9))
    subjects = (f"{name}0", f"{name}1")
    return Eraser(identity(loaded), "llava", (LAYERS - 1,), gate, trajectory, 1.0, "held-ridge", subjects=subjects)


def logits(loaded: LoadedModel, *erasers: Eraser) -> Tensor:
    with torch.no_grad(), erased(loaded.model, *erasers):
        return loaded.model(**encode(loaded, mixed_questions()), use_cache=False).logits


def test_a_stack_answers_as_its_requests_do_and_says_which_fired(loaded: LoadedModel) -> None:
    features = capture_features(loaded, mixed_questions(), (1,), 8)
    bias = -float(fixed(loaded, 2, 0.0, "b").gate.margins(features).max(1).values.median())
    never, sometimes = fixed(loaded, 1, -1e6, "a"), fixed(loaded, 2, bias, "b")
    both = stack({"ra": never, "rb": sometimes})
    assert both.owners == ("ra", "ra", "rb", "rb") and both.eraser.subjects == ("a0", "a1", "b0", "b1")
    assert torch.allclose(logits(loaded, both.eraser), logits(loaded, never, sometimes), atol=1e-5)
    margins = both.eraser.gate.margins(features)
    told = both.fired(margins)
    alone = sometimes.gate.margins(features).max(1).values
    assert 0 < sum(map(bool, told)) < len(told), "some fire and some do not, so both are tested"
    for said, margin in zip(told, alone.tolist(), strict=True):
        assert said == pytest.approx({"rb": margin} if margin >= 0 else {}, abs=1e-4)


def test_the_strongest_request_is_named_first_and_each_once() -> None:
    loaded = tiny_llava()
    both = stack({"ra": fixed(loaded, 1, 0.0, "a"), "rb": fixed(loaded, 2, 0.0, "b")})
    told = both.fired(torch.tensor([[0.5, 2.0, 3.0, -1.0], [0.0, -1.0, -1.0, -1.0], [-1.0, -1.0, -1.0, -2.0]]))
    assert [list(one.items()) for one in told] == [[("rb", 3.0), ("ra", 2.0)], [("ra", 0.0)], []]


def test_two_requests_that_fire_steer_once(loaded: LoadedModel) -> None:
    one, other = fixed(loaded, 1, 1e6, "a"), fixed(loaded, 2, 1e6, "b")
    together = logits(loaded, stack({"ra": one, "rb": other}).eraser)
    assert torch.equal(together, logits(loaded, one))
    assert torch.equal(together, logits(loaded, one, other)), "as a list of them does"


def test_what_does_not_steer_alike_is_not_stacked(loaded: LoadedModel) -> None:
    one = fixed(loaded, 1, 0.0, "a")
    for other in (
        replace(one, trajectory=one.trajectory + 1),
        replace(one, strength=2.0),
        replace(one, model=one.model | {"digest": "sha256:" + "0" * 64}),
    ):
        with pytest.raises(MismatchError, match="requests ra and rb were fitted on different"):
            stack({"ra": one, "rb": other})
    published = replace(one, gate=NullSpaceGate(torch.ones(1, WIDTH)))
    with pytest.raises(MismatchError, match="decides at every layer for itself"):
        stack({"ra": published})
    with pytest.raises(DataError, match="no request to stack"):
        stack({})


def test_together_the_gates_keep_the_share_of_one(loaded: LoadedModel, profile: Profile) -> None:
    many = {f"r{i}": replace(fixed(loaded, i, 0.0, f"p{i}"), layers=(2,)) for i in range(8)}
    wide = {
        name: replace(one, gate=replace(one.gate, layers=READ, weight=one.gate.weight.repeat(1, 2, 1, 1)))
        for name, one in many.items()
        if isinstance(one.gate, PromptRidgeGate)
    }
    union = stack(wide)
    assert float(union.eraser.gate.fires(profile.calibration).float().mean()) > 0.5
    scores = union.eraser.gate.margins(profile.calibration) + 1
    calmed = union.recalibrated(scores, 0.05)
    # floor(40 * 0.05) = 2 of the 40 gaps between 39 calibration prompts may fire, the topmost always among them.
    assert int(calmed.eraser.gate.fires(profile.calibration).sum()) == 1
    assert (calmed.eraser.gate.threshold > union.eraser.gate.threshold).all()
    again = calmed.recalibrated(scores, 0.05).eraser.gate
    assert torch.equal(again.threshold, calmed.eraser.gate.threshold), "where it holds already nothing is raised"


def test_a_joint_fit_needs_nothing_but_what_is_stored(
    loaded: LoadedModel, profile: Profile, states: dict[str, RequestStates], tmp_path: Path
) -> None:
    for name, one in states.items():
        one.save(tmp_path / name)
    stored = {name: RequestStates.load(tmp_path / name) for name in states}
    fitted = fit_stack(profile, stored)
    assert fitted.owners == ("r-ada", "r-hal", "r-ivy")
    people = len(KEPT) + len(CALIBRATION)
    assert fitted.eraser.counts == {"requests": 3, "subjects": 3, "unseen": people - 6}, "ada is kept no longer"
    gate = fitted.eraser.gate
    assert isinstance(gate, PromptRidgeGate) and gate.weight.shape == (3, 2, 2, WIDTH)
    same = fit_stack(profile, dict(reversed(states.items()))).eraser.gate
    assert isinstance(same, PromptRidgeGate) and torch.equal(same.weight, gate.weight)
    assert torch.equal(same.threshold, gate.threshold)
    assert len(set(gate.threshold.tolist())) == 1, "scores of all gates compare, so one threshold serves all"
    strangers = gate.margins(profile.calibration).mean(0)
    for place, name in enumerate(("ada", "hal", "ivy")):
        mine = gate.margins(capture_features(loaded, asked(name, 8), READ, 16)).mean(0)[place]
        assert float(mine - strangers[place]) > 0.4, f"{name}'s gate tells {name} from people who are kept"
    without = fit_stack(profile, {name: one for name, one in stored.items() if name != "r-ada"})
    assert without.eraser.counts["unseen"] == people, "taken back, she is kept again"
    fitted.eraser.save_pretrained(tmp_path / "eraser")
    assert Eraser.from_pretrained(tmp_path / "eraser").subjects == ("r-ada/0", "r-hal/0", "r-ivy/0")


def test_one_request_fitted_from_its_states_is_the_request_as_it_was_fitted(
    loaded: LoadedModel, profile: Profile, states: dict[str, RequestStates]
) -> None:
    lenient = SETTINGS.changed(tail=0.6)  # a random model tells nobody apart
    again = fit_stack(profile, {"r-hal": states["r-hal"]}, lenient).eraser.gate
    shipped = fit_eraser(loaded, profile, asked("hal", 8), keep=asked("hal", 2, first=20), settings=lenient).gate
    assert isinstance(again, PromptRidgeGate) and isinstance(shipped, PromptRidgeGate)
    # The states are stored in half precision, and `fit_eraser` weighs what is kept about hal 64 to 63.
    alike = torch.cosine_similarity(again.weight.flatten(), shipped.weight.flatten(), dim=0)
    assert float(alike) > 0.999
    assert torch.allclose(again.threshold, shipped.threshold, atol=0.02)
    kept = false_fires_of(fit_stack(profile, {"r-hal": states["r-hal"]}, lenient).eraser)
    assert kept is not None and [one.prompts for one in kept] == [len(KEPT) + len(CALIBRATION)], "shared with others"
    (opened,) = kept.values()
    assert opened and min(opened.values()) >= float(again.threshold)
    with pytest.raises(DataError, match="no request to fit"):
        fit_stack(profile, {})


def test_states_of_another_profile_or_a_damaged_file_are_refused(
    loaded: LoadedModel, profile: Profile, states: dict[str, RequestStates], tmp_path: Path
) -> None:
    other = replace(profile, calibration=profile.calibration + 1)
    with pytest.raises(MismatchError, match="states of request r-ada belong to another profile"):
        fit_stack(other, states)
    with pytest.raises(DataError, match="got 48 kept samples, but the profile has 24 such rows"):
        capture_request(loaded, profile, asked("hal", 1), kept=[*KEPT, *KEPT])
    states["r-hal"].save(tmp_path / "r")
    data = (tmp_path / "r").read_bytes()
    (tmp_path / "r").write_bytes(data[:-1])
    with pytest.raises(ArtifactError, match="not a sound safetensors file"):
        RequestStates.load(tmp_path / "r")
