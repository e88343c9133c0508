"""How many requests this very model was shown to hold: from its own capacity run, or not known."""

from typing import final

from pydantic import Field, ValidationError

from unsee.ledger.active import ActiveSet
from unsee.ledger.errors import PolicyError
from unsee.ledger.store import Ledger
from unsee.schema import Schema, worded

FILE_NAME = "capacity.json"
NOT_KNOWN = "not known"


@final
class Capacity(Schema, extra="ignore", strict=True):
    """What the ledger reads of a capacity run."""

    model_digest: str
    certified: int = Field(ge=0)


def certified(ledger: Ledger, active: ActiveSet) -> int | str:
    """The number in `capacity.json` of the ledger, if that was measured on the weights in force; else "not known".

    Raises:
        PolicyError: the file is there and is none.
    """
    path = ledger.home / FILE_NAME
    if not path.is_file():
        return NOT_KNOWN
    try:
        found = Capacity.model_validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        said = worded(error) if isinstance(error, ValidationError) else str(error)
        raise PolicyError(f"{path}: is no capacity run: {said}. Put it right, or delete it.") from error
    return found.certified if {r.artifact.model_digest for r in active.requests} == {found.model_digest} else NOT_KNOWN


def warnings(ledger: Ledger, record: str) -> list[str]:
    """What whoever switches a request on should know."""
    active, request = ledger.active(), ledger.request(record)
    number, others, found = certified(ledger, active), len(active.requests) - 1, list[str]()
    if request.verification is not None and request.verification.beside != others:
        found.append(
            f"it was verified beside {request.verification.beside} other active request(s) and acts beside {others}: "
            "what they do together was not measured. Verify it again if they are near."
        )
    if isinstance(number, str) or len(active.requests) > number:
        said = number if isinstance(number, str) else f"certified up to {number}"
        found.append(
            f"{len(active.requests)} request(s) are in force; how many this model holds is {said}: "
            "'unsee capacity MODEL' measures it."
        )
    alone = [one.id for one in active.requests if not one.shares_threshold]
    if len(active.requests) > 1 and alone:
        found.append(f"thresholds of {', '.join(alone)} cannot be set together with the others; fit them again.")
    return found
