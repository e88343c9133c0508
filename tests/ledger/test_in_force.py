"""Everything in force: which request fired and how strongly, as a list, as a stack, and on the command line."""

from pathlib import Path

import pytest
import torch
from benchmarks.ledger_worker import BY, KEY, good
from tests.tiny_llava import LAYERS, WIDTH, question, tiny_llava

from unsee import erased
from unsee.erase.eraser import Eraser
from unsee.erase.gates.prompt_ridge import PromptRidgeGate
from unsee.erase.profile import identity
from unsee.errors import DataError, MismatchError
from unsee.ledger import Ledger
from unsee.ledger.erasers import ask, eraser_check, load_active, load_stack
from unsee.models.generate import generate
from unsee.models.load import LoadedModel


def switched_on(ledger: Ledger, loaded: LoadedModel, folder: Path, margin: float) -> str:
    """A request whose gate reads the same on every prompt."""
    gate = PromptRidgeGate((1,), torch.zeros(1, 1, 2, WIDTH), torch.tensor([margin]), torch.zeros(1))
    eraser = Eraser(identity(loaded), "llava", (LAYERS - 1,), gate, torch.ones(1, 3, WIDTH), 3.0, "held-ridge",
                    subjects=(f"s{margin}",))  # fmt: skip
    eraser.save_pretrained(folder)
    request = ledger.attach(ledger.add(f"subject {margin}", KEY, BY).id, folder, eraser_check(), BY)
    ledger.record(request.id, request.content_id or "", good(ledger.policy.verification), BY)
    return ledger.activate(request.id, BY).request.id


def test_which_requests_fire_and_how_strongly(tmp_path: Path) -> None:
    loaded = tiny_llava()
    with Ledger.create(tmp_path / "ledger", KEY, BY) as ledger:
        plain, nobody = ask(ledger, loaded, "who?", max_new_tokens=3)
        assert nobody == {} and plain == generate(loaded, [question(0, "who?", image=False)], max_new_tokens=3)[0]
        shut, weak, strong = (switched_on(ledger, loaded, tmp_path / "e", m) for m in (-0.5, 0.25, 2.0))
        answer, readings = ask(ledger, loaded, "who?", max_new_tokens=3)
        assert list(readings.items()) == [(strong, 2.0), (weak, 0.25), (shut, -0.5)]
        assert answer != plain
        active, erasers = load_active(ledger)
        stacked_set, stacked = load_stack(ledger)
        assert stacked_set.digest == active.digest and len(erasers) == 3
        assert stacked.owners == tuple(r.id for r in active.requests), "in the order of the set, as the list is"
        with erased(loaded.model, stacked.eraser) as steering:
            generate(loaded, [question(0, "who?", image=False)], max_new_tokens=3)
        (reading,) = steering.readings
        assert reading is not None and stacked.fired(reading.margins) == [{strong: 2.0, weak: 0.25}]
        ledger.revoke(strong, BY)
        assert list(load_stack(ledger)[1].owners) == sorted([shut, weak], key=stacked.owners.index)


def test_what_cannot_be_asked_is_refused(tmp_path: Path) -> None:
    loaded = tiny_llava()
    with Ledger.create(tmp_path / "ledger", KEY, BY) as ledger:
        with pytest.raises(DataError, match="no request to stack"):
            load_stack(ledger)
        switched_on(ledger, loaded, tmp_path / "e", 1.0)
        with pytest.raises(DataError, match="there is no image"):
            ask(ledger, loaded, "who?", tmp_path / "none.png")
        with pytest.raises(MismatchError, match="tiny-llava"):
            ask(ledger, tiny_llava(seed=1), "who?")
