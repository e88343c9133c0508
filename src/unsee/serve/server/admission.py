"""Who is steered by what: the ledger is looked at for every request, and the engine brought in line with it.

A request that is admitted keeps its set to the end. A request that is admitted after a revocation has returned never
sees what was revoked.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, final
from uuid import uuid4

from unsee.ledger.active import active_digest
from unsee.ledger.errors import LedgerUnavailableError, UnknownRequestError
from unsee.ledger.policy import FILE_NAME
from unsee.ledger.request import Artifact
from unsee.ledger.states import State
from unsee.ledger.store import Ledger
from unsee.serve.engine.reports import Asked, Reports
from unsee.serve.engine.tracking import NO_SET
from unsee.serve.errors import EngineError, RefusedError
from unsee.serve.server.tenants import Tenant

IDLE_SETS = 256
"""Sets that no request runs under and that stay loaded all the same."""

PAUSE_SECONDS = 0.01
"""Between two looks at whether the workers have made a change ready."""


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
        cache: names those who share what is cached of prompts (`unsee.serve.engine.tracking.CACHE`).
        erasers: how many it holds.
        ticket: finds what happened to it.
        asked: what happened to it so far.
        seconds: that the ledger took to read, and that it waited for its set.
    """

    digest: str
    set_name: str
    cache: str
    erasers: int
    ticket: str
    asked: Asked
    seconds: Mapping[str, float]


@final
@dataclass(frozen=True)
class InForce:
    """What the ledger and its policy say.

    Attributes:
        version: row of the log that it was read at.
        policy: bytes of the policy file.
        active: requests in force, each with its eraser.
        steering: settings that are part of every digest.
        code: version of the code that steers.
        folders: of artifacts, by content id.
    """

    version: int
    policy: bytes
    active: Mapping[str, Artifact]
    steering: Mapping[str, Any]
    code: str
    folders: Mapping[str, Path]

    def digest(self, content_ids: Iterable[str]) -> str:
        """Names a set of erasers."""
        return active_digest(content_ids, self.steering, self.code)

    @property
    def name(self) -> str:
        """Of the set of all, for the engine."""
        return self.digest(self.folders) if self.folders else NO_SET


@final
class Admission:
    """Decides on every request; one per server."""

    def __init__(self, ledger: Ledger, engine: Engine, reports: Reports, engine_seconds: float = 60.0) -> None:
        self._ledger, self._engine, self._reports, self._seconds = ledger, engine, reports, engine_seconds
        self._loaded: InForce | None = None  # None also while it is unknown what the engine holds
        self._read_last: tuple[object, InForce] | None = None  # with the stamp of the database before it was read
        self._folders: dict[str, str] = {}
        self._sets: dict[str, tuple[str, ...]] = {}
        self._since: dict[str, int] = {}  # by set, the load since which the engine has it
        self._loads = 0
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
        began = time.monotonic()
        now, wanted, digest = await self._wanted(tenant, extras)
        read = time.monotonic()
        if self._changing.locked() or not self._holds(now, wanted, digest):
            async with self._changing:  # read again: it may be older than what was loaded meanwhile
                now, wanted, digest = await self._wanted(tenant, extras)
                if not self._holds(now, wanted, digest):
                    await self._load(now, {digest: wanted} if wanted else {})
        name, seconds = digest if wanted else NO_SET, {"ledger": read - began, "queue": time.monotonic() - read}
        self._running[name] += 1
        cache, ticket = f"{name}/{self._since.get(name, 0)}", uuid4().hex
        try:
            with self._reports.opened(ticket) as asked:
                yield Admitted(digest, name, cache, len(wanted), ticket, asked, seconds)
        finally:
            self._running[name] -= 1

    async def refresh(self) -> InForce:
        """Read the ledger and load what is in force, also when nobody asks."""
        now = await asyncio.to_thread(self._read)
        if self._loaded is not now:
            async with self._changing:
                now = await asyncio.to_thread(self._read)
                await self._load(now, {})
        return now

    @asynccontextmanager
    async def beside(self, name: str, folders: Mapping[str, str]) -> AsyncIterator[None]:
        """Hold a set of the server's own beside what is in force, for a test of the running engine."""
        async with self._changing:
            await self._load(await asyncio.to_thread(self._read), {name: folders})
            self._running[name] += 1
        try:
            yield
        finally:
            self._running[name] -= 1
            async with self._changing:
                self._sets.pop(name, None)
                await self._load(await asyncio.to_thread(self._read), {})

    async def _hold(self, folders: dict[str, str], sets: dict[str, list[str]], mandated: str) -> list[Any]:
        """Let the workers make it ready while they go on answering, and then hold it; what each of them holds."""
        ask = self._engine.collective_rpc
        try:
            async with asyncio.timeout(self._seconds):
                await ask("unsee_prepare", args=(folders, sets))
                while not all(await ask("unsee_prepared")):
                    await asyncio.sleep(PAUSE_SECONDS)
                return await ask("unsee_load", args=(folders, sets, mandated))
        except TimeoutError as error:
            raise EngineError(
                f"the engine did not take {len(folders)} eraser(s) within {self._seconds:g} s. Nothing is answered. If "
                "it is only slow, raise limits.engine_seconds."
            ) from error
        except Exception as error:  # vLLM raises bare ones for what went wrong in a worker
            raise EngineError(f"the engine did not take what is in force: {error}. Nothing is answered.") from error

    def _unchanged(self, stamp: tuple[object, ...] | None) -> InForce | None:
        """What was read last, where neither the database, as its stamp says, nor the policy was touched since."""
        known, last = self._read_last or (None, None)
        if last is None or stamp is None or stamp != known:
            return None
        return last if last.policy == _bytes(self._ledger.home / FILE_NAME) else None

    def _read(self) -> InForce:
        # The ledger remembers the newest row that it has read, and refuses a file that is older, or another.
        stamp = self._ledger.database.stamp() or self._ledger.database.newest()
        if (now := self._unchanged(stamp)) is not None:
            return now
        version, policy = self._ledger.head().seq, _bytes(self._ledger.home / FILE_NAME)
        _, now = self._read_last or (None, None)
        if now is None or (now.version, now.policy) != (version, policy):
            active, folders = self._ledger.active_folders()
            now = InForce(version, policy, active.requests, active.steering, active.code, folders)
        self._read_last = stamp, now
        return now

    async def _wanted(self, tenant: Tenant, extras: Sequence[str]) -> tuple[InForce, dict[str, str], str]:
        """What is in force, folders of what a tenant is to have of it and beside it, and the digest of that."""
        now = self._unchanged(self._ledger.database.stamp()) or await asyncio.to_thread(self._read)
        ids = [artifact.content_id for name, artifact in now.active.items() if name not in tenant.foreign]
        more = await asyncio.to_thread(self._extra, tenant, extras) if extras else {}
        wanted = {i: str(now.folders[i]) for i in ids} | more
        return now, wanted, now.digest(wanted)

    def _extra(self, tenant: Tenant, extras: Sequence[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for request_id in extras:
            try:
                request = self._ledger.request(request_id)
            except UnknownRequestError:
                request = None
            if request is None or request_id in tenant.foreign:
                raise RefusedError("An erasure that the request names is unknown.", "unknown_erasure", 404)
            artifact = request.in_force or (request.held if request.state == State.VERIFIED else None)
            if artifact is None:
                status = 410 if request.ended else 409
                raise RefusedError(f"An erasure that the request names is {request.state}.", "erasure_state", status)
            found[artifact.content_id] = str(self._ledger.folder(artifact))
        return found

    def _holds(self, now: InForce, wanted: Mapping[str, str], digest: str) -> bool:
        return self._loaded is now and (not wanted or digest in self._sets)

    async def _load(self, now: InForce, more: Mapping[str, Mapping[str, str]]) -> None:
        """Bring the engine in line: what is in force, what runs, and more; sets of running requests stay."""
        idle = self._loaded is now and len(self._sets) <= IDLE_SETS
        kept = {n: ids for n, ids in self._sets.items() if self._running[n] or idle}
        added = {now.name: tuple(now.folders)} | {name: tuple(folders) for name, folders in more.items()}
        sets = {name: tuple(ids) for name, ids in {**kept, **added}.items() if ids}
        places = {**self._folders, **{i: str(f) for i, f in now.folders.items()}}
        for folders in more.values():
            places |= folders
        folders = {i: places[i] for ids in sets.values() for i in ids}
        self._loaded = None  # until the engine has answered
        self._sets, self._folders = {n: ids for n, ids in sets.items() if n in self._sets}, places
        self._loads += 1
        self._since = {name: self._since.get(name, self._loads) for name in sets}
        held = await self._hold(folders, {n: list(i) for n, i in sets.items()}, now.name)
        if any(answer != sorted(folders) for answer in held):
            raise EngineError(
                f"the engine holds {[len(answer) for answer in held]} erasers, expected {len(folders)}. Nothing is "
                "answered."
            )
        self._sets, self._folders, self._loaded = sets, folders, now


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise LedgerUnavailableError(
            f"cannot read the policy {path}: {error.strerror}. Nothing is answered. Put it back."
        ) from error
