"""Presets about when to steer: the rule of the gate, where it reads, and what it is fitted on."""

from collections.abc import Collection
from dataclasses import replace

import torch

from unsee.data.sample import spread, subjects
from unsee.erase.eraser import Eraser
from unsee.erase.fit.activations import capture
from unsee.erase.fit.calibration import weakest_sufficient
from unsee.erase.fit.coefficient import no_longer, try_strengths
from unsee.erase.fit.request_states import KEEP, RequestStates, fingerprint
from unsee.erase.fit_eraser import fit_published
from unsee.erase.gates.null_space import RELEASED_LLAVA, NullSpace, NullSpaceGate, null_space_gate
from unsee.erase.gates.prompt_ridge import PromptRidgeGate
from unsee.evals.answerers import Answerer
from unsee.experiments.sweeps.mlp import Prompts, fit_mlp
from unsee.experiments.sweeps.on_direction import whole
from unsee.experiments.sweeps.trying import Listed, Trial, fitted, held
from unsee.experiments.trial import some
from unsee.shapes import Bool, Tensor

_LAMBDAS = (0.25, 0.5, 1.0, 2.0, 3.0)


def null_space(trial: Trial) -> Listed:
    """The published gate over its ratio and its ridge, and over lambda at the released ones; default gate first."""
    profile, size = trial.profile, trial.settings.batch_size
    forget = some(trial.people[0], 450)  # as many as the paper has at 10 %
    first = fit_published(trial.loaded, profile, forget, preset=RELEASED_LLAVA)
    states = capture(trial.loaded, forget, profile.layers, size, pool=("last",)).last

    def published(preset: NullSpace, strength: float = first.strength) -> Answerer:
        weights = [
            null_space_gate(profile.retain_last[:, place], states[:, place], preset) for place in range(states.shape[1])
        ]
        return trial.asked(replace(first, gate=NullSpaceGate(torch.stack(weights).float()), strength=strength))

    yield "default gate", lambda: trial.asked(trial.eraser)
    for ratio in (0.1, 0.3, 0.6, 0.9):
        for gamma in (0.01, 0.1, 1.0):
            preset = NullSpace(ratio, gamma)
            mark = " (released)" if preset == RELEASED_LLAVA else ""
            yield f"ratio {ratio:g}, gamma {gamma:g}{mark}", lambda p=preset: published(p)
    for strength in (0.1, 0.5, 1.0):
        yield f"released, lambda {strength:g}", lambda s=strength: published(RELEASED_LLAVA, s)


def layers(trial: Trial) -> Listed:
    """Which of its decoder blocks the default gate reads; steering begins at the last of them."""
    read = trial.profile.read
    half = len(read) // 2
    chosen: list[tuple[int, ...]] = [*((block,) for block in read), read[:half], read[half:], read[1::2]]
    yield f"{_named(read)} (default)", lambda: trial.asked(trial.eraser)
    for blocks in dict.fromkeys(chosen):
        yield _named(blocks), lambda b=blocks: trial.asked(read_at(trial, b))


def ridge(trial: Trial) -> Listed:
    """The ridge of the default gate; its profile does not depend on it."""
    for gamma in (0.0001, 0.001, 0.03, 0.3):
        settings = trial.settings.changed(ridge=gamma)
        yield f"{gamma:g}", lambda s=settings: trial.gated(held(fitted(trial.profile, trial.states, s)))
    yield f"{trial.settings.ridge:g} (default)", lambda: trial.asked(trial.eraser)


def mlp(trial: Trial) -> Listed:
    """One linear gate per subject or a small MLP for all; each with its crossed threshold, and at a half without."""
    profile, states = trial.profile, trial.states
    forgets = states.role != KEEP
    flat = states.features.float().flatten(1)
    prompts = Prompts(
        flat[forgets],
        states.role[forgets],
        (profile.retain_people.float().flatten(1), profile.calibration.float().flatten(1)),
        profile.retain_others.float().flatten(1),
        flat[~forgets],
    )
    half = torch.full_like(trial.gate.threshold, 0.5)
    yield "linear (default)", lambda: trial.asked(trial.eraser)
    yield "linear, at 0.5", lambda: trial.gated(replace(trial.gate, threshold=half))
    for hidden, stop in ((16, True), (64, True), (256, True), (64, False)):
        gate = fit_mlp(prompts, trial.settings, hidden=hidden, stop=stop)
        passes = f"{gate.epochs} passes{'' if stop else ', not stopped'}"
        yield f"MLP of {hidden}, {passes}", lambda g=gate: trial.decided(g)
        yield f"MLP of {hidden}, {passes}, at 0.5", lambda g=gate: trial.decided(replace(g, threshold=half))


def retained(trial: Trial) -> Listed:
    """How many retained people of each half the fit sees; the threshold comes from no others."""
    halves = subjects(trial.data.retain), subjects(trial.data.calibration)
    for count in (5, 10, 20, 40):
        left = {person for half in halves for person in half[count:]}
        yield f"{count} of each half", lambda gone=left: trial.gated(without(trial, gone))
    yield f"all: {len(halves[0])} and {len(halves[1])} (default)", lambda: trial.asked(trial.eraser)


def questions(trial: Trial) -> Listed:
    """How many questions about each forgotten person the fit sees."""
    for share in (0.01, 0.03, 0.1, 0.3):
        rows = _share_of_each(trial.states, share)
        each = int(rows.sum()) / len(subjects(trial.people[0]))
        few = replace(
            trial.states,
            features=trial.states.features[rows | (trial.states.role == KEEP)],
            role=trial.states.role[rows | (trial.states.role == KEEP)],
        )
        yield f"{each:.0f} each", lambda f=few: trial.gated(held(fitted(trial.profile, f, trial.settings)))
    yield f"{len(trial.people[0]) // len(subjects(trial.people[0]))} each (default)", lambda: trial.asked(trial.eraser)


def overlap(trial: Trial) -> Listed:
    """One of a pair that is alike is forgotten, the other kept: with the kept one in the fit, and unknown to it."""
    twins = {s.subject for name in ("twin_face", "twin_name") for s in trial.splits[name]}
    others = [p for half in (trial.data.retain, trial.data.calibration) for p in subjects(half) if p not in twins]
    yield "both in the fit (default)", lambda: trial.asked(trial.eraser)
    yield "the kept one unknown", lambda: trial.gated(without(trial, twins))
    yield (
        "as many others unknown",
        lambda: trial.gated(without(trial, others[:: len(others) // len(twins)][: len(twins)])),
    )


def read_at(trial: Trial, blocks: tuple[int, ...]) -> Eraser:
    """The default eraser, reading these of its blocks only; where it steers more of them, lambda is chosen again."""
    at = [trial.profile.read.index(block) for block in blocks]
    profile = trial.profile
    profile = replace(
        profile, read=blocks, retain_mean=profile.retain_mean[:, at], calibration=profile.calibration[:, at]
    )
    states = replace(trial.states, features=trial.states.features[:, at], profile=fingerprint(profile))
    gates = fitted(profile, states, trial.settings)
    if profile.written == trial.profile.written:
        return gates
    words = next(t["words"] for t in profile.curves["strengths"] if t["strength"] == profile.strength)
    long = whole(profile.trajectory, profile.strength)
    prompts = spread(trial.data.calibration, 32)
    trials = try_strengths(trial.loaded, profile, {words: long}, prompts, trial.settings.changed(strengths=_LAMBDAS))
    best = weakest_sufficient(trials, trial.settings.refused).strength
    places = [profile.layers.index(layer) for layer in gates.layers]
    return replace(gates, trajectory=no_longer(long, best)[places], strength=best)


def without(trial: Trial, people: Collection[str]) -> PromptRidgeGate:
    """The default gates, fitted and calibrated as if these retained people had never been."""
    retained = torch.zeros(len(trial.profile.retain_last), dtype=torch.bool)
    retained[: len(trial.data.retain)] = torch.tensor([s.subject in people for s in trial.data.retain])
    calibrated = torch.tensor([s.subject in people for s in trial.data.calibration])
    states = replace(trial.states, retained=retained, calibrated=calibrated)
    return held(fitted(trial.profile, states, trial.settings))


def _named(blocks: tuple[int, ...]) -> str:
    return ("block " if len(blocks) == 1 else "blocks ") + ", ".join(map(str, blocks))


def _share_of_each(states: RequestStates, share: float) -> Bool[Tensor, " N"]:
    chosen = torch.zeros(len(states.role), dtype=torch.bool)
    for subject in range(int(states.role.max()) + 1):
        mine = (states.role == subject).nonzero().flatten()
        order = torch.randperm(len(mine), generator=torch.Generator().manual_seed(subject))
        chosen[mine[order[: max(1, round(share * len(mine)))]]] = True
    return chosen
