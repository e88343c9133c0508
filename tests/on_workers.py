"""What the tests' workers do; at the top of a module, as work for other processes has to be."""

import errno
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from unsee.errors import SteeringError


@contextmanager
def importable() -> Iterator[None]:
    """Workers are other processes: they find what this one finds, in its order."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(str(Path(one or ".").resolve()) for one in sys.path))
        yield


@dataclass(frozen=True)
class Held:
    """What a worker holds, and what it says of that."""

    facts: Mapping[str, Any]


HELD = partial(Held, {"code": "0.1", "model": "sha256:aa"})


@dataclass(frozen=True)
class Lent:
    """Workers that hold something else: what `pick` makes there, which remembers it."""

    workers: Any
    pick: Callable[[], Any]

    def map(self, work: Any, parts: Iterable[Any], *, in_order: bool = False) -> Iterator[Any]:
        return self.workers.map(partial(_lent, self.pick, work), parts, in_order=in_order)


def _lent(pick: Callable[[], Any], work: Callable[[Any, Any], Any], held: Held, part: Any) -> Any:
    del held
    return work(pick(), part)


def facts(held: Held) -> Mapping[str, Any]:
    return held.facts


def square(held: Held, part: int) -> tuple[int, int]:
    return part * part, os.getpid()


def slow_first(held: Held, part: tuple[int, Path]) -> int:
    """Part 0 waits until part 1 has been done, so that results come in another order."""
    number, folder = part
    limit = time.monotonic() + 20
    while number == 0 and not (folder / "1").exists() and time.monotonic() < limit:
        time.sleep(0.02)
    (folder / str(number)).touch()
    return number


def dies_once(held: Held, part: tuple[int, Path]) -> int:
    """Part 2 takes its process with it the first time."""
    number, folder = part
    with (folder / "given").open("a") as log:
        log.write(f"{number}\n")
    if number == 2 and not (folder / "died").exists():
        (folder / "died").touch()
        os._exit(1)
    return number


def dies(held: Held, part: int) -> int:
    os._exit(1)


def raises(held: Held, part: str) -> None:
    if part == "typed":
        raise SteeringError("not steered")
    if part == "full":
        with Path("/dev/full").open("w") as file:
            file.write("x")
    if part == "quota":
        raise OSError(errno.EDQUOT, "quota")
    raise ZeroDivisionError("nobody expected this")


def other_twin(folder: Path) -> Held:
    """The first worker made says one thing, the next another."""
    try:
        (folder / "first").touch(exist_ok=False)
    except FileExistsError:
        return Held({"code": "0.2", "model": "sha256:bb"})
    return Held({"code": "0.1", "model": "sha256:bb"})


def sleeps(held: Held, part: float) -> None:
    time.sleep(part)


def pid(held: object, part: int) -> int:
    return os.getpid()
