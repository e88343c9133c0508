"""Who is steered by what: the ledger's word, asked anew for every request, and the engine brought in line with it.

A request that is admitted keeps its set to the end. A request that is admitted after a revocation has returned never
sees what was revoked: the ledger is read before each one.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, final
from uuid import uuid4

from unsee.ledger.active import ActiveRequest, active_digest
from unsee.ledger.errors import LedgerUnavailableError, UnknownRequestError
from unsee.ledger.policy import FILE_NAME
from unsee.ledger.states import State
from unsee.ledger.store import Ledger
from unsee.serve.engine.tracking import NO_SET
from unsee.serve.errors import EngineError, RefusedError
from unsee.serve.server.tenants import Tenant, Tenants

IDLE_SETS = 256
"""Sets that nobody asks for just now and that are kept loaded all the same."""


class Engine(Protocol):
    """What is needed of vLLM's client."""

    async def collective_rpc(self, method: str, timeout: float | None = None, args: tuple[Any, ...] = ()) -> list[Any]:
        """Call a method of every worker between two steps."""
        ...


@final
@dataclass(frozen=True)
class Admitted:
    """A request that may be answered.

    Attributes:
        digest: names its set to clients.
        set_name: names it to the engine.
        erasers: how many it holds.
        ticket: finds what happened to it.
    """

    digest: str
    set_name: str
    erasers: int
    ticket: str


@final
@dataclass(frozen=True)
class Word:
    """What the ledger says.

    Attributes:
        version: row of the log that it was read at.
        policy: bytes of the policy file.
        active: requests in force.
        steering: settings that are part of every digest.
        code: version of the code that steers.
        folders: of artifacts, by content id.
    """

    version: int
    policy: bytes
    active: tuple[ActiveRequest, ...]
    steering: Mapping[str, Any]
    code: str
    folders: Mapping[str, Path]


@final
class Admission:
    """Decides on every request; one per server."""

    def __init__(self, ledger: Ledger, tenants: Tenants, engine: Engine) -> None:
        self._ledger, self._tenants, self._engine = ledger, tenants, engine
        self._word: Word | None = None
        self._folders: dict[str, str] = {}
        self._sets: dict[str, tuple[str, ...]] = {}
        self._running: Counter[str] = Counter()
        self._changing = asyncio.Lock()

    @asynccontextmanager
    async def admitted(self, tenant: Tenant, extras: Sequence[str]) -> AsyncIterator[Admitted]:
        """Hold a request's set in the engine while it is answered.

        Args:
            tenant: who asks.
            extras: requests of the ledger to add to what is mandated.

        Raises:
            RefusedError: an extra one is unknown, foreign, revoked or not verified.
            LedgerError, ArtifactError: nothing can be said about what is in force.
            EngineError: the engine did not take the set.
        """
        async with self._changing:
            word = await asyncio.to_thread(self._read)
            mine = {**self._mandated(word, tenant), **await asyncio.to_thread(self._extra, tenant, extras)}
            ids = tuple(sorted(mine))
            digest = active_digest(ids, word.steering, word.code)
            name = digest if ids else NO_SET
            await self._ensure(word, name, mine)
            self._running[name] += 1
        try:
            yield Admitted(digest, name, len(ids), uuid4().hex)
        finally:
            self._running[name] -= 1

    async def start(self) -> Word:
        """Read the ledger and load what is in force, before the first request."""
        async with self._changing:
            word = await asyncio.to_thread(self._read)
            await self._ensure(word, NO_SET, {})
        return word

    async def reports(self, ticket: str, final: bool) -> list[dict[str, Any]]:
        """What the engine says happened to a request; every worker has the same to say."""
        return (await self._ask("unsee_reports", ticket, final))[0]

    async def _ask(self, method: str, *args: object) -> list[Any]:
        try:
            return await self._engine.collective_rpc(method, args=args)
        except Exception as error:  # vLLM raises bare ones for what went wrong in a worker
            raise EngineError(f"the engine did not answer {method}: {error}. Nothing is answered.") from error

    def _read(self) -> Word:
        # The ledger remembers the newest row that it has read, and refuses a file that is older, or another.
        version, policy = self._ledger.head().seq, _bytes(self._ledger.home / FILE_NAME)
        if self._word is not None and (self._word.version, self._word.policy) == (version, policy):
            return self._word
        active, folders = self._ledger.active_folders()
        places = {r.artifact.content_id: f for r, f in zip(active.requests, folders, strict=True)}
        return Word(version, policy, active.requests, active.steering, active.code, places)

    def _mandated(self, word: Word, tenant: Tenant) -> dict[str, str]:
        foreign = self._tenants.foreign_to(tenant)
        ids = [r.artifact.content_id for r in word.active if r.id not in foreign]
        return {content_id: str(word.folders[content_id]) for content_id in ids}

    def _extra(self, tenant: Tenant, extras: Sequence[str]) -> dict[str, str]:
        foreign, found = self._tenants.foreign_to(tenant), dict[str, str]()
        for request_id in extras:
            try:
                request = self._ledger.request(request_id)
            except UnknownRequestError:
                request = None
            if request is None or request_id in foreign:
                raise RefusedError("An erasure that the request names is unknown.", "unknown_erasure", 404)
            artifact = request.in_force or (request.held if request.state == State.VERIFIED else None)
            if artifact is None:
                status = 410 if request.ended else 409
                raise RefusedError(f"An erasure that the request names is {request.state}.", "erasure_state", status)
            found[artifact.content_id] = str(self._ledger.folder(artifact))
        return found

    async def _ensure(self, word: Word, name: str, wanted: Mapping[str, str]) -> None:
        """Bring the engine in line; sets of running requests stay."""
        changed = word is not self._word
        if not changed and (name == NO_SET or name in self._sets):
            return
        kept = {n: ids for n, ids in self._sets.items() if self._running[n] or not changed}
        if len(kept) > IDLE_SETS:
            kept = {n: ids for n, ids in kept.items() if self._running[n]}
        mandated = tuple(sorted(word.folders))
        default = active_digest(mandated, word.steering, word.code) if mandated else NO_SET
        sets = {n: ids for n, ids in {**kept, default: mandated, name: tuple(sorted(wanted))}.items() if ids}
        places = {**self._folders, **{i: str(f) for i, f in word.folders.items()}, **wanted}
        folders = {i: places[i] for ids in sets.values() for i in ids}
        held = await self._ask("unsee_load", folders, {n: list(i) for n, i in sets.items()}, default)
        if any(answer != sorted(folders) for answer in held):
            raise EngineError(
                f"the engine holds {[len(answer) for answer in held]} erasers, expected {len(folders)}. Nothing is "
                "answered."
            )
        self._sets, self._folders, self._word = sets, folders, word


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise LedgerUnavailableError(
            f"cannot read the policy {path}: {error.strerror}. Nothing is answered. Put it back."
        ) from error
