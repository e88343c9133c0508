"""How many requests this very model was shown to hold: from its own capacity run, or not known."""

from typing import final

from pydantic import Field

from unsee.ledger.active import ActiveSet
from unsee.ledger.errors import PolicyError, told
from unsee.ledger.store import Ledger
from unsee.schema import Schema

FILE_NAME = "capacity.json"
NOT_KNOWN = "not known"


@final
class Capacity(Schema, extra="ignore", strict=True):
    """What the ledger reads of a capacity run."""

    model_digest: str
    certified: int = Field(ge=0)


def certified(ledger: Ledger, active: ActiveSet) -> int | str:
    """The number in `capacity.json` of the ledger, if that was measured on the weights in force; else "not known"."""
    path = ledger.home / FILE_NAME
    if not path.is_file():
        return NOT_KNOWN
    with told(f"{path}: is no capacity run", "Put it right, or delete it.", PolicyError):
        found = Capacity.model_validate_json(path.read_bytes())
    return found.certified if {a.model_digest for a in active.requests.values()} == {found.model_digest} else NOT_KNOWN


def warnings(ledger: Ledger, record: str) -> list[str]:
    """What whoever switches a request on should know."""
    active, verification = ledger.active(), ledger.request(record).verification
    number, count, found = certified(ledger, active), len(active.requests), list[str]()
    if verification is not None and verification.beside != count - 1:
        found.append(
            f"it was verified beside {verification.beside} other active request(s) and acts beside {count - 1}: "
            "what they do together was not measured. Verify it again if they are near."
        )
    if isinstance(number, str) or count > number:
        said = number if isinstance(number, str) else f"certified up to {number}"
        found.append(
            f"{count} request(s) are in force; how many this model holds is {said}: 'unsee capacity MODEL' measures it."
        )
    alone = [name for name, artifact in active.requests.items() if not artifact.shares_threshold]
    if count > 1 and alone:
        found.append(f"thresholds of {', '.join(alone)} cannot be set together with the others; fit them again.")
    return found
