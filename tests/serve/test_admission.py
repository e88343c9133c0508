"""Who is steered by what, against a ledger on disk and an engine that only remembers what it was told."""

import asyncio
import hashlib
import os
import shutil
import sqlite3
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from benchmarks import ledger_postgres
from benchmarks.ledger_worker import BY, fitted, made, received, verified

from unsee.errors import OptionError
from unsee.ledger.active import active_digest, code_version
from unsee.ledger.errors import AuditError, LedgerError, MissingArtifactError
from unsee.serve.engine.reports import Reports
from unsee.serve.engine.tracking import NO_SET
from unsee.serve.errors import EngineError, RefusedError
from unsee.serve.server.admission import Admission, Admitted
from unsee.serve.server.tenants import Roster, Tenant, read_tenants

ANYBODY = Tenant()


class Engine:
    """Remembers; `broken` makes it forget or fail."""

    def __init__(self) -> None:
        self.loads: list[tuple[dict[str, str], dict[str, list[str]], str]] = []
        self.prepared: list[tuple[tuple[Any, ...], int]] = []
        self.broken = ""

    async def collective_rpc(
        self,
        method: str,
        timeout: float | None = None,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> list[Any]:
        if self.broken == "dead":
            raise Exception("EngineCore died")
        if self.broken == "hangs":
            await asyncio.sleep(30)
        if method == "unsee_prepare":
            self.prepared.append((args, 2))
            return [None, None]
        if method == "unsee_prepared":
            wanted, left = self.prepared[-1]
            self.prepared[-1] = wanted, left - 1
            return [True, left <= 0]
        if method == "unsee_load":
            assert self.prepared[-1] == (args[:2], -1), "what it was to prepare, once every worker has"
            self.loads.append(args)  # pyright: ignore[reportArgumentType]
            return [sorted(args[0]), [] if self.broken == "one rank" else sorted(args[0])]
        raise AssertionError(method)


class House:
    """A ledger with requests, an engine and the admission between them."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder, self.engine = folder, Engine()
        self.ledger = made(folder, **options)
        self.admission = Admission(self.ledger, self.engine, Reports(), engine_seconds=0.2)

    def request(self, number: int, active: bool = True) -> tuple[str, str]:
        request = self.ledger.take("accept", received(self.ledger, number).id, BY)
        request = verified(self.ledger, fitted(self.ledger, request, self.folder / "scratch", number))
        if active:
            self.ledger.take("activate", request.id, BY)
        return request.id, next(iter(request.artifacts), "")

    def admit(self, *extras: str, tenant: Tenant = ANYBODY) -> Admitted:
        async def once() -> Admitted:
            async with self.admission.admitted(tenant, extras) as admitted:
                return admitted

        return asyncio.run(once())


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def digest(*ids: str) -> str:
    return active_digest(ids, {}, code_version())


def test_every_request_has_what_the_ledger_says_at_that_moment(house: House) -> None:
    assert (house.admit().set_name, house.admit().erasers) == (NO_SET, 0)
    first, content = house.request(1)
    admitted = house.admit()
    assert (admitted.digest, admitted.set_name, admitted.erasers) == (digest(content), digest(content), 1)
    folders, sets, mandated = house.engine.loads[-1]
    assert (list(folders), sets, mandated) == ([content], {digest(content): [content]}, digest(content))
    house.ledger.take("revoke", first, BY)
    assert house.admit().set_name == NO_SET
    assert house.engine.loads[-1] == ({}, {}, NO_SET)


def test_the_engine_is_told_once_per_change(house: House) -> None:
    house.request(1)
    for _ in range(3):
        house.admit()
    assert len(house.engine.loads) == 1
    house.ledger.note("export", BY)
    house.admit()
    assert len(house.engine.loads) == 2, "any row of the log may have changed what is in force"


def test_a_running_answer_keeps_its_set(house: House) -> None:
    first, content = house.request(1)

    async def scene() -> None:
        async with AsyncExitStack() as open_requests:
            old = await open_requests.enter_async_context(house.admission.admitted(ANYBODY, ()))
            house.ledger.take("revoke", first, BY)
            new = await open_requests.enter_async_context(house.admission.admitted(ANYBODY, ()))
            assert (old.set_name, new.set_name) == (digest(content), NO_SET)
            assert house.engine.loads[-1][1] == {digest(content): [content]}, "the old set stays while it is needed"
        house.ledger.note("export", BY)
        async with house.admission.admitted(ANYBODY, ()):
            assert house.engine.loads[-1][1] == {}

    asyncio.run(scene())


def test_extras_add_and_never_take_away(house: House) -> None:
    _, mandated = house.request(1)
    extra, content = house.request(2, active=False)
    admitted = house.admit(extra, extra)
    assert admitted.digest == digest(mandated, content)
    assert house.engine.loads[-1][2] == digest(mandated), "who comes by another way still gets what is mandated"
    assert house.admit().digest == digest(mandated)


@pytest.mark.parametrize(("state", "status"), [("unknown", 404), ("foreign", 404), ("received", 409), ("revoked", 410)])
def test_ids_that_may_not_be_named_are_refused(tmp_path: Path, state: str, status: int) -> None:
    house = House(tmp_path)
    named = house.request(1)[0] if state != "received" else received(house.ledger, 1).id
    if state == "revoked":
        house.ledger.take("revoke", named, BY)
    tenant = Tenant("own", frozenset({named})) if state == "foreign" else ANYBODY
    with pytest.raises(RefusedError) as refused:
        house.admit("r-" + "0" * 16 if state == "unknown" else named, tenant=tenant)
    assert refused.value.status == status
    assert named not in str(refused.value), "nothing tells a foreign id from an unknown one"


def test_tenants_do_not_see_one_another(tmp_path: Path) -> None:
    ledger_ids: dict[str, tuple[str, str]] = {}
    house = House(tmp_path)
    ledger_ids = {name: house.request(number) for number, name in enumerate(("all", "x", "y"))}
    listed = {name: [ledger_ids[name][0]] for name in "xy"}
    tenants = read_tenants(file_of(tmp_path, **{name: (name, ids) for name, ids in listed.items()}))
    x, y = (tenants.of(f"Bearer {name}") for name in "xy")
    everybody, own = ledger_ids["all"][1], {name: ledger_ids[name][1] for name in "xy"}
    assert house.admit(tenant=x).digest == digest(everybody, own["x"])
    assert house.admit(tenant=y).digest == digest(everybody, own["y"])
    with pytest.raises(RefusedError, match="unknown"):
        house.admit(ledger_ids["y"][0], tenant=x)


def sha(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def file_of(folder: Path, **tenants: tuple[str, list[str]]) -> Path:
    """A tenants' file: keys, separated by blanks, and requests of each."""
    path, lines = folder / "tenants.toml", list[str]()
    for name, (keys, requests) in tenants.items():
        lines += [f"[{name}]", f"requests = {requests}"]
        lines += [f"key_sha256 = {[sha(key) for key in keys.split()]}"] if keys else []
    path.with_suffix(".new").write_text("\n".join(lines))
    return path.with_suffix(".new").replace(path)


def test_keys_open_the_door_of_their_tenant_only(tmp_path: Path) -> None:
    tenants = read_tenants(file_of(tmp_path, acme=("secret other", [])))
    assert [tenants.of(f"Bearer {key}").name for key in ("secret", "other")] == ["acme", "acme"]
    for wrong in ("", "Bearer", "Bearer ", "Bearer wrong", "Basic secret", "secret"):
        with pytest.raises(RefusedError) as refused:
            tenants.of(wrong)
        assert refused.value.status == 401


def test_the_file_is_read_again_when_it_changes(tmp_path: Path) -> None:
    roster = Roster(file_of(tmp_path, acme=("old", [])))
    file_of(tmp_path, acme=("old new", []), rival=("theirs", ["r-" + "a" * 16]))
    assert roster.now().of("Bearer new").foreign == {"r-" + "a" * 16}
    file_of(tmp_path, acme=("new", []))
    with pytest.raises(RefusedError):
        roster.now().of("Bearer old")
    (tmp_path / "tenants.toml").write_text("broken =")
    with pytest.raises(OptionError):
        roster.now()
    (tmp_path / "tenants.toml").unlink()
    with pytest.raises(OSError, match="No such file"):
        roster.now()


def test_requests_that_nobody_lists_are_told_of(tmp_path: Path) -> None:
    a, b, c = ("r-" + letter * 16 for letter in "abc")
    tenants = read_tenants(file_of(tmp_path, acme=("k", [a]), everybody=("", [b])))
    assert tenants.unlisted([a, b, c]) == [c]
    assert tenants.of("Bearer k").foreign == frozenset(), "what is everybody's is nobody's alone"
    assert Roster(None).now().unlisted([c]) == []


@pytest.mark.parametrize(
    "text",
    [
        "", "no toml =", "[a]\nkey_sha256 = 'x'\nrequests = []", "[a]\nrequests = []", "a = 1", "[a]\nkey_sha256 = []",
        f"[a]\nkey_sha256 = '{'0' * 64}'\nrequests = ['../x']", f"[everybody]\nkey_sha256 = '{'0' * 64}'",
        f"[a]\nkey_sha256 = '{'0' * 64}'\nextra = 1",
    ],
)  # fmt: skip
def test_a_wrong_tenants_file_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "tenants.toml").write_text(text)
    with pytest.raises(OptionError):
        read_tenants(tmp_path / "tenants.toml")


def test_two_tenants_with_one_key_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="same key_sha256"):
        read_tenants(file_of(tmp_path, a=("k", []), b=("x k", [])))


@pytest.mark.parametrize("what", ["ledger.db", "policy.toml"])
def test_a_ledger_that_is_gone_admits_nobody(house: House, what: str) -> None:
    house.request(1)
    house.admit()
    (house.folder / "ledger" / what).rename(house.folder / "away")
    with pytest.raises(LedgerError):
        house.admit()
    (house.folder / "away").rename(house.folder / "ledger" / what)
    assert house.admit().erasers == 1, "and everybody again once it is back"


def test_an_older_file_in_the_ledgers_place_admits_nobody(house: House) -> None:
    database = house.folder / "ledger" / "ledger.db"
    shutil.copy(database, house.folder / "older")
    house.request(1)
    assert house.admit().erasers == 1
    shutil.copy(database, house.folder / "same")
    (house.folder / "same").replace(database)
    assert house.admit().erasers == 1, "it holds every row that was seen"
    (house.folder / "older").replace(database)
    with pytest.raises(AuditError, match="seen before"):
        house.admit()


def test_a_ledger_that_was_rolled_back_within_its_file_admits_nobody(house: House) -> None:
    database = house.folder / "ledger" / "ledger.db"
    older = database.read_bytes()
    house.request(1)
    assert house.admit().erasers == 1
    database.write_bytes(older)  # the same file, as SQLite's backup writes it
    with pytest.raises(AuditError, match="seen before"):
        house.admit()


def test_the_ledger_is_read_after_a_change_and_not_for_every_request(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit is seen by SQLite's own count, also where the clock of the file has not moved."""
    database, reads, head = house.folder / "ledger" / "ledger.db", list[int](), house.ledger.head
    monkeypatch.setattr(house.ledger, "head", lambda: reads.append(1) or head())
    first, second = (house.request(number, active=False)[0] for number in (1, 2))
    for step, name, erasers in (("activate", first, 1), ("activate", second, 2), ("revoke", first, 1)):
        before = os.stat(database)
        house.ledger.take(step, name, BY)
        os.utime(database, ns=(before.st_atime_ns, before.st_mtime_ns))
        reads.clear()
        assert [house.admit().erasers for _ in range(20)] == [erasers] * 20
        assert len(reads) == 1
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        house.ledger.take("revoke", second, BY)
        reads.clear()
        assert [house.admit().erasers for _ in range(3)] == [0] * 3, "its head counts no commits: its log is asked"
        assert len(reads) == 1


@pytest.mark.skipif(ledger_postgres.installed() is None, reason="Debian's postgresql is not installed")
def test_a_shared_ledger_is_read_after_a_change_and_not_for_every_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ledger_postgres.running() as url:
        house, reads = House(tmp_path, url=url), list[int]()
        head = house.ledger.head
        monkeypatch.setattr(house.ledger, "head", lambda: reads.append(1) or head())
        name, _ = house.request(1)
        for step, erasers in ((None, 1), ("revoke", 0)):
            if step:
                house.ledger.take(step, name, BY)
            reads.clear()
            assert [house.admit().erasers for _ in range(5)] == [erasers] * 5
            assert len(reads) == 1
        house.ledger.close()
    with pytest.raises(LedgerError):
        house.admit()


def test_an_eraser_that_is_damaged_before_it_was_loaded_admits_nobody(house: House) -> None:
    house.admit()
    _, content = house.request(1)
    with closing(sqlite3.connect(house.folder / "ledger" / "ledger.db")) as connection, connection:
        connection.execute("UPDATE files SET body = x'00' WHERE content_id = ?", (content,))
    with pytest.raises(MissingArtifactError):
        house.admit()


@pytest.mark.parametrize("broken", ["dead", "one rank", "hangs"])
def test_an_engine_that_did_not_take_the_set_answers_nobody(house: House, broken: str) -> None:
    house.request(1)
    house.engine.broken = broken
    with pytest.raises(EngineError):
        house.admit()
    house.engine.broken = ""
    assert house.admit().erasers == 1, "it is told again"


def test_what_an_engine_holds_is_unknown_after_it_did_not_answer(house: House) -> None:
    """A load that was given up may have been carried out: a set that it dropped must be loaded again."""
    first, _ = house.request(1)
    house.admit()
    house.ledger.take("revoke", first, BY)
    house.engine.broken = "hangs"
    with pytest.raises(EngineError, match="within"):
        house.admit()
    house.engine.broken = ""
    count = len(house.engine.loads)
    assert house.admit().set_name == NO_SET
    assert len(house.engine.loads) == count + 1


def test_a_set_of_the_server_s_own_is_held_beside_what_is_in_force_and_goes(house: House) -> None:
    _, content = house.request(1)

    async def scene() -> None:
        async with house.admission.beside("canary", {"sha256:c": "/c"}):
            folders, sets, mandated = house.engine.loads[-1]
            assert sets == {digest(content): [content], "canary": ["sha256:c"]}
            assert (folders["sha256:c"], mandated) == ("/c", digest(content))
            async with house.admission.admitted(ANYBODY, ()):
                pass
            assert len(house.engine.loads) == 1, "requests go on"
        assert house.engine.loads[-1][1] == {digest(content): [content]}

    asyncio.run(scene())
