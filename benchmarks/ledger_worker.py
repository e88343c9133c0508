"""What the fault harness starts and kills: a process that lives off a ledger, and small artifacts without torch."""

import argparse
import hashlib
import json
import random
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from unsee.erase.artifact_files import CARD, FILES
from unsee.errors import ArtifactError
from unsee.ledger import Decision, Ledger, Request, SubjectKey
from unsee.ledger.active import THRESHOLDS
from unsee.ledger.artifacts import Facts
from unsee.ledger.errors import LifeCycleError
from unsee.ledger.framing import framed
from unsee.ledger.policy import Thresholds
from unsee.ledger.verification import Measured, Verification, judge

KEY = SubjectKey(b"\x01" * 32)
BY = Decision("harness", "to see what breaks", "a test", "nothing real")
MODEL = ("synthetic", "sha256:" + "0" * 64)


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


def measured(refusal: float = 1.0, leak: float = 0.0, wrong_refusal: float = 0.0, beside: int = 0) -> Measured:
    """A verification's figures, good by default."""
    return Measured(
        questions=40,
        refusal=refusal,
        leak=leak,
        base_leak=0.9,
        never_knew_leak=None,
        fluent=1.0,
        unscored=0.0,
        silent=0,
        neighbours=10,
        neighbour_questions=100,
        wrong_refusal=wrong_refusal,
        worst_neighbour=wrong_refusal,
        accuracy_before=0.9,
        accuracy_after=0.9,
        visible_before=None,
        visible_after=None,
        context={"seed": 0, "beside": beside, "rows": []},
    )


def good(limits: Thresholds, beside: int = 0) -> Verification:
    """A verification that passes, beside so many requests in force."""
    return judge(measured(beside=beside), limits)


def step(ledger: Ledger, request: Request | None, scratch: Path, number: int) -> Request:
    """The next step of a request's life; without one, a new request."""
    if request is None:
        return ledger.add(f"subject {number}", KEY, BY)
    if request.state == "received":
        write_artifact(scratch, number)
        return ledger.attach(request.id, scratch, check, BY)
    if request.state == "fitted":
        return ledger.record(request.id, request.content_id or "", good(ledger.policy.verification), BY)
    if request.state == "verified":
        return ledger.activate(request.id, BY).request
    return ledger.revoke(request.id, BY)


def live(home: Path, scratch: Path, seed: int) -> None:
    """Random steps for ever; a line on standard output for each that was acknowledged."""
    rng = random.Random(seed)
    print("ready", flush=True)  # whoever kills may do so from here on, in the middle of opening too
    with Ledger(home) as ledger:
        while True:
            open_ones = [r for r in ledger.requests() if r.state != "revoked"]
            chosen = rng.choice(open_ones) if open_ones and rng.random() < 0.8 else None
            if rng.random() < 0.1:
                ledger.compact(BY)
                continue
            done = step(ledger, chosen, scratch, rng.getrandbits(60))
            print(json.dumps([done.id, done.state]), flush=True)


def load(home: Path, scratch: Path, seed: int, threads: int, operations: int, shared: list[str]) -> None:
    """Many threads at once: lives of their own, and all of them after the same shared requests.

    Half of the threads share one open ledger, the others open their own. Prints what was acknowledged.
    """
    common = Ledger(home)

    def run(index: int) -> list[tuple[str, str]]:
        mine = common if index % 2 else Ledger(home)
        rng, request, done = random.Random(f"{seed}/{index}"), None, list[tuple[str, str]]()
        left, every = rng.sample(shared, len(shared)), max(1, operations // max(1, len(shared)))
        for number in range(operations):
            if left and number % every == 0:
                try:
                    taken = mine.activate(left.pop(), BY).request
                except LifeCycleError:
                    continue  # another thread was first, as all but one must find
            else:
                taken = step(mine, request, scratch / str(index), rng.getrandbits(60))
                request = None if taken.state == "revoked" else taken
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
    parser.add_argument("home", type=Path)
    parser.add_argument("scratch", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--operations", type=int, default=1000)
    parser.add_argument("--shared", nargs="*", default=[])
    given = parser.parse_args(arguments)
    if given.mode == "live":
        live(given.home, given.scratch, given.seed)
    else:
        load(given.home, given.scratch, given.seed, given.threads, given.operations, given.shared)


if __name__ == "__main__":
    main(sys.argv[1:])
