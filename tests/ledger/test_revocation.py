"""Random orders of add, activate and revoke: the set in force is always what a ledger that never had the rest has."""

import tempfile
from contextlib import nullcontext
from pathlib import Path

import torch
from benchmarks.ledger_worker import BY, fitted, found, made, received, switched_on, verified
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.tiny_llava import LAYERS, WIDTH, mixed_questions, tiny_llava

from unsee import erased
from unsee.erase.eraser import Eraser
from unsee.erase.gates.prompt_ridge import PromptRidgeGate
from unsee.erase.profile import identity
from unsee.ledger import Ledger
from unsee.ledger.active import active_digest, code_version
from unsee.ledger.erasers import eraser_check, load_active
from unsee.ledger.examination import examine
from unsee.ledger.holding import attach
from unsee.models.digest import weights_digest
from unsee.models.generate import encode
from unsee.shapes import Tensor

LOADED = tiny_llava()
moves = st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["on", "on", "off", "fail"])), max_size=9)


@given(moves)
@settings(max_examples=8, deadline=None)
def test_the_set_in_force_forgets_what_was_revoked(way: list[tuple[int, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        names, on = {}, dict[int, str]()
        with made(Path(folder)) as ledger:
            for number, move in way:
                if move == "off" and number in on:
                    ledger.take("revoke", on.pop(number), BY)
                if move == "off" or number in on:
                    continue
                request = ledger.take("accept", received(ledger, number).id, BY)
                request = fitted(ledger, request, Path(folder) / "a", number)
                names[number] = next(iter(request.artifacts))
                if move == "fail":
                    verified(ledger, request, found(ledger, request, leaked=100))
                    ledger.take("revoke", request.id, BY)
                    continue
                on[number] = ledger.take("activate", verified(ledger, request).id, BY).id
            now = ledger.active()
            assert not examine(ledger)
        assert [one.content_id for one in now.requests.values()] == sorted(names[number] for number in on)
        assert now.digest == active_digest([names[number] for number in on], {}, code_version())
        (Path(folder) / "fresh").mkdir()
        with made(Path(folder) / "fresh") as fresh:
            for number in sorted(on):
                switched_on(fresh, Path(folder) / "b", number)
            assert fresh.active().digest == now.digest


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
