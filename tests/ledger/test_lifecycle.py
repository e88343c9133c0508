"""The life cycle: code and schema allow the same steps, and the month of an answer is a calendar month."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from itertools import product

import pytest

from unsee.errors import OptionError
from unsee.ledger.errors import LifeCycleError
from unsee.ledger.lifecycle import HOLDING, STATES, STEPS, Request, State, a_month_later, require_step, stamp
from unsee.ledger.schema import migrate

CONTENT, OTHER = "sha256:" + "a" * 64, "sha256:" + "b" * 64
ID, AT = "r-0123456789abcdef", "2026-01-01T00:00:00.000000Z"


def request(state: State) -> Request:
    return Request(ID, "hmac-sha256:" + "0" * 64, state, "basis", "scope", CONTENT, AT, AT, 1)


@pytest.mark.parametrize(("before", "after"), product(STATES, STATES))
def test_code_and_schema_allow_the_same_steps(before: State, after: State) -> None:
    allowed = (before, after) in STEPS
    assert schema_allows(before, after) == allowed
    if allowed:
        require_step(request(before), after)
    else:
        with pytest.raises(LifeCycleError, match=f"request {ID} is {before}"):
            require_step(request(before), after)


@pytest.mark.parametrize("state", ["active", "revoked"])
def test_a_step_that_was_taken_is_said_to_be_taken(state: State) -> None:
    with pytest.raises(LifeCycleError, match=f"is {state} already; nothing was changed"):
        require_step(request(state), state)


def schema_allows(before: State, after: State) -> bool:
    """Take the step by SQL alone, with no trigger left but the one of the life cycle."""
    with closing(born()) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            if name != "requests_step":
                connection.execute(f"DROP TRIGGER {name}")
        way: tuple[State, ...] = ("fitted", "verified", "active", "revoked")
        for state in way[: STATES.index(before)]:
            connection.execute("UPDATE requests SET state = ?, content_id = ?", (state, CONTENT))
        try:
            connection.execute("UPDATE requests SET state = ?, content_id = ?", (after, CONTENT))
        except sqlite3.IntegrityError as error:
            assert str(error) == "requests: the life cycle has no such step"
            return False
        return True


def born() -> sqlite3.Connection:
    """An empty ledger with one request, written by SQL."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    migrate(connection)
    log(connection, 1, "received")
    for content in (CONTENT, OTHER):
        connection.execute("INSERT INTO artifacts VALUES (?, '', '', '{}', '{}', NULL, NULL)", (content,))
    new = (ID, "hmac-sha256:" + "0" * 64, "received", "basis", "scope", None, AT, AT, 1)
    connection.execute(f"INSERT INTO requests VALUES ({', '.join('?' * 9)})", new)
    return connection


def log(connection: sqlite3.Connection, seq: int, state: State, request_id: str = ID) -> None:
    values = (seq, AT, AT, request_id, "event", state, "who", "why", "", "", "{}", f"{seq - 1:064}", f"{seq:064}")
    connection.execute(f"INSERT INTO audit VALUES ({', '.join('?' * 13)})", values)


SECOND = "r-fedcba9876543210"
COLUMNS = "at, clock, request_id, event, state, who, why, legal_basis, scope, details, prev"


@pytest.mark.parametrize(
    ("logged", "statement", "words"),
    [
        (ID, "UPDATE requests SET state = 'fitted', content_id = :c, audit_seq = 1", "logged before"),
        (ID, "UPDATE requests SET state = 'fitted', content_id = NULL, audit_seq = 2", "CHECK constraint failed"),
        (
            SECOND,
            f"INSERT INTO requests SELECT '{SECOND}', subject, 'fitted', legal_basis, scope, :c, received, changed, 2 "
            "FROM requests",
            "begins as received",
        ),
        (ID, f"INSERT INTO audit SELECT 7, {COLUMNS}, hash || 'x' FROM audit WHERE seq = 2", "must follow the last"),
        (
            ID,
            "INSERT INTO artifacts VALUES ('sha256:' || substr(:c, 9) || 'g', '', '', '{}', '{}', NULL, NULL)",
            "CHECK constraint failed",
        ),
    ],
    ids=["unlogged", "fitted without", "born later", "gap in the log", "no content id"],
)
def test_the_schema_refuses_what_the_code_never_does(logged: str, statement: str, words: str) -> None:
    with closing(born()) as connection:
        log(connection, 2, "fitted", logged)
        with pytest.raises(sqlite3.IntegrityError, match=words):
            connection.execute(statement, {"c": CONTENT} if ":c" in statement else {})


def test_verified_needs_a_passed_verification_of_that_artifact() -> None:
    with closing(born()) as connection:
        log(connection, 2, "fitted")
        connection.execute("UPDATE requests SET state = 'fitted', content_id = ?, audit_seq = 2", (CONTENT,))
        log(connection, 3, "verified")
        connection.execute("INSERT INTO verifications VALUES (3, ?, ?, 0, 'p')", (ID, CONTENT))
        with pytest.raises(sqlite3.IntegrityError, match="a verification of this artifact passed"):
            connection.execute("UPDATE requests SET state = 'verified', audit_seq = 3")
        log(connection, 4, "verified")
        connection.execute("INSERT INTO verifications VALUES (4, ?, ?, 1, 'p')", (ID, OTHER))
        with pytest.raises(sqlite3.IntegrityError, match="a verification of this artifact passed"):
            connection.execute("UPDATE requests SET state = 'verified', audit_seq = 4")


def test_only_fitting_changes_the_artifact() -> None:
    with closing(born()) as connection:
        log(connection, 2, "fitted")
        connection.execute("UPDATE requests SET state = 'fitted', content_id = ?, audit_seq = 2", (CONTENT,))
        log(connection, 3, "revoked")
        with pytest.raises(sqlite3.IntegrityError, match="only fitting changes the artifact"):
            connection.execute("UPDATE requests SET state = 'revoked', content_id = ?, audit_seq = 3", (OTHER,))
        connection.execute("UPDATE requests SET state = 'revoked', audit_seq = 3")


def test_states_that_hold_an_artifact_are_those_of_the_index() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        migrate(connection)
        sql = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'one_request_per_artifact'").fetchone()[0]
    assert all(f"'{state}'" in sql for state in HOLDING) and sql.count("'") == 2 * len(HOLDING)


@pytest.mark.parametrize(
    ("day", "due"),
    [
        ("2026-01-31", "2026-02-28"),
        ("2028-01-31", "2028-02-29"),
        ("2026-12-05", "2027-01-05"),
        ("2026-03-30", "2026-04-30"),
    ],
)
def test_an_answer_is_due_after_a_calendar_month(day: str, due: str) -> None:
    later = a_month_later(datetime.fromisoformat(f"{day}T10:00:00+00:00"))
    assert stamp(later) == f"{due}T10:00:00.000000Z"


def test_times_sort_as_texts_and_need_a_zone() -> None:
    assert stamp(datetime(2026, 1, 1, 1, tzinfo=UTC)) < stamp(datetime(2026, 1, 1, 1, 0, 0, 1, tzinfo=UTC))
    with pytest.raises(OptionError, match="zone"):
        stamp(datetime(2026, 1, 1))
