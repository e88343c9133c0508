"""What is in force: in whatever order it was switched on and off, a function of the set alone, answers bit for bit."""

import tempfile
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks.ledger_worker import BY, made, received, verified
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tiny_llava import LAYERS, WIDTH, mixed_questions, tiny_llava

from unsee import erased
from unsee.erase.eraser import Eraser
from unsee.erase.eraser_set import FALSE_FIRES, false_fires
from unsee.erase.fit.calibration import raised_together
from unsee.erase.gates.null_space import NullSpaceGate
from unsee.erase.gates.prompt_ridge import PromptRidgeGate
from unsee.erase.profile import identity
from unsee.erase.request.knowledge import Knowledge
from unsee.errors import ArtifactError
from unsee.forgetting.before import Before
from unsee.ledger import Ledger, Request
from unsee.ledger.active import active_digest, code_version
from unsee.ledger.erasers import ask, eraser_check, load_active, verify
from unsee.ledger.examination import examine
from unsee.ledger.holding import attach
from unsee.models.digest import weights_digest
from unsee.models.generate import encode
from unsee.shapes import Tensor

PROMPTS, TAIL = 200, 0.02
LOADED = tiny_llava()


def kept_scores(number: int) -> Tensor:
    """What a request's gate says to retained prompts it has not seen: high on five of its own; three open it."""
    scores = torch.zeros(PROMPTS, 1)
    scores[5 * number : 5 * number + 5, 0] = torch.linspace(0.6, 0.9, 5) + number / 100
    return scores


def eraser(number: int, reads: float = 0.0) -> Eraser:
    """A request as it is fitted; its gate reads the same on every prompt."""
    unseen = kept_scores(number)
    threshold = raised_together(unseen, torch.tensor([0.5]), TAIL)
    gate = PromptRidgeGate((1,), torch.zeros(1, 1, 2, WIDTH), torch.tensor([reads]), threshold)
    kept = false_fires({"prompt": unseen}, threshold, torch.zeros(32, dtype=torch.uint8))
    return Eraser(identity(LOADED), "llava", (LAYERS - 1,), gate, torch.ones(1, 3, WIDTH), 3.0, "held-ridge", kept,
                  (f"s{number}",))  # fmt: skip


def held(ledger: Ledger, one: Eraser) -> Request:
    one.save_pretrained(ledger.home.with_name("eraser"))
    request = ledger.take("accept", received(ledger, hash(one.subjects)).id, BY)
    return attach(ledger, request.id, ledger.home.with_name("eraser"), eraser_check, BY)


def switched_on(ledger: Ledger, one: Eraser) -> str:
    return ledger.take("activate", verified(ledger, held(ledger, one)).id, BY).id


def in_force(ledger: Ledger) -> dict[str, float]:
    """Threshold by subject."""
    found = dict[str, float]()
    for one in load_active(ledger)[1]:
        assert isinstance(one.gate, PromptRidgeGate)
        found[one.subjects[0]] = float(one.gate.threshold)
    return found


def from_scratch(numbers: set[int]) -> dict[str, float]:
    """From all scores of all in force, as if they had been fitted at once."""
    if not numbers:
        return {}
    every = torch.cat([kept_scores(number) for number in sorted(numbers)], dim=1)
    own = torch.cat([raised_together(every[:, k : k + 1], torch.tensor([0.5]), TAIL) for k in range(len(numbers))])
    limits = raised_together(every.where(every >= own, 0.0), own, PromptRidgeGate.shares["prompt"]).tolist()
    return {f"s{number}": limit for number, limit in zip(sorted(numbers), limits, strict=True)}


@given(st.lists(st.integers(0, 4), max_size=14))
@settings(max_examples=6, deadline=None)
def test_any_order_of_activations_and_revocations_ends_where_a_fit_of_that_set_would(way: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder, made(Path(folder)) as ledger:
        on, seen = dict[int, str](), dict[str, dict[str, float]]()
        for number in way:
            if number in on:
                ledger.take("revoke", on.pop(number), BY)
            else:
                on[number] = switched_on(ledger, eraser(number))
            found, active = in_force(ledger), ledger.active()
            ids = [one.content_id for one in active.requests.values()]
            assert found == from_scratch(set(on)), "bit for bit"
            assert found == seen.setdefault(active.digest, found), "the digest names the thresholds too"
            assert ids == sorted(ids) and set(active.requests) == set(on.values()) and not examine(ledger)
            assert active.digest == active_digest(reversed(ids), {}, code_version()), "and nothing but the set"


def test_an_answer_is_steered_by_the_thresholds_of_the_set(ledger: Ledger) -> None:
    plain, _ = ask(ledger, LOADED, "who?", max_new_tokens=3)
    limit, both = from_scratch({0})["s0"], from_scratch({0, 1})["s0"]
    one = switched_on(ledger, eraser(0, reads=(limit + both) / 2))
    alone, readings = ask(ledger, LOADED, "who?", max_new_tokens=3)
    assert alone != plain and readings[one] > 0, "by itself it fires"
    other = switched_on(ledger, eraser(1))
    answer, readings = ask(ledger, LOADED, "who?", max_new_tokens=3)
    assert answer == plain and readings[one] < 0, "beside the other, retained prompts score as high as this one does"
    ledger.take("revoke", other, BY)
    assert ask(ledger, LOADED, "who?", max_new_tokens=3)[0] == alone


def test_verification_asks_with_the_thresholds_that_will_be_in_force(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = list[Eraser]()

    def measure(asker: Any, _: Any) -> None:
        asked.extend(reversed(asker.erasers))
        raise KeyboardInterrupt

    monkeypatch.setattr("unsee.ledger.asking.Asker.about", measure)
    switched_on(ledger, eraser(0))
    request = held(ledger, eraser(1))
    with pytest.raises(KeyboardInterrupt):
        verify(ledger, request.id, LOADED, BY, today=Before((), (), Knowledge({}, 0.0, ()), None))
    limits = {one.subjects[0]: float(one.gate.threshold) for one in asked if isinstance(one.gate, PromptRidgeGate)}
    assert list(limits) == ["s1", "s0"] and limits == from_scratch({0, 1})


def test_what_cannot_share_a_threshold_keeps_its_own(ledger: Ledger) -> None:
    older, gate = replace(eraser(2), settings={}), NullSpaceGate(torch.ones(1, WIDTH))
    quiet = switched_on(ledger, older)
    switched_on(ledger, eraser(0))
    assert [name for name, one in ledger.active().requests.items() if not one.shares_threshold] == [quiet]
    assert in_force(ledger) == from_scratch({0}) | from_scratch({2}), "each as it is alone"
    switched_on(ledger, replace(older, gate=gate, method="published", trajectory=torch.ones(1, 1, WIDTH)))
    assert [one.method for one in load_active(ledger)[1]].count("published") == 1


def test_damaged_scores_are_refused_when_they_come_in(ledger: Ledger) -> None:
    one = eraser(0)
    scores = one.settings[FALSE_FIRES] | {"prompt": {"prompts": PROMPTS, "scores": {"1": "high"}}}
    with pytest.raises(ArtifactError, match=r"settings\.false_fires"):
        held(ledger, replace(one, settings=one.settings | {FALSE_FIRES: scores}))
    assert [(r.state, r.artifacts) for r in ledger.requests()] == [("accepted", {})]


def always(number: int) -> Eraser:
    """An eraser whose gate opens for everybody, for some more than others do, with a trajectory of its own."""
    generator = torch.Generator().manual_seed(number)
    gate = PromptRidgeGate((1,), torch.randn(1, 1, 2, WIDTH, generator=generator), torch.zeros(1), torch.tensor([-1e4]))
    trajectory = torch.randn(1, 3, WIDTH, generator=generator) * 10.0**-number
    about = (identity(LOADED), "llava", (LAYERS - 1,), gate, trajectory, 1.0, "held-ridge")
    return Eraser(*about, subjects=(f"s{number}",))


def logits(ledger: Ledger) -> Tensor:
    """Of one batch, with everything that the ledger has in force."""
    inputs, (_, erasers) = encode(LOADED, mixed_questions()), load_active(ledger)
    with torch.no_grad(), erased(LOADED.model, *erasers) if erasers else nullcontext():
        return LOADED.model(**inputs, use_cache=False).logits


def test_answers_come_back_bit_for_bit_in_any_order(ledger: Ledger, tmp_path: Path) -> None:
    weights, seen, on = weights_digest(LOADED.model), {frozenset[int](): logits(ledger)}, dict[int, str]()
    for number in (0, 1, 2, -1, 1, -3, 0, -2, 2, -1, -3, 0, 1, 2):
        if number >= 0 and number not in on:
            always(number).save_pretrained(tmp_path / "eraser")
            request = ledger.take("accept", received(ledger, number).id, BY)
            request = verified(ledger, attach(ledger, request.id, tmp_path / "eraser", eraser_check, BY))
            on[number] = ledger.take("activate", request.id, BY).id
        elif number < 0:
            ledger.take("revoke", on.pop(-number - 1), BY)
        now, members = logits(ledger), frozenset(on)
        assert torch.equal(now, seen.setdefault(members, now)), f"{members} answers as it did before"
    assert len(seen) >= 6 and weights_digest(LOADED.model) == weights
    different = {tuple(now.flatten().tolist()) for now in seen.values()}
    assert len(different) == len(seen), "every set answers in its own way, so the comparison above could fail"


def test_what_the_check_says_of_an_eraser(tmp_path: Path) -> None:
    content = always(1).save_pretrained(tmp_path / "eraser")
    facts = eraser_check(tmp_path / "eraser")
    assert (facts.content_id, facts.model_digest, facts.model_id) == (content, LOADED.digest, "tiny-llava")
    assert facts.about["subjects"] == 1 and "s1" not in str(facts.about), "ids of subjects stay in the artifact"
    assert facts.about["settings"]["strength"] == 1.0
