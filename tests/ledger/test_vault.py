"""Personal data: nowhere in the clear, in no free text, gone with the key, and found again by pseudonym alone."""

from pathlib import Path
from typing import Any

import pytest
from benchmarks.ledger_worker import BY, GROUND, fitted, made, opened, received, verified
from hypothesis import given
from hypothesis import strategies as st

from unsee.errors import DataError, ImageError, OptionError
from unsee.ledger import Decision, Ledger, Person
from unsee.ledger.dossier import dossier
from unsee.ledger.errors import KeyFileError, LifeCycleError, PersonalDataError
from unsee.ledger.examination import examine
from unsee.ledger.holding import add, amend
from unsee.ledger.names import Names
from unsee.ledger.vault import read_images

JANE = Person(names=("Jane Doe", "J. Doe-Roe"), contact="jane@example.org")


@pytest.mark.parametrize("text", [
    "Jane Doe wrote", "letter from Jane", "letter from Mrs DOE", "doe, jane", "JANE\u00a0DOE", "jane.doe@example.org",
    "Jané Döe", "JaneDoe1", "ja\u200bne doe", "J a n e D o e", "\uff2a\uff41\uff4e\uff45 \uff24\uff4f\uff45",
    "see jane_doe.pdf", "Roe called", "file:///jane%20doe", "Jane\nDoe",
])  # fmt: skip
def test_no_field_names_the_person(ledger: Ledger, text: str) -> None:
    request, keys = add(ledger, JANE, BY, **GROUND).request, ledger.keys.records()
    rows = len(ledger.history())
    for run in (
        lambda: ledger.take("accept", request.id, Decision(text, "a")),
        lambda: ledger.take("accept", request.id, Decision("a", text)),
        lambda: ledger.take("accept", request.id, Decision("a", "b", text)),
        lambda: ledger.take("extend", request.id, BY, how=text),
        lambda: ledger.note("noted", Decision("desk", text), request.id),
        lambda: add(ledger, JANE, Decision("desk", text), **GROUND),
        lambda: add(ledger, JANE, BY, legal_basis=text, scope="b"),
        lambda: add(ledger, JANE, BY, legal_basis="a", scope=text),
    ):
        with pytest.raises(PersonalDataError) as refused:
            run()
        assert "Jane" not in str(refused.value) and "Doe" not in str(refused.value)
    assert len(ledger.history()) == rows and ledger.keys.records() == keys


@pytest.mark.parametrize("text", ["the person wrote", "janet and a doer", "letter of 3 May, p. 12", "人", "done"])
def test_what_names_nobody_is_written_and_others_are_protected_as_a_whole(ledger: Ledger, text: str) -> None:
    jane = add(ledger, JANE, BY, **GROUND).request
    noble = add(ledger, Person(names=("Ludwig van der Berg",)), BY, **GROUND).request
    assert ledger.take("accept", noble.id, Decision("desk", "Brief von der Person")), "a particle names nobody"
    with pytest.raises(PersonalDataError):
        ledger.take("deny", noble.id, Decision("desk", "as Berg asks"), ground="not-ours")
    policy = ledger.home / "policy.toml"
    policy.write_text(policy.read_text().replace('not-ours = "', 'not-ours = "as with Jane Doe, '))
    with pytest.raises(PersonalDataError, match="policy"):
        ledger.take("deny", jane.id, BY, ground="not-ours")
    other = received(ledger, 1)
    assert ledger.note("noted", Decision("desk", text)).why == text
    assert ledger.take("accept", other.id, Decision("desk", "letter of a Doe")).state == "accepted"
    with pytest.raises(PersonalDataError, match="the person of r-"):
        ledger.note("noted", Decision("desk", "a friend of Doe, Jane"), other.id)


@pytest.mark.parametrize(("name", "text"), [
    ("王小明", "来自王小明的信"), ("김철수", "김철수 씨"), ("Иван", "письмо: ИВАН"), ("Li", "Li wrote"),
    ("さくら", "さくらさんの手紙"), ("บุญ", "จดหมายจากบุญวันนี้"),
])  # fmt: skip
def test_any_script(name: str, text: str) -> None:
    names = Names()
    names.add("r", [name])
    with pytest.raises(PersonalDataError):
        names.require_absent("why", text, "r")
    names.require_absent("why", "letter of 3 May", "r")


@given(st.text(st.characters(max_codepoint=127), min_size=1, max_size=30), st.text(max_size=20), st.text(max_size=20))
def test_a_name_is_found_wherever_it_stands_between_spaces(name: str, before: str, after: str) -> None:
    names = Names()
    names.add("r", [name])
    if any(map(str.isalnum, name)):
        with pytest.raises(PersonalDataError):
            names.require_absent("why", f"{before} {name} {after}", "r")


def test_ended_is_destroyed_also_in_a_copy(tmp_path: Path) -> None:
    with made(tmp_path) as ledger:
        person = JANE.model_copy(update={"images": (b"pixels",)})
        request = add(ledger, person, BY, **GROUND).request
        assert ledger.person(request.id) == person
        copy = (ledger.home / "ledger.db").read_bytes()
        secret = (tmp_path / "keys" / "records" / f"{request.id}.key").read_bytes()
        with ledger.reading() as (connection, _):
            (encrypted,) = connection.exec_driver_sql("SELECT body FROM vault WHERE part = 'names'").one()
        ledger.take("revoke", request.id, BY)
        assert ledger.person(request.id) is None
        assert ledger.note("noted", Decision("desk", "nobody knows Jane any more")), "what is gone is not looked for"
        stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        assert secret not in stored and encrypted not in stored, "what is deleted is overwritten"
        assert b"Jane" not in stored.replace(b"nobody knows Jane", b"")
        (ledger.home / "ledger.db").write_bytes(copy)
    (tmp_path / "keys" / "seen.json").unlink()
    with pytest.raises(KeyFileError, match="no other way"):
        opened(tmp_path).person(request.id)


def test_the_same_person_is_found_and_the_same_letter_changes_nothing(ledger: Ledger) -> None:
    first = add(ledger, JANE, BY, reference="DSR-1", **GROUND)
    again = add(ledger, JANE, BY, reference="DSR-1", **GROUND)
    other = add(ledger, Person(names=("jane  DOE",)), BY, **GROUND)
    assert (again.request, again.token) == (first.request, "") and first.token
    same = [r.id for r in ledger.requests(subject=ledger.keys.pseudonym("Jane Doe"))]
    assert same == [first.request.id, other.request.id] and len(ledger.history()) == 3


@pytest.mark.parametrize(("typed", "kept"), [
    ("\u202eenaJ\u202c Doe", "enaJ Doe"), ("\ufeffJane\u200b Doe\u200f", "Jane Doe"), (" Jane \t\n Doe ", "Jane Doe"),
    ("دوست\u200cمن", "دوست\u200cمن"), ("Jane\u0301", "Jan\xe9"),
    ('=HYPERLINK("http://x","Jane")', '=HYPERLINK("http://x","Jane")'),
])  # fmt: skip
def test_invisible_letters_neither_hide_nor_change_a_name(ledger: Ledger, typed: str, kept: str) -> None:
    request = add(ledger, Person.of(names=(typed,)), BY, **GROUND).request
    person = ledger.person(request.id)
    assert person is not None and person.names == (kept,)
    with pytest.raises((PersonalDataError, OptionError)):
        ledger.take("accept", request.id, Decision("desk", f"seen: {' '.join(typed.split())}!"))
    assert kept not in str(dossier(ledger, ledger.requests(), []))


@pytest.mark.parametrize("values", [
    {"names": ()}, {"names": ("",)}, {"names": ("---",)}, {"names": ("\u200b\u200b",)}, {"names": ("a\x00b",)},
    {"names": ("x" * 121,)}, {"names": tuple(f"n{n}" for n in range(33))}, {"names": ("Jane",), "note": "x" * 20_001},
    {"names": ("Jane",), "contact": "x" * 501}, {"names": "Jane"}, {"names": ("Jane",), "age": 3},
    {"names": ("Jane <image>",)},
])  # fmt: skip
def test_nobody_is_refused_without_being_named(values: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="nobody") as refused:
        Person.of(**values)
    assert "Jane" not in str(refused.value)


@pytest.mark.parametrize("name", ["a.jpg", "b.jpg"])
def test_images_are_images(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.jpg").write_bytes(b"not one")
    with pytest.raises(ImageError):
        read_images([tmp_path / name])


def test_what_comes_later_is_added_under_the_same_key_and_undoes_the_fit(tmp_path: Path) -> None:
    more, later = Person(names=("Yael Stern",), images=(b"second",)), Person(names=("J D",))
    with made(tmp_path) as ledger:
        first = add(ledger, JANE.model_copy(update={"images": (b"first",)}), BY, **GROUND).request
        key = ledger.keys.record_key(first.id)
        ledger.take("accept", first.id, BY)
        held = verified(ledger, fitted(ledger, first, tmp_path / "a", 1))
        with pytest.raises(PersonalDataError):
            amend(ledger, first.id, more, Decision("desk", "stern is another name"))
        assert ledger.request(first.id) == held, "nothing of it was written"
        assert ledger.note("noted", Decision("desk", "a stern word"), first.id), (
            "and her name is no name of the record's yet"
        )
        now = amend(ledger, first.id, more, BY)
        assert (now.state, now.images, now.held, now.verification) == ("accepted", 2, None, None)
        whole = ledger.person(first.id)
        assert whole is not None and whole.images == (b"first", b"second") and whole.contact == JANE.contact
        assert whole.names == ("Jane Doe", "J. Doe-Roe", "Yael Stern") and ledger.keys.record_key(first.id) == key
        with pytest.raises(PersonalDataError):
            ledger.note("noted", Decision("desk", "stern called"), first.id)
        with pytest.raises(OptionError, match="already"):
            amend(ledger, first.id, more, BY)
        on = ledger.take("activate", verified(ledger, fitted(ledger, first, tmp_path / "b", 2)).id, BY)
        with pytest.raises(LifeCycleError):
            amend(ledger, on.id, later, BY)
        ledger.take("refit", on.id, BY)
        assert amend(ledger, on.id, later, BY).in_force == on.in_force and examine(ledger) == []
