"""The table of steps: what it allows, what its errors teach, and that nobody is answered who was not."""

import re
from datetime import date
from pathlib import Path

import pytest
from benchmarks.ledger_worker import BY, fitted, found, received, step, switched_on, verified
from tests.ledger.conftest import Clock

from unsee.errors import OptionError
from unsee.ledger import Decision, Ledger, Person, State
from unsee.ledger.errors import LifeCycleError, UnknownRequestError
from unsee.ledger.holding import add, attach, record
from unsee.ledger.states import BRINGING, STATUS, STEPS, allowed

SENT = {"letter": "sha256:0", "how": "by post"}


def test_every_state_is_reached_and_every_way_ends() -> None:
    assert {step.after for step in STEPS if step.after} == set(State) == set(STATUS)
    ends = {state for state in State if not [s for s in STEPS if state in s.before and s.after not in (None, state)]}
    assert ends == {State.REVOKED, State.EXPIRED}


def test_every_step_has_a_command_and_a_line_in_the_docs() -> None:
    from typer.main import get_command

    from unsee.cli.ledger import ledger_app

    commands = set(get_command(ledger_app).commands)  # pyright: ignore[reportAttributeAccessIssue]
    text = (Path(__file__).parents[2] / "docs" / "ledger.md").read_text(encoding="utf-8")
    for one in STEPS:
        assert one.name in commands or one.name in ("fail", "complain")
        assert re.search(rf"\| `{one.name}` \|.*{re.escape(one.means)}", text), one


@pytest.mark.parametrize(("steps", "ways"), [
    (1, {"inquire", "amend", "accept", "deny", "extend", "revoke"}),
    (2, {"amend", "fit", "deny", "extend", "revoke"}),
    (3, {"amend", "fit", "verify", "fail", "deny", "extend", "revoke"}),
    (4, {"amend", "fit", "verify", "fail", "activate", "deny", "extend", "revoke"}),
    (5, {"verify", "fail", "answer", "extend", "refit", "revoke"}),
    (6, {"verify", "fail", "appeal", "refit", "expire", "revoke"}),
    (7, set[str]()),
])  # fmt: skip
def test_what_is_allowed_and_what_is_said_of_the_rest(
    ledger: Ledger, tmp_path: Path, steps: int, ways: set[str]
) -> None:
    request = None
    for _ in range(steps):
        request = step(ledger, request, tmp_path / "a", 1)
    assert request is not None and {s.name for s in allowed(request)} == ways
    rows = len(ledger.history())
    for name in {s.name for s in STEPS} - ways - {"add", "complain"}:
        with pytest.raises(LifeCycleError) as refused:
            ledger.take(name, request.id, BY, ground="excessive", **SENT)
        assert all(f"'{way}'" in str(refused.value) for way in ways)
    assert len(ledger.history()) == rows
    for name in ways & set(BRINGING):
        with pytest.raises(LifeCycleError, match="its own command"):
            ledger.take(name, request.id, BY)
    assert len(ledger.history()) == rows


def test_answering_is_not_what_revoking_does(ledger: Ledger) -> None:
    request = ledger.revoke(received(ledger, 1).id, BY)
    assert (request.punctual(ledger.today), request.status) == ("not answered", "cancelled")


@pytest.mark.parametrize("missing", ["letter", "how"])
def test_an_answer_is_something_that_was_sent(ledger: Ledger, missing: str) -> None:
    request = ledger.take("deny", received(ledger, 1).id, BY, ground="excessive")
    with pytest.raises(OptionError, match="nobody is answered"):
        ledger.take("answer", request.id, BY, **{**SENT, missing: ""})
    for sent in ("2026-05-05", "2026-05-03", "soon"):
        with pytest.raises(OptionError, match="--sent"):
            ledger.take("answer", request.id, BY, **SENT, sent=sent)


def test_late_is_late(ledger: Ledger, clock: Clock) -> None:
    one, other = (ledger.take("deny", received(ledger, n).id, BY, ground="excessive") for n in range(2))
    clock.now = clock.now.replace(month=6, day=4)
    assert ledger.take("answer", one.id, BY, **SENT).punctual(ledger.today) == "in time"
    clock.now = clock.now.replace(month=6, day=5)
    assert ledger.request(other.id).punctual(ledger.today) == "overdue"
    with pytest.raises(LifeCycleError, match="only be extended before it has passed"):
        ledger.take("extend", other.id, BY)
    assert ledger.take("answer", other.id, BY, **SENT).punctual(ledger.today) == "late"
    assert ledger.take("answer", ledger.take("deny", received(ledger, 3).id, BY, ground="not-ours").id, BY, **SENT)


def test_an_extension_comes_once(ledger: Ledger) -> None:
    request = ledger.take("extend", received(ledger, 1).id, Decision("desk", "forty images"))
    assert (request.due, request.extended) == (date(2026, 8, 4), "forty images")
    with pytest.raises(LifeCycleError, match="'extend' is not allowed"):
        ledger.take("extend", request.id, BY)


def test_grounds_and_inquiries_are_those_of_the_policy(ledger: Ledger) -> None:
    request = received(ledger, 1)
    with pytest.raises(OptionError, match="not-identified"):
        ledger.take("deny", request.id, BY, ground="because")
    with pytest.raises(OptionError, match="identity"):
        ledger.take("inquire", request.id, BY, wanted="money")


def test_ids_are_found_by_their_beginning(ledger: Ledger) -> None:
    ids = [received(ledger, number).id for number in range(40)]
    assert ledger.request(ids[0][:10]).id == ids[0]
    first = next(c for c in "0123456789abcdef" if sum(i[2] == c for i in ids) > 1)
    with pytest.raises(UnknownRequestError, match="is the beginning of"):
        ledger.request(f"r-{first}")
    for wrong in ("", "r", "r-", "r-zz", "c-0123456789abcdef", "x" * 99, "'; DROP TABLE log"):
        with pytest.raises(UnknownRequestError, match="no request"):
            ledger.request(wrong)


def test_two_operators_decide_once(ledger: Ledger, tmp_path: Path) -> None:
    from benchmarks.ledger_worker import opened

    request = received(ledger, 1)
    with opened(tmp_path, clock=ledger.clock) as other:
        assert other.request(request.id).state == "received"
        ledger.take("accept", request.id, BY)
        with pytest.raises(LifeCycleError, match="is accepted"):
            other.take("accept", request.id, BY)


def test_what_was_verified_is_what_is_activated(ledger: Ledger, tmp_path: Path) -> None:
    request = fitted(ledger, ledger.take("accept", received(ledger, 1).id, BY), tmp_path / "a", 1)
    with pytest.raises(LifeCycleError, match="which the verification is"):
        record(ledger, request.id, found(ledger, request).changed(content_id="sha256:" + "0" * 64), BY)
    assert verified(ledger, request, found(ledger, request, leaked=20)).state == "fitted"
    verified(ledger, request)
    policy = ledger.home / "policy.toml"
    policy.write_text(policy.read_text().replace("max_leak = 0.05", "max_leak = 0.04"))
    with pytest.raises(LifeCycleError, match="other thresholds"):
        ledger.activate(request.id, BY)


def test_an_artifact_acts_for_one_request(ledger: Ledger, tmp_path: Path) -> None:
    from benchmarks.ledger_worker import check

    switched_on(ledger, tmp_path / "a", 2)
    other = ledger.take("accept", received(ledger, 5).id, BY)
    with pytest.raises(LifeCycleError, match="cannot act twice"):
        attach(ledger, other.id, tmp_path / "a", check, BY)


def test_a_refit_replaces_what_is_in_force_only_when_it_is_activated(ledger: Ledger, tmp_path: Path) -> None:
    request = ledger.take("answer", switched_on(ledger, tmp_path / "a", 2).id, BY, **SENT)
    old = request.in_force
    request = fitted(ledger, ledger.take("refit", request.id, BY), tmp_path / "a", 3)
    assert request.in_force == old != request.held and [r.artifact for r in ledger.active().requests] == [old]
    request = ledger.activate(verified(ledger, request).id, BY)
    assert request.in_force == request.held != old and request.state == "answered"


def test_a_complaint_is_not_resolved_by_saying_so(ledger: Ledger, tmp_path: Path) -> None:
    request = ledger.take("answer", switched_on(ledger, tmp_path / "a", 2).id, BY, **SENT)
    complaint = add(ledger, Person(names=("Somebody Else",)), BY, complaint=True).request
    with pytest.raises(LifeCycleError):
        ledger.take("accept", complaint.id, BY)
    ledger.take("panel", ledger.take("reproduce", complaint.id, BY, of=request.id).id, BY)
    fitted(ledger, ledger.take("refit", request.id, BY), tmp_path / "a", 3)
    ledger.activate(verified(ledger, ledger.request(request.id)).id, BY)
    with pytest.raises(LifeCycleError, match="still acts as it did"):  # verified without asking about the namesake
        ledger.take("resolve", complaint.id, BY)
    ledger.revoke(request.id, BY)
    assert ledger.take("resolve", complaint.id, BY).state == "resolved", "what is gone harms nobody"
