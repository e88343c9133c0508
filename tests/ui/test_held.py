"""What Forget has made, put into the ledger: once, accepted, not in force; and not where it cannot be verified."""

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from PIL import Image

from unsee.data import ImageFile
from unsee.erase.eraser import Eraser
from unsee.erase.gates.prompt_ridge import PromptRidgeGate
from unsee.erase.request.request import Request, request
from unsee.errors import OptionError
from unsee.forgetting.run import Forgotten
from unsee.ledger import Decision, Keys, create
from unsee.ledger.errors import LifeCycleError, PersonalDataError
from unsee.ui.bench import Bench
from unsee.ui.held import into_ledger, opened

BY = Decision("the officer", "letter of 3 May")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    create(tmp_path / "ledger", Keys.make(tmp_path / "keys", tmp_path / "ledger"), BY).close()
    return Bench(
        "m", None, (), None, tmp_path, tmp_path, ledger=tmp_path / "ledger", keys=tmp_path / "keys"
    )  # fmt: skip


def forgotten(folder: Path, **changes: Any) -> Forgotten:
    Image.new("RGB", (8, 8), (200, 30, 90)).save(folder / "a.png")
    asked: Request = request("Jane Doe", images=[ImageFile("a", folder / "a.png")], **changes)
    gate = PromptRidgeGate((4,), torch.zeros(1, 1, 2, 8), torch.ones(1), torch.zeros(1))
    made = Eraser(
        {"id": "m", "digest": "sha256:0", "revision": None}, "llava", (4,), gate, torch.zeros(1, 2, 8), 1.0, "test",
        subjects=("a",),
    )  # fmt: skip
    content = made.save_pretrained(folder / "made" / "eraser")
    return Forgotten(made, cast(Any, None), cast(Any, None), asked, folder / "made", content)


def test_it_comes_in_once_accepted_with_its_eraser_and_is_not_in_force(bench: Bench, tmp_path: Path) -> None:
    done = forgotten(tmp_path)
    made, token = into_ledger(bench, done, BY, "GDPR Art. 17", "here")
    again, nothing = into_ledger(bench, done, BY, "GDPR Art. 17", "here")
    assert (again.id, nothing) == (made.id, "") and token
    with opened(bench) as ledger:
        (one,) = ledger.requests()
        assert (one.state, one.in_force, one.images) == ("fitted", None, 1)
        assert one.held is not None and one.held.content_id == done.content_id
        person = ledger.person(one.id)
        assert person is not None and person.names == ("Jane Doe",)
        assert [row.step for row in ledger.history(one.id)][:3] == ["add", "accept", "fit"]


@pytest.mark.parametrize("changes", [{"kind": "work"}, {"erase": "job"}, {"spare": "job"}])
def test_what_a_ledger_cannot_verify_as_a_whole_stays_out(bench: Bench, tmp_path: Path, changes: Any) -> None:
    with pytest.raises(OptionError, match="as a whole"):
        into_ledger(bench, forgotten(tmp_path, **changes), BY, "GDPR Art. 17", "here")
    with opened(bench) as ledger:
        assert ledger.requests() == []


def test_a_reason_that_names_the_person_stops_it_before_anything_is_received(bench: Bench, tmp_path: Path) -> None:
    with pytest.raises(PersonalDataError):
        into_ledger(bench, forgotten(tmp_path), Decision("me", "doe wrote to us"), "GDPR Art. 17", "here")
    with opened(bench) as ledger:
        assert ledger.requests() == []


def test_one_that_was_taken_back_does_not_come_in_again(bench: Bench, tmp_path: Path) -> None:
    done = forgotten(tmp_path)
    made, _ = into_ledger(bench, done, BY, "GDPR Art. 17", "here")
    with opened(bench) as ledger:
        ledger.take("revoke", made.id, BY)
    with pytest.raises(LifeCycleError):
        into_ledger(bench, done, BY, "GDPR Art. 17", "here")
