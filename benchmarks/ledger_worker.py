"""What the fault harness starts and kills: a process that lives off a ledger, and small artifacts without torch."""

import argparse
import hashlib
import json
import os
import random
import sys
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from unsee.erase.artifact_files import FILES
from unsee.errors import ArtifactError
from unsee.ledger import Decision, Keys, Ledger, Person, Request, State, create
from unsee.ledger.errors import LifeCycleError
from unsee.ledger.holding import add, attach, record
from unsee.ledger.request import THRESHOLDS, Artifact
from unsee.ledger.verification import Count, Finding, Verification

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
    return record(ledger, request.id, verification or found(ledger, request), by)


def write_artifact(folder: Path, number: int, size: int = 4096) -> str:
    """An artifact in an eraser's files but with noise in place of tensors; returns its content id."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = random.Random(number).randbytes(size)
    content_id = _content_id(number, tensors)
    config = json.dumps({"content_id": content_id, "number": number}).encode()
    (folder / FILES["eraser"]).write_bytes(config + b"\n" + tensors)
    return content_id


def check(folder: Path) -> Artifact:
    """Stands in for `erasers.eraser_check`: refuses what is not exactly what `write_artifact` wrote."""
    try:
        head, _, tensors = (folder / FILES["eraser"]).read_bytes().partition(b"\n")
        config = json.loads(head)
        content_id = _content_id(config["number"], tensors)
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{folder}: the config is damaged: {error}") from error
    if content_id != config.get("content_id") or len(config) != 2:
        raise ArtifactError(f"{folder}: content_id is {config.get('content_id')!r}, the contents give {content_id}")
    about = {"method": "synthetic", "layers": [1], "counts": {"forget": 1}, "libraries": {"unsee": "0"}}
    about |= {THRESHOLDS: [{"profile": "synthetic", "prompts": 1, "false_fires": 0}]}
    return Artifact(content_id=content_id, model_id=MODEL[0], model_digest=MODEL[1], about=about)


def found(
    ledger: Ledger, request: Request, leaked: int = 0, refused: int = 200, panel: tuple[str, ...] = ()
) -> Verification:
    """A verification of what a request holds, good by default: 200 questions about the person, 200 about others."""
    limits = ledger.policy.verification
    findings = (
        Finding.of("leak", "were answered", Count(k=leaked, n=200), limits, "max_leak"),
        Finding.of("refusal", "were declined", Count(k=refused, n=200), limits, "min_refusal"),
        Finding.of("declines", "are declined", Count(k=0, n=200), limits, "max_wrong_refusal"),
    )
    assert request.held is not None
    return Verification(
        content_id=request.held.content_id, findings=findings, policy=limits.digest, panel=panel,
        beside=len(ledger.active().requests.keys() - {request.id}),
    )  # fmt: skip


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
        return ledger.take("activate", request.id, BY)
    if request.state == State.ACTIVE and number % 2:
        return ledger.take("answer", request.id, BY, letter="sha256:0", how="post")
    return ledger.take("revoke", request.id, BY)


def switched_on(ledger: Ledger, scratch: Path, number: int) -> Request:
    """A request that is active."""
    request = None
    while request is None or request.state != State.ACTIVE:
        request = step(ledger, request, scratch, number)
    return request


def live(folder: Path, scratch: Path, seed: int, told: Connection) -> None:
    """Random steps for ever; each that was acknowledged is told."""
    rng = random.Random(seed)
    told.send("ready")  # whoever kills may do so from here on, in the middle of opening too
    with opened(folder) as ledger:
        while True:
            open_ones = [r for r in ledger.requests() if not r.ended]
            chosen = rng.choice(open_ones) if open_ones and rng.random() < 0.8 else None
            done = step(ledger, chosen, scratch, rng.getrandbits(60))
            told.send((done.id, str(done.state)))


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
                    taken = mine.take("activate", left.pop(), BY)
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
    return f"sha256:{hashlib.sha256(f'{number} '.encode() + tensors).hexdigest()}"


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mode", choices=["load"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("scratch", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--operations", type=int, default=1000)
    parser.add_argument("--shared", nargs="*", default=[])
    given = parser.parse_args(arguments)
    load(given.folder, given.scratch, given.seed, given.threads, given.operations, given.shared)


if __name__ == "__main__":
    main(sys.argv[1:])
