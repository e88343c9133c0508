"""The table of steps: what it allows, what its errors teach, and that nobody is answered who was not."""

import re
from datetime import date
from pathlib import Path

import pytest
from benchmarks.ledger_worker import BY, check, fitted, found, opened, received, step, switched_on, verified
from tests.ledger.conftest import Clock

from unsee.errors import OptionError
from unsee.ledger import Decision, Ledger, Person, State
from unsee.ledger.errors import LifeCycleError, UnknownRequestError
from unsee.ledger.holding import add, attach, record
from unsee.ledger.states import BRINGING, STATUS, STEPS, allowed

SENT = {"letter": "sha256:0", "how": "by post"}


def test_every_state_is_reached_every_way_ends_and_every_step_has_a_command_and_a_line_in_the_docs() -> None:
    from typer.main import get_command

    from unsee.cli.ledger import ledger_app

    assert {step.after for step in STEPS if step.after} == set(State) == set(STATUS)
    ends = {state for state in State if not [s for s in STEPS if state in s.before and s.after not in (None, state)]}
    assert ends == {State.REVOKED, State.EXPIRED}
    commands = set(get_command(ledger_app).commands)  # pyright: ignore[reportAttributeAccessIssue]
    text = (Path(__file__).parents[2] / "docs" / "ledger.md").read_text(encoding="utf-8")
    for one in STEPS:
        assert one.name in commands or one.name in ("fail", "complain")
        assert re.search(rf"\| `{one.name}` \|.*{re.escape(one.means)}", text), one


@pytest.mark.parametrize(("steps", "ways"), [
    (1, "inquire amend accept deny extend revoke"), (2, "amend fit deny extend revoke"),
    (3, "amend fit verify fail deny extend revoke"), (4, "amend fit verify fail activate deny extend revoke"),
    (5, "verify fail answer extend refit revoke"), (6, "verify fail appeal refit expire revoke"), (7, ""),
])  # fmt: skip
def test_what_is_allowed_and_what_is_said_of_the_rest(ledger: Ledger, tmp_path: Path, steps: int, ways: str) -> None:
    request = None
    for _ in range(steps):
        request = step(ledger, request, tmp_path / "a", 1)
    assert request is not None and {s.name for s in allowed(request)} == set(ways.split())
    rows = len(ledger.history())
    for name in {s.name for s in STEPS} - set(ways.split()) - {"add", "complain"}:
        with pytest.raises(LifeCycleError) as refused:
            ledger.take(name, request.id, BY, ground="excessive", **SENT)
        assert all(f"'{way}'" in str(refused.value) for way in ways.split())
    for name in set(ways.split()) & set(BRINGING):
        with pytest.raises(LifeCycleError, match="its own command"):
            ledger.take(name, request.id, BY)
    assert len(ledger.history()) == rows


@pytest.mark.parametrize(("taken", "given", "said"), [
    ("answer", {"letter": ""}, "nobody is answered"), ("answer", {"how": ""}, "nobody is answered"),
    ("answer", {"sent": "2026-05-05"}, "--sent"), ("answer", {"sent": "2026-05-03"}, "--sent"),
    ("answer", {"sent": "soon"}, "--sent"), ("answer", {"letter": "Jane Doe.txt"}, "SHA-256"),
    ("deny", {"ground": "because"}, "not-identified"),
    ("inquire", {"wanted": "money"}, "identity"),
])  # fmt: skip
def test_a_step_needs_what_the_policy_and_the_calendar_know(
    ledger: Ledger, taken: str, given: dict[str, str], said: str
) -> None:
    request = received(ledger, 1)
    if taken == "answer":
        ledger.take("deny", request.id, BY, ground="excessive")
    with pytest.raises(OptionError, match=said):
        ledger.take(taken, request.id, BY, **SENT | given)


def test_late_is_late_and_revoking_answers_nobody(ledger: Ledger, clock: Clock) -> None:
    one, other = (ledger.take("deny", received(ledger, n).id, BY, ground="excessive") for n in range(2))
    gone = ledger.take("revoke", received(ledger, 3).id, BY)
    assert (gone.punctual(ledger.today), gone.status) == ("not answered", "cancelled")
    clock.now = clock.now.replace(month=6, day=4)
    assert ledger.take("answer", one.id, BY, **SENT).punctual(ledger.today) == "in time"
    clock.now = clock.now.replace(month=6, day=5)
    assert ledger.request(other.id).punctual(ledger.today) == "overdue"
    with pytest.raises(LifeCycleError, match="only be extended before it has passed"):
        ledger.take("extend", other.id, BY)
    assert ledger.take("answer", other.id, BY, **SENT).punctual(ledger.today) == "late"


def test_an_extension_comes_once(ledger: Ledger) -> None:
    request = ledger.take("extend", received(ledger, 1).id, Decision("desk", "forty images"))
    assert (request.due, request.extended) == (date(2026, 8, 4), "forty images")
    with pytest.raises(LifeCycleError, match="'extend' is not allowed"):
        ledger.take("extend", request.id, BY)


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
    request = received(ledger, 1)
    with opened(tmp_path) as other:
        assert other.take("accept", request.id, BY).state == "accepted"
        with pytest.raises(LifeCycleError, match="is accepted"):
            ledger.take("accept", request.id, BY)
    assert len(ledger.history()) == 3


def test_what_is_verified_is_what_is_held_under_the_limits_of_today(ledger: Ledger, tmp_path: Path) -> None:
    request = fitted(ledger, ledger.take("accept", received(ledger, 1).id, BY), tmp_path / "a", 1)
    with pytest.raises(LifeCycleError, match="which the verification is"):
        record(ledger, request.id, found(ledger, request).changed(content_id="sha256:" + "0" * 64), BY)
    assert verified(ledger, request, found(ledger, request, leaked=20)).state == "fitted"
    verified(ledger, request)
    policy = ledger.home / "policy.toml"
    policy.write_text(policy.read_text().replace("max_leak = 0.05", "max_leak = 0.04"))
    with pytest.raises(LifeCycleError, match="other thresholds"):
        ledger.take("activate", request.id, BY)


def test_one_ledger_serves_one_model_and_an_artifact_one_request(ledger: Ledger, tmp_path: Path) -> None:
    switched_on(ledger, tmp_path / "a", 2)
    other = ledger.take("accept", received(ledger, 5).id, BY)
    with pytest.raises(LifeCycleError, match="cannot act twice"):
        attach(ledger, other.id, tmp_path / "a", check, BY)
    fitted(ledger, other, tmp_path / "b", 3)
    strange = check(tmp_path / "b").changed(content_id="sha256:1", model_digest="sha256:1")
    attach(ledger, other.id, tmp_path / "b", lambda _: strange, BY)
    with pytest.raises(LifeCycleError, match="One ledger serves one model"):
        ledger.take("activate", verified(ledger, ledger.request(other.id)).id, BY)


def test_a_refit_replaces_what_is_in_force_only_when_it_is_activated(ledger: Ledger, tmp_path: Path) -> None:
    request = ledger.take("answer", switched_on(ledger, tmp_path / "a", 2).id, BY, **SENT)
    old = request.in_force
    request = fitted(ledger, ledger.take("refit", request.id, BY), tmp_path / "a", 3)
    assert request.in_force == old != request.held and [*ledger.active().requests.values()] == [old]
    request = ledger.take("activate", verified(ledger, request).id, BY)
    assert request.in_force == request.held != old and request.state == "answered"


def test_a_complaint_is_not_resolved_by_saying_so(ledger: Ledger, tmp_path: Path) -> None:
    request = ledger.take("answer", switched_on(ledger, tmp_path / "a", 2).id, BY, **SENT)
    complaint = add(ledger, Person(names=("Somebody Else",)), BY, complaint=True).request
    with pytest.raises(LifeCycleError):
        ledger.take("accept", complaint.id, BY)
    ledger.take("panel", ledger.take("reproduce", complaint.id, BY, of=request.id).id, BY)
    fitted(ledger, ledger.take("refit", request.id, BY), tmp_path / "a", 3)
    ledger.take("activate", verified(ledger, ledger.request(request.id)).id, BY)
    with pytest.raises(LifeCycleError, match="still acts as it did"):  # verified without asking about the namesake
        ledger.take("resolve", complaint.id, BY)
    ledger.take("revoke", request.id, BY)
    assert ledger.take("resolve", complaint.id, BY).state == "resolved", "what is gone harms nobody"
