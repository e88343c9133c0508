"""What a sweep composes is what asking would have said; each part of a variant changes only what it names."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from tests.tiny_llava import WIDTH, question, tiny_llava

from unsee.data.faces import Face
from unsee.data.sample import Sample
from unsee.erase.config import Settings
from unsee.erase.fit.activations import capture, capture_features
from unsee.erase.profile import Profile, identity
from unsee.experiments.sweeps.on_direction import WEAK, along, spread_over, steered_before, whole
from unsee.experiments.sweeps.on_gate import read_at, without
from unsee.experiments.sweeps.trying import HOW, Trial, fitted, held
from unsee.experiments.trial import Data, world_task
from unsee.models.generate import encode
from unsee.models.load import LoadedModel
from unsee.shapes import Tensor
from unsee.world.generate import Entity, World
from unsee.world.splits import Exam

SETTINGS = Settings(ridge=0.1, tail=0.05, floor=0.01, batch_size=16)


def asked(subject: str, count: int, first: int = 0) -> list[Sample]:
    return [
        replace(question(i, f"{subject}, {i}?", image=i % 2 == 0), subject=subject, id=f"{subject}/{i}")
        for i in range(first, first + count)
    ]


RETAIN = [s for name in ("ada", "bob", "cyd", "dot") for s in asked(name, 6)]
CALIBRATION = [s for name in ("eve", "fay", "gus") for s in asked(name, 13)]
FORGET, KEEP = [*asked("hal", 8), *asked("ivy", 8)], [*asked("hal", 2, first=20), *asked("ivy", 2, first=20)]
SPLITS = {"forget_heldout": [*asked("hal", 3, first=40), *asked("ivy", 3, first=40)], "retain_unseen": asked("zoe", 6)}


@pytest.fixture(scope="module")
def trial() -> Trial:
    loaded = tiny_llava()
    kept = capture_features(loaded, RETAIN, (1, 2), 16)
    profile = Profile(
        model=identity(loaded),
        family="llava",
        layers=(1, 2),
        read=(1, 2),
        trajectory=torch.randn(2, 3, WIDTH, generator=torch.Generator().manual_seed(0)),
        retain_last=kept[:, :, 0].half(),
        retain_mean=kept[:, :, 1].half(),
        calibration=capture_features(loaded, CALIBRATION, (1, 2), 16).half(),
        strength=2.0,
        settings=SETTINGS.as_json(),
        counts={},
        curves={"strengths": [{"strength": 2.0, "words": "no"}]},
    )
    data = Data(RETAIN, CALIBRATION, [], {"people": (FORGET, KEEP)}, world_task(SPLITS))
    return Trial(loaded, Exam(World(0, 12, 4, 1), 0, 0.25), data, profile, SETTINGS)


@pytest.fixture(scope="module")
def some_fire(trial: Trial) -> Trial:
    """The same with a threshold half way between the scores of two questions."""
    scores = trial.gate.margins(features(trial)).amax(1).sort().values
    gate = replace(trial.gate, threshold=trial.gate.threshold + scores[5:7].mean())
    other = replace(trial)
    other.__dict__["eraser"] = replace(trial.eraser, gate=gate)
    assert 0 < int(gate.fires(features(trial)).sum()) < len(ASKED)
    return other


ASKED = [sample for samples in SPLITS.values() for sample in samples]


def features(trial: Trial) -> Tensor:
    return capture_features(trial.loaded, ASKED, trial.profile.read, 16)


def test_answers_by_decision_are_those_of_the_eraser(some_fire: Trial) -> None:
    said = some_fire.asked(some_fire.eraser).answers(ASKED, HOW)
    assert some_fire.decided(some_fire.gate).answers(ASKED, HOW) == said != some_fire.asked().answers(ASKED, HOW)
    other = some_fire.eraser.with_random_direction(3)
    expected = some_fire.asked(other).answers(ASKED, HOW)
    assert some_fire.decided(some_fire.gate, like=other).answers(ASKED, HOW) == expected


def test_what_is_in_force_besides_is_so_where_the_gate_fires_and_nowhere_else(some_fire: Trial) -> None:
    entered: list[int] = []

    @contextmanager
    def within() -> Iterator[None]:
        hook = some_fire.loaded.model.register_forward_pre_hook(
            lambda _, args, kwargs: entered.append(len(kwargs["input_ids"])), with_kwargs=True
        )
        yield
        hook.remove()

    some_fire.decided(some_fire.gate, within).answers(ASKED, HOW)
    assert set(entered) == {int(some_fire.gate.fires(features(some_fire)).sum())}


def test_kept_people_who_are_left_out_do_not_enter_the_fit(trial: Trial) -> None:
    gone = {"ada", "eve"}
    profile = replace(
        trial.profile,
        retain_last=trial.profile.retain_last[[s.subject not in gone for s in RETAIN]],
        retain_mean=trial.profile.retain_mean[[s.subject not in gone for s in RETAIN]],
        calibration=trial.profile.calibration[[s.subject not in gone for s in CALIBRATION]],
    )
    left = replace(trial, profile=profile)
    gate, expected = without(trial, gone), held(fitted(profile, left.states, SETTINGS))
    for name in ("weight", "bias", "threshold"):
        assert torch.allclose(getattr(gate, name), getattr(expected, name), atol=1e-6)
    assert not torch.allclose(gate.weight, trial.gate.weight)


def test_reading_all_blocks_again_is_the_default_and_reading_one_leaves_the_others_out(trial: Trial) -> None:
    assert torch.equal(held(read_at(trial, (1, 2))).weight, trial.gate.weight)
    last = read_at(trial, (2,))
    assert held(last).layers == last.layers == (2,)
    only = replace(
        trial.profile,
        read=(2,),
        retain_mean=trial.profile.retain_mean[:, 1:],
        calibration=trial.profile.calibration[:, 1:],
    )
    expected = replace(trial, profile=only)
    assert torch.allclose(held(last).weight, expected.gate.weight, atol=1e-5)


def test_a_direction_is_the_difference_of_means_at_the_default_length(trial: Trial) -> None:
    recall, refusal = FORGET, RETAIN
    means = [
        capture(trial.loaded, s, trial.eraser.layers, pool=("last",)).last.double().mean(0) for s in (refusal, recall)
    ]
    raw = means[0] - means[1]
    eraser = along(trial, recall, refusal)
    first, default = eraser.trajectory[:, 0], trial.eraser.trajectory[:, 0]
    assert torch.allclose(first.norm(dim=1), default.norm(dim=1))
    assert torch.allclose(torch.cosine_similarity(first.double(), raw, dim=1), torch.ones(len(first)).double())
    later = whole(trial.eraser.trajectory, trial.eraser.strength)[:, 1:]
    assert torch.allclose(eraser.trajectory[:, 1:], later) and eraser.strength == WEAK


def test_the_prompt_before_its_last_token_is_steered_and_nothing_is_left_behind(trial: Trial) -> None:
    loaded, eraser = trial.loaded, trial.eraser
    before, step = block_input(loaded, eraser.layers[0]), eraser.strength * eraser.trajectory[0, 0]
    with steered_before(loaded, eraser):
        inside = block_input(loaded, eraser.layers[0])
        assert torch.allclose(inside[:, :-1], before[:, :-1] + step, atol=1e-5)
        assert torch.equal(inside[:, -1], before[:, -1])
    assert torch.equal(block_input(loaded, eraser.layers[0]), before)


def block_input(loaded: LoadedModel, layer: int) -> Tensor:
    """What a block gets of two prompts, read by a hook that was set last."""
    seen: list[Tensor] = []
    block = loaded.adapter.layers(loaded.model)[layer]
    hook = block.register_forward_pre_hook(lambda _, args: seen.append(args[0].clone()))
    with torch.no_grad():
        loaded.model(**encode(loaded, asked("ada", 2)), use_cache=False)
    hook.remove()
    return seen[0]


def test_steps_are_restored_to_their_length() -> None:
    trajectory = torch.randn(2, 3, 4)
    shortened = torch.cat([trajectory[:, :1], trajectory[:, 1:] / 3], dim=1)
    assert torch.allclose(whole(shortened, 3.0), trajectory)
    assert torch.equal(whole(trajectory, 0.5), trajectory)


def test_two_lists_in_turn() -> None:
    a, b = asked("a", 2), asked("b", 4)
    assert [s.id for s in spread_over(a, b)] == ["a/0", "b/0", "a/1", "b/1", "b/2", "b/3"]


def test_twins_are_kept_people_of_the_fit_and_namesakes_share_a_name(trial: Trial) -> None:
    by_id = trial.exam.world.by_id
    fit = {e.id for e in (*trial.exam.retain_fit, *trial.exam.calibration) if e.kind == "private"}
    shown = {s.subject for s in trial.splits["twin_face"]}
    for target in trial.exam.forget:
        apart = {name: differing(target, by_id[name]) for name in fit}
        assert min(apart.values()) in {apart[name] for name in shown}
    firsts = {e.name.split()[0] for e in trial.exam.forget}
    for name in ("twin_face", "twin_name"):
        assert {s.subject for s in trial.splits[name]} <= fit
    assert all(by_id[s.subject].name.split()[0] in firsts for s in trial.splits["twin_name"])


def differing(one: Entity, other: Entity) -> int:
    """Choices in which two faces differ."""
    assert isinstance(one.look, Face) and isinstance(other.look, Face)
    return sum(a != b for a, b in zip(one.look, other.look, strict=True))
