"""The ledger that the pages decide in: opened for each step, and what Forget has made put into it."""

from unsee.errors import OptionError
from unsee.forgetting.run import Forgotten
from unsee.ledger import Decision, Keys, Ledger, Person
from unsee.ledger.erasers import eraser_check
from unsee.ledger.holding import add, attach
from unsee.ledger.request import Request
from unsee.ledger.states import State
from unsee.ui.bench import Bench


def opened(bench: Bench) -> Ledger:
    """The ledger, to write where there are keys.

    Raises:
        LedgerError: it is gone or damaged.
    """
    assert bench.ledger is not None
    return Ledger(bench.ledger, None if bench.keys is None else Keys(bench.keys, bench.ledger))


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
