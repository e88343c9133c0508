"""A real server in a storm: streams that are watched or left, a ledger that changes, an engine that is killed.

Many clients stream at once from `unsee serve` over the shipped model, two thirds of them leaving at random, a third
with an erasure on top of what is in force. Meanwhile requests are activated and revoked. Half-way the engine is killed,
and the server started again, as a supervisor does; in the end it is told to stop while streams run. Counted are

- wrong: an answer, whole or in part, that is not the library's under the set that it names (cross-talk);
- stale: an answer under a set that was not in force at any time between its request and its first byte (unsteered);
- longest silence: seconds without a byte for a client that waits for one;
- failed: a request that ended without an answer although no engine was dead.

Run from the repository root, in the environment of `tests/serve/run.sh`, which checks 15 seconds of it:

    OMP_NUM_THREADS=1 VLLM_CPU_KVCACHE_SPACE=1 VLLM_CPU_OMP_THREADS_BIND=nobind python -m benchmarks.storm --markdown
"""

import asyncio
import random
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

from benchmarks.common import Columns, Row, arguments, publish
from benchmarks.ledger_worker import BY
from tests.serve.real_server import Server, Set, whole

from unsee.ledger import State

COLUMNS: Columns = {
    "seconds": lambda row: f"{row['seconds']:.0f}",
    "whole": lambda row: str(row["whole"]),
    "left": lambda row: str(row["left"]),
    "wrong": lambda row: str(row["wrong"]),
    "stale": lambda row: str(row["stale"]),
    "failed": lambda row: str(row["failed"]),
    "changes": lambda row: str(row["changes"]),
    "longest silence (s)": lambda row: f"{row['silence']:.1f}",
}
DEATH: Columns = {
    "event": lambda row: row["event"],
    "streams open": lambda row: str(row["open"]),
    "whole and right": lambda row: str(row["whole"]),
    "last client ended after (s)": lambda row: f"{row['clients']:.1f}",
    "process ended after (s)": lambda row: f"{row['process']:.1f}",
    "exit code": lambda row: str(row["code"]),
}
EXTRA = 2
"""The eraser that is never in force, and that clients ask for on top."""


@final
@dataclass
class Storm:
    """What happened.

    Attributes:
        whole, left: answers that came to their end, and that their client left.
        wrong, stale, failed: what must not be, each with what was seen.
        broken: streams and requests that ended without an answer while the engine was dead.
        killed: when it died; `ended`: when the last request ended that ran then.
        down: whether it is dead and the server not ready again.
        code, process: of the server that lost its engine, exit code and seconds that it lived on.
        changes: of the ledger, each with the time before it and what was in force from then on.
        done: of each, the time after it.
        silence: the longest, in seconds.
    """

    whole: int = 0
    left: int = 0
    broken: int = 0
    silence: float = 0.0
    wrong: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    changes: list[tuple[float, Set]] = field(default_factory=list)
    done: list[float] = field(default_factory=list)
    killed: float = float("inf")
    ended: float = 0.0
    down: bool = False
    code: int = 0
    process: float = 0.0

    def in_force(self, since: float, until: float) -> set[Set]:
        """All that was in force at some time between."""
        over = [*self.done[1:], float("inf"), float("inf")]  # the last change may be under way
        pairs = zip(self.changes, over, strict=False)
        return {held for (began, held), end in pairs if began <= until and end >= since}


async def storm(server: Server, seconds: float, streams: int = 32, seed: int = 0, kill: bool = False) -> Storm:
    """Streams and changes for so long, at half of it a dead engine; on a busy machine until enough was seen."""
    seen, draw, end = Storm(changes=[(0.0, server.active)], done=[0.0]), random.Random(seed), time.monotonic() + seconds

    def over() -> bool:
        return time.monotonic() > end and (min(seen.whole, seen.left) > 10 or time.monotonic() > end + 600)

    async with asyncio.TaskGroup() as group:
        group.create_task(asyncio.to_thread(change, server, seen, over))
        if kill:
            group.create_task(killed(server, seen, seconds / 2))
        for number in range(streams):
            group.create_task(client(server, seen, random.Random(draw.random() + number), over))
    return seen


async def killed(server: Server, seen: Storm, after: float) -> None:
    """Kill the engine, and start the server again once its process has ended, as a supervisor does."""
    await asyncio.sleep(after)
    seen.down, seen.killed = True, time.monotonic()
    server.kill_engine()
    seen.code = await asyncio.to_thread(server.process.wait, 30)
    seen.process = time.monotonic() - seen.killed
    server.process = server.started()
    await asyncio.to_thread(server.wait)
    seen.down = False


def change(server: Server, seen: Storm, over: Callable[[], bool]) -> None:
    """Activate and revoke, one eraser after another, with a breath between."""
    held, number = {eraser: server.ids[eraser] for eraser in server.active}, int(time.time() * 1000)
    while not over():
        for eraser in range(EXTRA):
            number += 1
            if eraser in held:
                step, request = "revoke", held.pop(eraser)
            else:
                waits = server.ledger.request(server.ids[eraser]).state == State.VERIFIED
                step, request = "activate", server.ids[eraser] if waits else server.request(eraser, number)
                held[eraser] = server.ids[eraser] = request
            server.active = tuple(sorted(held))
            seen.changes.append((time.monotonic(), server.active))
            server.ledger.take(step, request, BY)
            seen.done.append(time.monotonic())
            time.sleep(0.5)


async def client(server: Server, seen: Storm, draw: random.Random, over: Callable[[], bool]) -> None:
    """One stream after another."""
    while not over():
        index, leave = draw.randrange(len(server.samples)), draw.choice((None, draw.randrange(6), draw.randrange(6)))
        extra = {"unsee": {"erasures": [server.ids[EXTRA]]}} if draw.random() < 1 / 3 else {}
        asked = time.monotonic()
        try:
            await stream(server, seen, index, leave, extra)
        except Exception as error:  # noqa: BLE001 (each kind counts)
            if seen.down:
                seen.broken += 1
                await asyncio.sleep(0.2)
            else:
                seen.failed.append(repr(error))
        finally:
            if asked < seen.killed < time.monotonic():
                seen.ended = max(seen.ended, time.monotonic())


async def stream(server: Server, seen: Storm, index: int, leave: int | None, extra: dict[str, Any]) -> None:
    """One, read to its end or left after so many pieces, and judged."""
    asked = time.monotonic()
    raw = await server.clients.chat.completions.with_raw_response.create(
        **server.options(index, stream=True, extra_body=extra)
    )
    opened = last = time.monotonic()
    seen.silence = max(seen.silence, opened - asked)
    said, count, ended, pieces = "", 0, False, raw.parse()
    async for piece in pieces:
        seen.silence, last = max(seen.silence, time.monotonic() - last), time.monotonic()
        said, count = said + (piece.choices[0].delta.content or ""), count + 1
        ended = bool(piece.choices[0].finish_reason)
        if leave is not None and count > leave and not ended:
            await pieces.close()
            break
    named = server.digests.get(raw.headers["x-unsee-set"])
    possible = {tuple(sorted({*held, EXTRA})) if extra else held for held in seen.in_force(asked, opened)}
    if named not in possible:
        seen.stale.append(f"{index} under {named}, in force {possible}")
    expected = "" if named is None else server.said[named][index]
    if named is None or not (said.strip() == expected if ended else expected.startswith(said.strip())):
        seen.wrong.append(f"{index} under {named}: {said!r}, expected {expected!r}")
    if ended:
        seen.whole += 1
    else:
        seen.left += 1


def drained(server: Server, streams: int) -> Row:
    """Tell a server to stop while streams run: they go on to their end, and it ends."""
    with ThreadPoolExecutor(streams) as pool:
        ask = server.client.chat.completions.create
        running = [ask(**server.options(n % len(server.samples), stream=True)) for n in range(streams)]
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        said = list(pool.map(whole, running))
        clients = time.monotonic() - began
        code = server.process.wait(60)
    expected = [server.said[server.active][n % len(server.samples)] for n in range(streams)]
    right = sum(a == b for a, b in zip(said, expected, strict=True))
    row: Row = {"event": "told to stop", "open": streams, "whole": right, "clients": clients}
    return row | {"process": time.monotonic() - began, "code": code}


def main(argv: Sequence[str] | None = None) -> list[Row]:
    parser = arguments(__doc__)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--streams", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--engines", type=int, default=1, help="--data-parallel-size of the server")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder), "--data-parallel-size", str(options.engines))
        try:
            seen = asyncio.run(storm(server, options.seconds, options.streams, options.seed, kill=True))
            stopped = drained(server, 8)
        finally:
            server.process.kill()
    row: Row = {
        "seconds": options.seconds, "whole": seen.whole, "left": seen.left, "wrong": len(seen.wrong),
        "stale": len(seen.stale), "failed": len(seen.failed), "broken": seen.broken, "changes": len(seen.changes) - 1,
        "silence": seen.silence,
    }  # fmt: skip
    died: Row = {
        "event": "engine killed", "open": options.streams, "whole": 0, "clients": max(0.0, seen.ended - seen.killed),
        "process": seen.process, "code": seen.code,
    }  # fmt: skip
    for one in (seen.wrong, seen.stale, seen.failed):
        print(*one[:5], sep="\n", end="\n" if one else "")
    publish("storm", options, {"The storm": ([row], COLUMNS), "Ends": ([died, stopped], DEATH)})
    return [row, died, stopped]


if __name__ == "__main__":
    main()
