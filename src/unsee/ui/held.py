"""The ledger that the pages decide in: opened for each step, and what Forget has made put into it."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from unsee.errors import OptionError
from unsee.forgetting.run import Forgotten
from unsee.ledger import Decision, Keys, Ledger, Person
from unsee.ledger.erasers import eraser_check
from unsee.ledger.holding import add, attach
from unsee.ledger.request import Request
from unsee.ledger.states import State
from unsee.ui.bench import Bench

T = TypeVar("T")
BUSY_SECONDS = 5.0
"""How long a page waits for another process that writes."""


async def with_ledger(bench: Bench, work: Callable[[Ledger], T]) -> T:
    """Do something with the ledger, in a thread: whoever waits for it keeps no other tab waiting.

    Raises:
        LedgerError: it is gone, damaged, or in use for too long.
    """

    def done() -> T:
        with opened(bench) as ledger:
            return work(ledger)

    return await asyncio.to_thread(done)


def opened(bench: Bench) -> Ledger:
    """The ledger, to write where there are keys.

    Raises:
        OptionError: none was named.
        LedgerError: it is gone or damaged.
    """
    if bench.ledger is None:
        raise OptionError("no ledger was named. Start 'unsee ui' with --ledger.")
    keys = None if bench.keys is None else Keys(bench.keys, bench.ledger)
    return Ledger(bench.ledger, keys, busy_seconds=BUSY_SECONDS)


def into_ledger(bench: Bench, done: Forgotten, by: Decision, legal_basis: str, scope: str) -> tuple[Request, str]:
    """Receive, accept and attach what was forgotten; the request, and the token for its sender if it is new.

    What was cut off goes on where it stopped: the eraser's content id is the reference, which comes in once.

    Raises:
        OptionError: only a part is forgotten, or no person is: a ledger verifies a person as a whole.
        LifeCycleError: the request has gone on since, or ended.
        PersonalDataError: a text names the person.
    """
    asked = done.request
    if asked.kind != "person" or asked.erase or asked.spare:
        part = " and of some facts only" if asked.erase or asked.spare else ""
        raise OptionError(
            f"this request is of kind {asked.kind!r}{part}: a ledger asks about a person as a whole before it puts "
            "anything in force, so it would fail. Keep the eraser's folder instead."
        )
    person = Person.of(names=asked.names, images=tuple(image.encoded for image in asked.images))
    with opened(bench) as ledger:
        got = add(ledger, person, by, legal_basis=legal_basis, scope=scope, reference=done.content_id)
        if got.request.state == State.RECEIVED:
            ledger.take("accept", got.request.id, by)
        return attach(ledger, got.request.id, done.folder / "eraser", eraser_check, by), got.token
