"""The ledger as its callers see it: every step, who may take it, what it leaves behind, and what it refuses."""

import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from benchmarks.ledger_worker import BY, KEY, MODEL, check, good, measured, step, write_artifact

from unsee.errors import ArtifactError, OptionError
from unsee.ledger import Decision, Ledger, Request
from unsee.ledger.artifacts import Facts
from unsee.ledger.errors import KeyFileError, LedgerError, LifeCycleError, PolicyError, UnknownRequestError
from unsee.ledger.keys import SubjectKey
from unsee.ledger.verification import judge


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 31, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock):
    with Ledger.create(tmp_path / "ledger", KEY, BY, clock=clock) as made:
        yield made


def walked(ledger: Ledger, scratch: Path, steps: int, number: int = 1) -> Request:
    """A request after so many steps of its life."""
    request = step(ledger, None, scratch, number)
    for _ in range(steps - 1):
        request = step(ledger, request, scratch, number)
    return request


def test_a_life_is_logged_step_by_step(ledger: Ledger, tmp_path: Path) -> None:
    by = Decision("desk", "by letter", "GDPR Art. 17(1)(b)", "all facts")
    request = ledger.add("Some Person", KEY, by)
    write_artifact(tmp_path / "a", 1)
    ledger.attach(request.id, tmp_path / "a", check, Decision("engineer", "fitted"))
    content = ledger.request(request.id).content_id
    assert content is not None
    ledger.record(request.id, content, good(ledger.policy.verification), Decision("engineer", "tested"))
    ledger.activate(request.id, Decision("officer", "due", "GDPR Art. 21", "the chat only"))
    ledger.revoke(request.id, Decision("officer", "withdrawn"))
    told = [(r.event, r.state, r.who, r.why, r.legal_basis, r.scope) for r in ledger.history(request.id)]
    basis = ("GDPR Art. 17(1)(b)", "all facts")
    assert told == [
        ("received", "received", "desk", "by letter", *basis),
        ("fitted", "fitted", "engineer", "fitted", *basis),
        ("verified", "verified", "engineer", "tested", *basis),
        ("activated", "active", "officer", "due", "GDPR Art. 21", "the chat only"),
        ("revoked", "revoked", "officer", "withdrawn", *basis),
    ]
    found = ledger.request(request.id)
    assert (found.state, found.legal_basis, found.due[:10]) == ("revoked", basis[0], "2026-02-28")
    assert ledger.examine().remarks == ()


def test_nothing_in_the_ledger_names_the_subject(ledger: Ledger, tmp_path: Path) -> None:
    request = ledger.add("Some Person", KEY, BY)
    ledger.close()
    for path in (tmp_path / "ledger").rglob("*"):
        if path.is_file():
            assert b"Some Person" not in path.read_bytes() and KEY.secret not in path.read_bytes()
            assert KEY.secret.hex().encode() not in path.read_bytes(), path
    assert request.subject == KEY.pseudonym("Some Person")


@pytest.mark.parametrize("field", ["who", "why", "legal_basis", "scope"])
def test_a_text_that_names_the_subject_is_refused(ledger: Ledger, field: str) -> None:
    texts = {"who": "desk", "why": "asked", "legal_basis": "law", "scope": "all"}
    by = Decision(**(texts | {field: "about  some PERSON, urgent"}))
    with pytest.raises(OptionError, match="contains the subject's reference"):
        ledger.add("Some Person", KEY, by)
    assert ledger.add("Some Perso", KEY, by), "a longer word is another word"


def test_one_subject_is_found_again_under_its_key_only(ledger: Ledger) -> None:
    first, second = (ledger.add(name, KEY, BY) for name in ("Ann Lee", "  Ann  Lee\n"))
    ledger.add("Bo Dee", KEY, BY)
    assert ledger.requests(subject=ledger.pseudonym("Ann Lee", KEY)) == [first, second]
    with pytest.raises(KeyFileError, match="another subject key"):
        ledger.add("Ann Lee", SubjectKey(bytes(32)), BY)


def test_legal_basis_and_scope_are_needed(ledger: Ledger) -> None:
    for by, words in ((Decision("a", "b", scope="c"), "legal basis"), (Decision("a", "b", "c"), "scope")):
        with pytest.raises(OptionError, match=words):
            ledger.add("x", KEY, by)
    assert ledger.requests() == []


def test_steps_out_of_order_are_refused_and_leave_nothing(ledger: Ledger, tmp_path: Path) -> None:
    request = ledger.add("x", KEY, BY)
    rows = len(ledger.history())
    for refused in (
        lambda: ledger.activate(request.id, BY),
        lambda: ledger.record(request.id, "sha256:" + "0" * 64, good(ledger.policy.verification), BY),
    ):
        with pytest.raises(LifeCycleError, match=request.id):
            refused()
    ledger.revoke(request.id, BY)
    write_artifact(tmp_path / "a", 1)
    for refused in (
        lambda: ledger.revoke(request.id, BY),
        lambda: ledger.attach(request.id, tmp_path / "a", check, BY),
    ):
        with pytest.raises(LifeCycleError, match="a revoked request stays revoked"):
            refused()
    with pytest.raises(UnknownRequestError, match="no request 'r-0'"):
        ledger.activate("r-0", BY)
    assert len(ledger.history()) == rows + 1 and list(ledger.files.home.iterdir()) == []


def test_a_failed_verification_keeps_it_off_and_says_why(ledger: Ledger, tmp_path: Path) -> None:
    request = walked(ledger, tmp_path / "a", 2)
    bad = judge(measured(refusal=0.5), ledger.policy.verification)
    assert ledger.record(request.id, request.content_id or "", bad, BY).state == "fitted"
    with pytest.raises(LifeCycleError, match="is fitted, expected verified"):
        ledger.activate(request.id, BY)
    row = ledger.history(request.id)[-1]
    assert row.event == "verification failed" and row.said["passed"] is False
    assert [f["check"] for f in row.said["findings"] if f["verdict"] == "fail"] == ["refusal"]
    verified = ledger.record(request.id, request.content_id or "", good(ledger.policy.verification), BY)
    assert verified.state == "verified"
    assert ledger.record(request.id, request.content_id or "", bad, BY).state == "fitted", "a later failure undoes it"
    assert not ledger.examine().failures


def test_an_active_request_that_fails_later_stays_on_for_a_person_to_decide(ledger: Ledger, tmp_path: Path) -> None:
    request = walked(ledger, tmp_path / "a", 4)
    bad = judge(measured(refusal=0.5), ledger.policy.verification)
    assert ledger.record(request.id, request.content_id or "", bad, BY).state == "active"
    assert ledger.history(request.id)[-1].event == "verification failed" and not ledger.examine().failures


def test_other_thresholds_ask_for_another_verification(ledger: Ledger, tmp_path: Path) -> None:
    request = walked(ledger, tmp_path / "a", 3)
    policy = ledger.home / "policy.toml"
    policy.write_text(policy.read_text().replace("max_leak = 0.02", "max_leak = 0.01"))
    with pytest.raises(LifeCycleError, match="It stays off: verify it again"):
        ledger.activate(request.id, BY)
    policy.unlink()
    with pytest.raises(PolicyError, match="nothing is verified or activated"):
        ledger.activate(request.id, BY)


def test_activation_warns_past_the_certified_number(ledger: Ledger, tmp_path: Path) -> None:
    policy = ledger.home / "policy.toml"
    policy.write_text(policy.read_text().replace("certified = 100", "certified = 3"))
    warned = []
    for number in range(4):
        request = walked(ledger, tmp_path / "a", 2, number)
        verdict = good(ledger.policy.verification, beside=number)
        ledger.record(request.id, request.content_id or "", verdict, BY)
        warned.append(ledger.activate(request.id, BY).warnings)
    assert warned[:3] == [(), (), ()]
    assert warned[3][0].startswith("4 requests are in force together, 3 is the certified number")
    assert ledger.history()[-1].said["warnings"] == list(warned[3])


def test_activation_warns_where_the_test_was_beside_others(ledger: Ledger, tmp_path: Path) -> None:
    walked(ledger, tmp_path / "a", 4, 1)
    request = walked(ledger, tmp_path / "b", 3, 2)
    (warning,) = ledger.activate(request.id, BY).warnings
    assert warning.startswith("the request was verified beside 0 other active one(s), and will act beside 1")


def test_one_artifact_acts_once(ledger: Ledger, tmp_path: Path) -> None:
    first = walked(ledger, tmp_path / "a", 2)
    second = ledger.add("y", KEY, BY)
    with pytest.raises(LifeCycleError, match=f"request {first.id} holds the artifact"):
        ledger.attach(second.id, tmp_path / "a", check, BY)
    ledger.revoke(first.id, BY)
    assert ledger.attach(second.id, tmp_path / "a", check, BY).content_id == first.content_id


def test_one_ledger_serves_one_model(ledger: Ledger, tmp_path: Path) -> None:
    walked(ledger, tmp_path / "a", 4, 1)

    def elsewhere(folder: Path) -> Facts:
        return replace(check(folder), model_id="other", model_digest="sha256:" + "1" * 64)

    request = ledger.add("y", KEY, BY)
    write_artifact(tmp_path / "b", 2)
    request = ledger.attach(request.id, tmp_path / "b", elsewhere, BY)
    ledger.record(request.id, request.content_id or "", good(ledger.policy.verification), BY)
    with pytest.raises(LifeCycleError, match=f"was fitted on 'other' .* on '{MODEL[0]}'"):
        ledger.activate(request.id, BY)


def test_fitting_anew_lets_the_first_artifact_go(ledger: Ledger, tmp_path: Path) -> None:
    request = walked(ledger, tmp_path / "a", 3)
    first = request.content_id
    write_artifact(tmp_path / "b", 99)
    again = ledger.attach(request.id, tmp_path / "b", check, BY)
    assert again.state == "fitted" and again.content_id != first
    released = ledger.artifact(first or "")
    assert released is not None and released.released is not None
    with pytest.raises(LifeCycleError, match="verification is of"):
        ledger.record(request.id, first or "", good(ledger.policy.verification), BY)
    active = walked(ledger, tmp_path / "c", 4, 7)
    with pytest.raises(LifeCycleError, match="takes its own files back only"):
        ledger.attach(active.id, tmp_path / "a", check, BY)


def test_a_bad_artifact_leaves_nothing(ledger: Ledger, tmp_path: Path) -> None:
    request = ledger.add("x", KEY, BY)
    write_artifact(tmp_path / "a", 1)
    (tmp_path / "a" / "eraser.safetensors").write_bytes(b"other bytes")
    for source, words in ((tmp_path / "a", f"{tmp_path / 'a'}: .*the contents give"), (tmp_path / "none", "no such")):
        with pytest.raises(ArtifactError, match=words):
            ledger.attach(request.id, source, check, BY)
    (tmp_path / "a" / "README.md").unlink()
    with pytest.raises(ArtifactError, match="cannot be read"):
        ledger.attach(request.id, tmp_path / "a", check, BY)
    assert list(ledger.files.home.iterdir()) == [] and ledger.request(request.id).state == "received"


def test_artifacts_are_purged_after_retention_and_the_log_stays(ledger: Ledger, tmp_path: Path, clock: Clock) -> None:
    kept, gone = walked(ledger, tmp_path / "a", 4, 1), walked(ledger, tmp_path / "b", 5, 2)
    clock.now += timedelta(days=29)
    assert ledger.compact(BY) == ([], 0)
    clock.now += timedelta(days=1)
    purged, freed = ledger.compact(BY)
    assert purged == [gone.content_id] and freed > 4096
    assert [p.name for p in ledger.files.home.iterdir()] == [(kept.content_id or "")[7:]]
    assert ledger.history()[-1].event == "purged" and len(ledger.history(gone.id)) == 5
    assert ledger.examine().remarks == () and ledger.compact(BY) == ([], 0)
    fresh = ledger.add("z", KEY, BY)
    assert ledger.attach(fresh.id, tmp_path / "b", check, BY).content_id == gone.content_id, "it may come back"
    assert ledger.examine().remarks == ()


def test_a_revocation_gives_back_the_set_without_it(ledger: Ledger, tmp_path: Path) -> None:
    empty = ledger.active()
    first = walked(ledger, tmp_path / "a", 4, 1)
    before, folders = ledger.active_folders()
    second = walked(ledger, tmp_path / "b", 4, 2)
    both = ledger.active()
    ledger.revoke(second.id, BY)
    after, same = ledger.active_folders()
    assert after == before and same == folders and len({empty.digest, before.digest, both.digest}) == 3
    said = ledger.history(second.id)[-1].said
    assert said["active_before"] == {"digest": both.digest, "requests": 2}
    assert said["active_after"] == {"digest": before.digest, "requests": 1}
    ledger.revoke(first.id, BY)
    assert ledger.active().digest == empty.digest


def test_serving_settings_are_part_of_the_set(ledger: Ledger) -> None:
    before = ledger.active().digest
    policy = ledger.home / "policy.toml"
    policy.write_text(policy.read_text() + '\nengine = "vllm"\n')
    assert ledger.active().digest != before and ledger.active().steering == {"engine": "vllm"}
    policy = ledger.home / "policy.toml"
    policy.write_text(policy.read_text() + "\n[more]\n")
    (remark,) = ledger.examine().remarks
    assert remark.severity == "warn" and "more is unknown" in remark.text, "the log is sound, and nothing can be served"


def test_a_crash_is_swept_at_the_next_opening(ledger: Ledger, tmp_path: Path, clock: Clock) -> None:
    request = walked(ledger, tmp_path / "a", 2)
    ledger.close()
    write_artifact(ledger.files.home / ("f" * 64), 5)
    (ledger.files.home / ".staging").mkdir()
    (ledger.files.home / "notes").mkdir()
    with Ledger(ledger.home, clock=clock) as opened:
        assert sorted(p.name for p in opened.files.home.iterdir()) == sorted([(request.content_id or "")[7:], "notes"])
        row = opened.history()[-1]
        assert (row.event, row.who, row.said) == ("recovered", "unsee", {"swept": [".staging", "f" * 64]})
        (remark,) = opened.examine().remarks
        assert remark.severity == "warn" and "'notes'" in remark.text


def test_a_ledger_is_made_once_and_in_an_empty_folder(ledger: Ledger, tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="there is a ledger already"):
        Ledger.create(ledger.home, KEY, BY)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("")
    with pytest.raises(LedgerError, match=r"holds \['letter.txt'\]"):
        Ledger.create(tmp_path / "full", KEY, BY)
    with pytest.raises(LedgerError, match="there is no ledger"):
        Ledger(tmp_path / "nowhere")
    assert ledger.home.stat().st_mode & 0o777 == 0o700
    assert (ledger.home / "ledger.db").stat().st_mode & 0o777 == 0o600


def test_notes_are_logged_and_change_nothing(ledger: Ledger, tmp_path: Path) -> None:
    request = walked(ledger, tmp_path / "a", 2)
    row = ledger.note("noted", Decision("desk", "retrieval store purged"), request_id=request.id)
    assert ledger.history(request.id)[-1] == row and ledger.request(request.id) == request
    assert not ledger.examine().failures


def test_the_core_needs_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules.update(torch=None, transformers=None, numpy=None)\n"
        "from pathlib import Path; from unsee.ledger import erasers, export; from benchmarks.ledger_worker import *\n"
        "home = Path(sys.argv[1]); ledger = Ledger.create(home / 'ledger', KEY, BY); request = None\n"
        "for _ in range(5): request = step(ledger, request, home / 'a', 1)\n"
        "found = ledger.examine(); found.require()\n"
        "export.page(export.dossier(ledger, [request], found, request.received))\n"
        "print(request.state)"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False, cwd=root)
    assert done.stdout == "revoked\n", done.stderr
