"""What breaks a ledger, and what it says then: kill -9, many writers, full disks, tampering, bad artifacts.

Every fault is made for real where the machine allows it. A row of the result is a fault, how often it was made, and
what was found; the command ends with code 1 when one of them was not met as it should be. Run from the repository root:

    python -m benchmarks.ledger_faults --json
    python -m benchmarks.ledger_faults --part kill --kills 500
    python -m benchmarks.ledger_faults --part load --processes 2 --threads 8 --operations 1000
    python -m benchmarks.ledger_faults --kills 5 --operations 20 --mutants 50
"""

import json
import multiprocessing
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from benchmarks import ledger_postgres
from benchmarks.common import Columns, Row, arguments, publish
from benchmarks.ledger_breaking import faults
from benchmarks.ledger_worker import BY, HERE, live, made, opened, received, step, verified

from unsee.erase.eraser import Eraser
from unsee.erase.gates.prompt_ridge import PromptRidgeGate
from unsee.errors import ArtifactError
from unsee.ledger import Ledger
from unsee.ledger.database import DATABASE
from unsee.ledger.erasers import eraser_check
from unsee.ledger.examination import examine
from unsee.ledger.files import NAME
from unsee.ledger.holding import attach
from unsee.ledger.states import STEPS

ROOT = Path(__file__).parents[1]
COLUMNS: Columns = {
    "fault": lambda row: row["fault"],
    "times": lambda row: str(row["times"]),
    "as it should": lambda row: "yes" if row["good"] else "NO",
    "found": lambda row: row["found"],
}
FORKED = multiprocessing.get_context("fork")
"""A child has imported everything, so that it lives from the first moment on."""
LONGEST_LIFE = 1.5
"""Seconds after which a process is killed at the latest: opening and some ten steps."""


def killed(folder: Path, kills: int, seed: int, url: str = "") -> list[Row]:
    """`kill -9` of a process at random moments of opening, add, attach, verify, activate, answer and revoke.

    After each: SQLite's integrity check, the whole examination (no eraser without files, no files without an eraser),
    every acknowledged step present, at most one step more than was acknowledged, and the keys of open records.
    """
    rng, expected = random.Random(seed), dict[str, str]()
    made(folder, url=url).close()
    wrong, acknowledged, unacknowledged = list[str](), 0, 0
    for number in range(kills):
        said = _one_life(folder, folder / "scratch", seed * kills + number, rng.uniform(0, LONGEST_LIFE))
        expected.update(said)
        acknowledged += len(said)
        with opened(folder) as ledger:  # raises where the log is not whole
            wrong += [f"round {number}: {text}" for text in examine(ledger)]
            found = {request.id: str(request.state) for request in ledger.requests()}
            open_ones = {request.id for request in ledger.requests() if not request.ended}
            if ledger.keys.records() != open_ones:
                wrong.append(f"round {number}: keys of {ledger.keys.records() ^ open_ones} are too many or too few")
        ahead = [i for i, state in found.items() if expected.get(i) != state]
        unacknowledged += len(ahead)
        for request_id in ahead:
            before = expected.get(request_id)
            if len(ahead) > 1 or (before, found[request_id]) not in _STEPS:
                wrong.append(f"round {number}: {request_id} is {found[request_id]}, acknowledged was {before}")
        wrong += [f"round {number}: {i} was acknowledged and is gone" for i in expected.keys() - found.keys()]
        expected = found
    text = f"{acknowledged} steps acknowledged, all present; {unacknowledged} more done unheard"
    return [{"fault": "kill -9 at random moments", "times": kills, "good": not wrong, "found": _first(wrong, text)}]


_STEPS = {(before, step.after) for step in STEPS for before in (step.before or (None,))}


def _killed_postgres(folder: Path, kills: int, seed: int) -> list[Row]:
    """The same in a real PostgreSQL, where one is installed."""
    if ledger_postgres.installed() is None:
        return [{"fault": "kill -9, PostgreSQL", "times": 0, "good": True, "found": "not installed"}]
    with ledger_postgres.running() as url:
        (row,) = killed(folder, kills, seed, url)
    return [row | {"fault": "kill -9 at random moments, PostgreSQL"}]


def _one_life(folder: Path, scratch: Path, seed: int, seconds: float) -> list[tuple[str, str]]:
    """What a process heard of its steps before it was killed."""
    here, there = FORKED.Pipe(duplex=False)
    child = FORKED.Process(target=live, args=(folder, scratch, seed, there))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons warn of threads; the child uses none
        child.start()
    there.close()
    assert here.recv() == "ready"
    time.sleep(seconds)
    child.kill()
    child.join()
    if child.exitcode != -9:
        raise AssertionError(f"the process ended by itself with code {child.exitcode}, seed {seed}")
    heard = list[tuple[str, str]]()
    with here:
        while True:
            try:
                heard.append(here.recv())
            except (EOFError, OSError):  # the end, or a message that was cut off: not heard, so it acknowledges nothing
                return heard


def loaded(folder: Path, processes: int, threads: int, operations: int) -> list[Row]:
    """Several processes with several threads each, on lives of their own and after the same requests."""
    with made(folder) as ledger:
        shared = [_verified(ledger, folder / "scratch", number) for number in range(max(1, operations // 50))]
        before = len(ledger.history())
    worker = [sys.executable, "-m", "benchmarks.ledger_worker", "load", str(folder)]
    piped: dict[str, Any] = {"cwd": ROOT, "env": HERE, "stdout": subprocess.PIPE, "text": True}
    sizes = ["--threads", str(threads), "--operations", str(operations), "--shared", *shared]
    start = time.monotonic()
    running = [
        subprocess.Popen([*worker, str(folder / str(n)), "--seed", str(n), *sizes], **piped) for n in range(processes)
    ]
    answers = [json.loads(child.communicate()[0]) for child in running]
    seconds = time.monotonic() - start
    acknowledged = [tuple(step) for answer in answers for step in answer["acknowledged"]]
    wrong = [text for answer in answers for text in answer["failures"]]
    with opened(folder) as ledger:
        wrong += examine(ledger)
        logged = [(row.record, row.changes["state"]) for row in ledger.history()[before:] if row.record]
        if sorted(logged) != sorted(acknowledged):
            wrong.append(f"{len(logged)} steps are in the log, {len(acknowledged)} were acknowledged")
        once = [acknowledged.count((request_id, "active")) for request_id in shared]
        if set(once) != {1}:
            wrong.append(f"shared requests were activated {sorted(set(once))} times, expected once each")
    text = (
        f"{len(acknowledged)} steps acknowledged and logged, none lost; {len(shared)} contended requests each taken "
        f"once; {seconds:.0f} s"
    )
    times = processes * threads * operations
    name = f"{processes} processes x {threads} threads x {operations} operations"
    return [{"fault": name, "times": times, "good": not wrong, "found": _first(wrong, text)}]


def mutated(folder: Path, mutants: int, seed: int) -> list[Row]:
    """Artifacts with bytes flipped, cut, inserted or swapped: given to be attached, and changed where they lie."""
    saved, rng = folder / "saved", random.Random(seed)
    _small_eraser().save_pretrained(saved)
    refused, loaded_anyway, check = 0, list[str](), eraser_check
    with made(folder) as ledger:
        request = attach(ledger, ledger.take("accept", received(ledger, 1).id, BY).id, saved, check, BY)
        ledger.take("activate", verified(ledger, request).id, BY)
        other = ledger.take("accept", received(ledger, 2).id, BY)
        rows = len(ledger.history())
        for number in range(mutants):
            inside = number % 2 == 0
            mutant = _mutant((saved / NAME).read_bytes(), rng)
            try:
                if inside:
                    _put(folder, mutant)
                    with opened(folder) as fresh:  # which has unpacked nothing before
                        fresh.active_folders()
                else:
                    shutil.rmtree(folder / "mutant", ignore_errors=True)
                    shutil.copytree(saved, folder / "mutant")
                    (folder / "mutant" / NAME).write_bytes(mutant)
                    attach(ledger, other.id, folder / "mutant", check, BY)
            except (ArtifactError, ValueError) as error:
                refused += isinstance(error, ArtifactError) or "holds the artifact" in str(error)
            else:
                loaded_anyway.append(f"mutant {number} was taken")
            _put(folder, (saved / NAME).read_bytes())
        wrong = loaded_anyway + examine(ledger)
        if refused != mutants or len(ledger.history()) != rows:
            wrong.append(
                f"{refused} of {mutants} refused with a typed error, {len(ledger.history()) - rows} rows written"
            )
    found = _first(wrong, f"{refused} typed errors, nothing loaded, nothing written")
    return [
        {
            "fault": "artifact mutated, before and after it is stored",
            "times": mutants,
            "good": not wrong,
            "found": found,
        }
    ]


def _small_eraser() -> Eraser:
    """A real eraser with random tensors, a few kilobytes."""
    gate = PromptRidgeGate((1, 2), torch.randn(2, 2, 2, 16), torch.zeros(2), torch.ones(2))
    model = {"id": "random", "revision": None, "digest": "sha256:" + "0" * 64}
    return Eraser(model, "llava", (2, 3), gate, torch.randn(2, 3, 16), 1.0, "held-ridge", subjects=("a", "b"))


def _mutant(data: bytes, rng: random.Random) -> bytes:
    """Other bytes: one flipped, some cut from the end, some inserted, two swapped, or a stretch zeroed."""
    changed, at = bytearray(data), rng.randrange(len(data))
    kind = rng.randrange(5)
    if kind == 0:
        changed[at] ^= 1 << rng.randrange(8)
    elif kind == 1:
        del changed[at:]
    elif kind == 2:
        changed[at:at] = rng.randbytes(rng.randrange(1, 9))
    elif kind == 3:
        changed[at], changed[-1 - at] = changed[-1 - at], changed[at]
    else:
        changed[at : at + 8] = bytes(len(changed[at : at + 8]))
    return bytes(changed) if bytes(changed) != data else _mutant(data, rng)


def _verified(ledger: Ledger, scratch: Path, number: int) -> str:
    request = step(ledger, None, scratch, number)
    while request.state != "verified":
        request = step(ledger, request, scratch, number)
    return request.id


def _put(folder: Path, body: bytes) -> None:
    """Change a stored file past the package."""
    with closing(sqlite3.connect(folder / "ledger" / DATABASE)) as connection, connection:
        connection.execute("UPDATE files SET body = ?", (body,))


def _first(wrong: list[str], otherwise: str) -> str:
    return f"{wrong[0]} ({len(wrong)} in all)" if wrong else otherwise


def main(argv: Sequence[str] | None = None) -> list[Row]:
    parser = arguments(__doc__)
    parts_there = ["kill", "kill-postgres", "load", "faults", "mutants"]
    parser.add_argument("--part", choices=parts_there, help="one part; default: all")
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--operations", type=int, default=1000)
    parser.add_argument("--mutants", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    parts: dict[str, Callable[[Path], list[Row]]] = {
        "kill": lambda folder: killed(folder, options.kills, options.seed),
        "kill-postgres": lambda folder: _killed_postgres(folder, options.kills, options.seed),
        "load": lambda folder: loaded(folder, options.processes, options.threads, options.operations),
        "faults": faults,
        "mutants": lambda folder: mutated(folder, options.mutants, options.seed),
    }
    rows: list[Any] = []
    for name, run in parts.items():
        if options.part in (None, name):
            with tempfile.TemporaryDirectory() as folder:
                rows += run(Path(folder))
    publish("ledger_faults", options, {"Faults of a ledger": (rows, COLUMNS)})
    if not all(row["good"] for row in rows):
        raise SystemExit(1)
    return rows


if __name__ == "__main__":
    main()
