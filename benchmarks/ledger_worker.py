"""What the fault harness starts and kills: a process that lives off a ledger, and small artifacts without torch."""

import argparse
import hashlib
import json
import os
import random
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from unsee.erase.artifact_files import CARD, FILES
from unsee.errors import ArtifactError
from unsee.ledger import Decision, Keys, Ledger, Person, Request, State, create
from unsee.ledger.active import THRESHOLDS
from unsee.ledger.artifacts import Facts
from unsee.ledger.errors import LifeCycleError
from unsee.ledger.framing import framed
from unsee.ledger.holding import attach, compact, record
from unsee.ledger.policy import Thresholds
from unsee.ledger.receiving import add
from unsee.ledger.verification import Count, Measured, Verification, judge

BY = Decision("harness", "to see what breaks", "a test")
MODEL = ("synthetic", "sha256:" + "0" * 64)
GROUND: dict[str, Any] = {"legal_basis": "a test", "scope": "nothing real"}
HERE = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "src")}
"""Environment in which a child imports this very working copy."""


def made(folder: Path, **options: Any) -> Ledger:
    """A new ledger in `folder/ledger`, its keys in `folder/keys`."""
    return create(folder / "ledger", Keys.make(folder / "keys", folder / "ledger"), BY, **options)


def opened(folder: Path, **options: Any) -> Ledger:
    """The same, open again."""
    return Ledger(folder / "ledger", Keys(folder / "keys", folder / "ledger"), **options)


def received(ledger: Ledger, number: int) -> Request:
    """A request about a person of that number."""
    return add(ledger, Person(names=(f"Subject Number{number}",)), BY, **GROUND).request


def fitted(ledger: Ledger, request: Request, scratch: Path, number: int, by: Decision = BY) -> Request:
    """An artifact of that number, attached."""
    write_artifact(scratch, number)
    return attach(ledger, request.id, scratch, check, by)


def verified(ledger: Ledger, request: Request, verification: Verification | None = None, by: Decision = BY) -> Request:
    """A verification that passes, or that one, written down."""
    limits, beside = ledger.policy.verification, len(ledger.active().requests)
    return record(ledger, request.id, request.holding or "", verification or good(limits, beside), by)


def write_artifact(folder: Path, number: int, size: int = 4096) -> str:
    """An artifact in an eraser's files but with noise in place of tensors; returns its content id."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = random.Random(number).randbytes(size)
    content_id = _content_id(number, tensors)
    config = json.dumps({"content_id": content_id, "number": number}).encode()
    (folder / FILES["eraser"]).write_bytes(config + b"\n" + tensors)
    (folder / CARD).write_text(f"artifact {number}\n")
    return content_id


def check(folder: Path) -> Facts:
    """Stands in for `erasers.eraser_check`: refuses what is not exactly what `write_artifact` wrote."""
    try:
        head, _, tensors = (folder / FILES["eraser"]).read_bytes().partition(b"\n")
        config = json.loads(head)
        found = _content_id(config["number"], tensors)
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{folder}: the config is damaged: {error}") from error
    if found != config.get("content_id") or len(config) != 2:
        raise ArtifactError(f"{folder}: content_id is {config.get('content_id')!r}, the contents give {found}")
    about = {"method": "synthetic", "layers": [1], "counts": {"forget": 1}, "libraries": {"unsee": "0"}}
    about |= {THRESHOLDS: {"profile": "synthetic", "prompts": 1, "false_fires": 0}}
    return Facts(found, *MODEL, about)


def measured(
    refused: int = 200, leaked: int = 0, wrong: int = 0, beside: int = 0, panel: tuple[str, ...] = ()
) -> Measured:
    """A verification's figures, good by default: 200 questions about the subject, 10 neighbours with 20 each."""
    nothing = Count(0, 0)
    near = {f"n{i}": Count(wrong if i == 0 else 0, 20) for i in range(10)}
    return Measured(
        leak=Count(leaked, 200),
        refusal=Count(refused, 200),
        base_leak=Count(180, 200),
        never_knew_leak=nothing,
        fluent=Count(200, 200),
        unscored=Count(0, 400),
        silent=0,
        wrong_refusal=Count(wrong, 200),
        neighbours=near | {name: Count(0, 12) for name in panel},
        visible_before=nothing,
        visible_after=nothing,
        panel=panel,
        beside=beside,
    )


def good(limits: Thresholds, beside: int = 0, panel: tuple[str, ...] = ()) -> Verification:
    """A verification that passes, beside so many requests in force."""
    return judge(measured(beside=beside, panel=panel), limits)


def step(ledger: Ledger, request: Request | None, scratch: Path, number: int) -> Request:
    """The next step of a request's life; without one, a new request."""
    if request is None:
        return received(ledger, number)
    if request.state == State.RECEIVED:
        return ledger.take("accept", request.id, BY)
    if request.state == State.ACCEPTED:
        return fitted(ledger, request, scratch, number)
    if request.state == State.FITTED:
        return verified(ledger, request)
    if request.state == State.VERIFIED:
        return ledger.activate(request.id, BY)
    if request.state == State.ACTIVE and number % 2:
        return ledger.take("answer", request.id, BY, letter="sha256:0", how="post")
    return ledger.revoke(request.id, BY)


def switched_on(ledger: Ledger, scratch: Path, number: int) -> Request:
    """A request that is active."""
    request = None
    while request is None or request.state != State.ACTIVE:
        request = step(ledger, request, scratch, number)
    return request


def live(folder: Path, scratch: Path, seed: int) -> None:
    """Random steps for ever; a line on standard output for each that was acknowledged."""
    rng = random.Random(seed)
    print("ready", flush=True)  # whoever kills may do so from here on, in the middle of opening too
    with opened(folder) as ledger:
        while True:
            open_ones = [r for r in ledger.requests() if not r.ended]
            chosen = rng.choice(open_ones) if open_ones and rng.random() < 0.8 else None
            if rng.random() < 0.1:
                compact(ledger, BY)
                continue
            done = step(ledger, chosen, scratch, rng.getrandbits(60))
            print(json.dumps([done.id, done.state]), flush=True)


def load(folder: Path, scratch: Path, seed: int, threads: int, operations: int, shared: list[str]) -> None:
    """Many threads at once: lives of their own, and all of them after the same shared requests.

    Half of the threads share one open ledger, the others open their own. Prints what was acknowledged.
    """
    common = opened(folder)

    def run(index: int) -> list[tuple[str, str]]:
        mine = common if index % 2 else opened(folder)
        rng, request, done = random.Random(f"{seed}/{index}"), None, list[tuple[str, str]]()
        left, every = rng.sample(shared, len(shared)), max(1, operations // max(1, len(shared)))
        for number in range(operations):
            if left and number % every == 0:
                try:
                    taken = mine.activate(left.pop(), BY)
                except LifeCycleError:
                    continue  # another thread was first, as all but one must find
            else:
                taken = step(mine, request, scratch / str(index), rng.getrandbits(60))
                request = None if taken.ended else taken
            done.append((taken.id, taken.state))
        if mine is not common:
            mine.close()
        return done

    with ThreadPoolExecutor(threads) as pool:
        results = [pool.submit(run, index) for index in range(threads)]
    common.close()
    failures = [f"{type(error).__name__}: {error}" for result in results if (error := result.exception()) is not None]
    acknowledged = [one for result in results if result.exception() is None for one in result.result()]
    print(json.dumps({"acknowledged": acknowledged, "failures": failures}), flush=True)


def _content_id(number: int, tensors: bytes) -> str:
    return f"sha256:{hashlib.sha256(framed(str(number).encode(), tensors)).hexdigest()}"


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mode", choices=["live", "load"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("scratch", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--operations", type=int, default=1000)
    parser.add_argument("--shared", nargs="*", default=[])
    given = parser.parse_args(arguments)
    if given.mode == "live":
        live(given.folder, given.scratch, given.seed)
    else:
        load(given.folder, given.scratch, given.seed, given.threads, given.operations, given.shared)


if __name__ == "__main__":
    main(sys.argv[1:])
