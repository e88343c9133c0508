"""From a name and an image in the vault to a fitted and verified request: by `unsee forget`, and beside a panel."""

import io
from pathlib import Path
from typing import Any

import pytest
from benchmarks.ledger_worker import BY, GROUND, made, switched_on
from PIL import Image
from tests.tiny_llava import tiny_llava

from unsee.errors import UnknownSubjectError
from unsee.ledger import Ledger, Person, asking, erasers
from unsee.ledger.errors import LifeCycleError
from unsee.ledger.holding import add
from unsee.ledger.verification import questions_needed


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNSEE_CACHE", str(tmp_path / "cache"))


def encoded(image: Image.Image) -> bytes:
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()


def test_what_the_model_does_not_know_is_for_a_person_to_decide(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forget(*_: Any, **__: Any) -> None:
        raise UnknownSubjectError("the model says nothing of Ada Byron")

    monkeypatch.setattr(erasers, "forget", forget)
    picture = encoded(Image.new("RGB", (16, 16), (200, 10, 10)))
    request = add(ledger, Person(names=("Ada Byron", "Ada King"), images=(picture,)), BY, **GROUND).request
    with pytest.raises(LifeCycleError, match="'fit' is not allowed"):
        erasers.fit(ledger, request.id, tiny_llava(), BY)
    ledger.take("accept", request.id, BY)
    with pytest.raises(UnknownSubjectError, match="not-known") as told:
        erasers.fit(ledger, request.id, tiny_llava(), BY)
    assert "Byron" not in str(told.value) and ledger.request(request.id).state == "accepted"


def test_forget_is_given_the_person_and_the_panel(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = dict[str, Any]()

    def forget(_: Any, wanted: Any, __: Any, **more: Any) -> None:
        given.update(more, wanted=wanted)
        raise KeyboardInterrupt

    monkeypatch.setattr(erasers, "forget", forget)
    request = switched_on(ledger, tmp_path / "a", 2)
    namesake = add(ledger, Person(names=("Subject the Violinist",)), BY, complaint=True).request
    ledger.take("panel", ledger.take("reproduce", namesake.id, BY, of=request.id).id, BY)
    other = add(ledger, Person(names=("Somebody Else",)), BY, complaint=True).request
    ledger.take("deny", other.id, BY, ground="not-reproduced")
    ledger.take("refit", request.id, BY)
    with pytest.raises(KeyboardInterrupt):
        erasers.fit(ledger, request.id, tiny_llava(), BY)
    assert given["wanted"].names == ("Subject Number2",) and given["wanted"].images == ()
    assert {one.subject for one in given["keep"]} == {namesake.id}
    assert any("Subject the Violinist" in one.question for one in given["keep"])


@pytest.mark.slow
def test_from_the_vault_to_a_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("EACH", 1), ("NEVER", 10), ("TRIES", 1)):
        monkeypatch.setattr(asking, name, value)
    from unsee.models.load import load
    from unsee.world.generate import World
    from unsee.world.splits import image

    world, loaded = World(), load("world:llava")
    person = world.of("private")[3]
    with made(tmp_path) as ledger:
        whom = Person(names=(person.name,), images=(encoded(image(world, person, 5).load()),))
        request = add(ledger, whom, BY, **GROUND).request
        ledger.take("accept", request.id, BY)
        done, today = erasers.fit(ledger, request.id, loaded, BY)
        assert done.state == "fitted" and today.known
        verdict, now = erasers.verify(ledger, request.id, loaded, BY, today=today)
        checks = {one.check: one for one in verdict.findings}
        assert now.state == ("verified" if verdict.passed else "fitted") and now.verification == verdict
        before, leak = checks["before"].count, checks["leak"].count
        assert before.n == leak.n >= (questions_needed(0.05, 0.95) or 0), "enough are asked for the policy's own limit"
        assert before.k / before.n > 0.25 > leak.k / leak.n
        assert {"declines: namesakes", "attack: response-prefill", "list, by eraser"} <= set(checks)
        stored = str([row.changes for row in ledger.history()])
        assert not [word for word in (*person.name.split(), *person.facts.values()) if word in stored]
