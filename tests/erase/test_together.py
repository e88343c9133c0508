"""Thresholds of a set: from the few scores stored what all would give, and a function of the set alone."""

import math
import random
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from unsee.erase.eraser import Eraser
from unsee.erase.eraser_set import FALSE_FIRES, false_fires, false_fires_of, stack, together
from unsee.erase.fit.calibration import raised_together
from unsee.erase.gates.null_space import NullSpaceGate
from unsee.erase.gates.prompt_ridge import PromptRidgeGate
from unsee.erase.gates.scope import Scope
from unsee.erase.gates.subject import SubjectGate
from unsee.errors import ArtifactError, OptionError
from unsee.models.turns import TurnTokens
from unsee.shapes import Tensor

WIDTH, TAIL, FLOOR = 4, 0.05, 0.5
PROFILE = torch.arange(32, dtype=torch.uint8)


def fitted(unseen: Tensor, name: str = "a", profile: Tensor = PROFILE) -> Eraser:
    """A request as its fit leaves it: a threshold for itself, and what opens."""
    count = unseen.shape[1]
    threshold = raised_together(unseen, torch.full((count,), FLOOR), TAIL)
    gate = PromptRidgeGate((1,), torch.zeros(count, 1, 2, WIDTH), torch.zeros(count), threshold)
    kept = false_fires({"prompt": unseen}, threshold, profile)
    return Eraser({"id": "m", "revision": None, "digest": "sha256:" + "0" * 64}, "llava", (1,), gate,
                  torch.ones(1, 2, WIDTH), 1.0, "held-ridge", kept, (name,) * count)  # fmt: skip


def scores(seed: int, prompts: int, gates: int, steps: int) -> Tensor:
    """Of retained prompts; coarse steps make ties, and some requests reach nobody at all."""
    generator = torch.Generator().manual_seed(seed)
    high = float(torch.rand((), generator=generator)) * 1.5
    return (torch.rand(prompts, gates, generator=generator, dtype=torch.float64) * high * steps).round() / steps


def thresholds(erasers: list[Eraser]) -> list[list[float]]:
    return [one.gate.threshold.tolist() for one in erasers if isinstance(one.gate, PromptRidgeGate)]


def by_hand(every: list[Tensor], share: float) -> list[list[float]]:
    """From all scores, prompt by prompt."""
    own = [raised_together(one, torch.full((one.shape[1],), FLOOR), TAIL).tolist() for one in every]
    highest = list[float]()
    for row in range(len(every[0])):
        said = [(float(s), limit) for one, limits in zip(every, own, strict=True)
                for s, limit in zip(one[row].float(), limits, strict=True)]  # fmt: skip
        highest.append(max((score for score, limit in said if score >= limit), default=-math.inf))
    may_open = len(highest) - min(len(highest), math.ceil((len(highest) + 1) * (1 - Fraction(str(share)))))
    limit = sorted(highest, reverse=True)[may_open]  # this one may not any more
    level = float(np.nextafter(np.float32(limit), np.float32(math.inf)))
    return [[max(mine, level) for mine in limits] for limits in own]


@given(st.integers(0, 10**6), st.integers(1, 130), st.integers(2, 7), st.sampled_from([7, 40, 10**9]))
@settings(max_examples=60, deadline=None)
def test_the_few_scores_kept_give_what_all_scores_would(seed: int, prompts: int, requests: int, steps: int) -> None:
    every = [scores(seed + n, prompts, 1 + n % 2, steps) for n in range(requests)]
    assert thresholds(together([fitted(one) for one in every], {"prompt": 0.04})) == by_hand(every, 0.04)


def test_the_set_decides_and_not_how_it_came_about() -> None:
    requests = [fitted(scores(n, 200, 1, 10**9) + 0.3, f"s{n}") for n in range(6)]
    assert thresholds(together(requests[:1], {"prompt": TAIL})) == thresholds(requests[:1]), (
        "one alone keeps its own, bit for bit"
    )
    rng, seen = random.Random(0), dict[frozenset[int], list[list[float]]]()
    for _ in range(60):
        members = rng.sample(range(6), rng.randint(1, 6))
        found = dict(zip(members, thresholds(together([requests[n] for n in members])), strict=True))
        inside = [found[n] for n in sorted(members)]
        assert inside == seen.setdefault(frozenset(members), inside)
    assert len({str(value) for value in seen.values()}) > 6, "sets differ, so the comparison above could fail"


def test_all_together_open_on_no_more_than_the_share() -> None:
    every = [scores(n, 400, 1, 10**9) + 0.2 for n in range(8)]
    alone = [fitted(one) for one in every]

    def opening(requests: list[Eraser]) -> float:
        limits = torch.tensor(thresholds(requests)).flatten()
        return float((torch.cat(every, dim=1) >= limits).any(1).float().mean())

    assert opening(alone) > 2 * TAIL, "small shares add up"
    for share in (0.02, 0.1):
        assert share - 0.01 <= opening(together(alone, {"prompt": share})) <= share
    assert thresholds(together(alone, {"prompt": 0.9})) == thresholds(alone), "none is lowered"
    with pytest.raises(OptionError, match="expected a share"):
        together(alone, {"prompt": 1.5})


def test_each_profile_has_an_equal_part_of_the_share() -> None:
    mine, theirs = scores(1, 300, 2, 10**9) + 0.3, scores(2, 100, 1, 10**9) + 0.3
    one, other = together([fitted(mine), fitted(theirs, profile=PROFILE + 1)], {"prompt": 0.04})
    assert thresholds([one, other]) == [by_hand([s], 0.02)[0] for s in (mine, theirs)]
    assert thresholds([one]) != by_hand([mine], 0.04)


def test_requests_that_keep_no_scores_are_as_they_were() -> None:
    many = [fitted(scores(n, 200, 1, 10**9) + 0.3) for n in range(4)]
    older = replace(many[0], settings={})
    published = replace(older, gate=NullSpaceGate(torch.ones(1, WIDTH)))
    found = together([older, *many[1:], published])
    assert found[0] is older and found[-1] is published
    assert thresholds(found[1:-1]) == thresholds(together(many[1:]))
    assert false_fires_of(older) is None and false_fires_of(published) is None


def test_they_are_saved_with_the_eraser_and_a_stack_has_none_of_its_own(tmp_path: Path) -> None:
    many = [fitted(scores(n, 200, 1, 10**9) + 0.3, f"s{n}") for n in range(3)]
    for number, one in enumerate(many):
        one.save_pretrained(tmp_path / str(number))
    read = [Eraser.from_pretrained(tmp_path / str(number)) for number in range(3)]
    assert thresholds(together(read)) == thresholds(together(many)) != thresholds(many)
    joint = stack({f"r{n}": one for n, one in enumerate(together(read))}).eraser
    assert FALSE_FIRES not in joint.settings and len(set(thresholds([joint])[0])) == 1


BROKEN: list[dict[str, Any]] = [
    {"prompts": 0}, {"prompts": True}, {"prompts": 10**9}, {"prompts": 1}, {"scores": [0.5]}, {"scores": {"-1": 0.5}},
    {"scores": {"1": "0.5"}}, {"scores": {"1": 0.5, "01": 0.7}}, {"scores": {"1": 1e30}}, {"more": 1},
    {"scores": {"9" * 6000: 0.5}},
]  # fmt: skip


@pytest.mark.parametrize("wrong", BROKEN)
def test_what_a_fit_does_not_write_is_refused(wrong: dict[str, Any]) -> None:
    one = fitted(scores(0, 200, 1, 10**9))
    found = one.settings[FALSE_FIRES]
    assert len(found["prompt"]["scores"]) > 1
    broken = replace(one, settings=one.settings | {FALSE_FIRES: found | {"prompt": found["prompt"] | wrong}})
    with pytest.raises(ArtifactError, match=r"settings\.false_fires of the eraser is .*Fit the request again"):
        together([broken])


NO_PROMPTS: dict[str, Any] = {"profile": "00"}
GOOD = {"prompts": 2, "scores": {"1": 0.5}}


@pytest.mark.parametrize(
    "wrong", [3, {}, [], "all", NO_PROMPTS, NO_PROMPTS | {"named": GOOD}, {"profile": 3, "prompt": GOOD}]
)
def test_and_what_is_no_such_record(wrong: object) -> None:
    one = fitted(scores(0, 200, 1, 10**9))
    with pytest.raises(ArtifactError, match="expected the fingerprint of a profile"):
        false_fires_of(replace(one, settings=one.settings | {FALSE_FIRES: wrong}))


def by_subject(named: Tensor, shown: Tensor | None, name: str) -> Eraser:
    """A request from a name, and images if there are any, with what opens by each."""
    count, layers = named.shape[1], torch.zeros(1, dtype=torch.int64)
    scope = Scope.everything(1, WIDTH)
    gate = SubjectGate(
        (1,), torch.zeros(count, 2, 1, WIDTH), torch.zeros(count, 2), torch.zeros(count, 2), scope,
        layers.expand(count), TurnTokens(layers, layers, layers),
    )  # fmt: skip
    unseen = {"named": named} | ({} if shown is None else {"shown": shown})
    return Eraser({"id": "m", "revision": None, "digest": "sha256:" + "0" * 64}, "llava", (1,), gate,
                  torch.ones(1, 2, WIDTH), 1.0, "subject", false_fires(unseen, torch.zeros(count), PROFILE),
                  (name,) * count)  # fmt: skip


@given(st.integers(0, 10**6), st.integers(2, 5), st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_each_evidence_has_a_level_of_its_own(seed: int, requests: int, without: int) -> None:
    """Of names and of images by themselves, of the prompts that hold such evidence, and of no request that has none."""
    draw, prompts, pictured = random.Random(seed), 150, 60
    named = [scores(seed + n, prompts, 1, 10**9).float() - 0.4 for n in range(requests)]
    shown = [torch.full((prompts, 1), -torch.inf) for _ in range(requests)]
    for n, one in enumerate(shown):
        one[:pictured] = scores(seed - 1 - n, pictured, 1, 10**9).float() - 0.2
    bare = set(draw.sample(range(requests), min(without, requests - 1)))
    every = [by_subject(named[n], None if n in bare else shown[n], f"s{n}") for n in range(requests)]
    shares = {"named": 0.1, "shown": 0.2}
    for kept in every:
        found = false_fires_of(kept)
        assert found is not None and {one.evidence: one.prompts for one in found} == (
            {"named": prompts} | ({} if "shown" not in kept.settings[FALSE_FIRES] else {"shown": pictured})
        )

    def level(some: list[Tensor], count: int, share: float) -> float:
        highest = sorted((max(0.0, *(float(one[row, 0]) for one in some)) for row in range(count)), reverse=True)
        limit = highest[count - min(count, math.ceil((count + 1) * (1 - Fraction(str(share)))))]
        return float(np.nextafter(np.float32(limit), np.float32(math.inf))) if limit else 0.0

    by_name = level(named, prompts, shares["named"])
    by_image = level([shown[n] for n in range(requests) if n not in bare], pictured, shares["shown"])
    for n, one in enumerate(together(every, shares)):
        assert one.gate.latched and one.gate.threshold.tolist() == [[by_name, 0.0 if n in bare else by_image]]


def test_more_rows_than_prompts_between_them_raise_and_do_not_break() -> None:
    """Each is as a fit may write it; only both together name four rows of three prompts."""
    many = [fitted(scores(n, 200, 1, 10**9) + 0.3) for n in range(2)]
    profile = many[0].settings[FALSE_FIRES]["profile"]
    crafted = [
        replace(one, settings={FALSE_FIRES: {"profile": profile, "prompt": {"prompts": 3, "scores": rows}}})
        for one, rows in zip(many, ({"0": 1.5, "1": 1.25}, {"7": 2.5, "8": 2.25}), strict=True)
    ]
    assert all(row[0] > 2.5 for row in thresholds(together(crafted)))
