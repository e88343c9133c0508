"""How many requests this very model was shown to hold: from its own capacity run, or not known."""

from pathlib import Path

from unsee.erase.strict_json import is_whole, parsed_object
from unsee.errors import ArtifactError
from unsee.ledger.active import ActiveSet
from unsee.ledger.errors import PolicyError
from unsee.ledger.store import Ledger

FILE_NAME = "capacity.json"
NOT_KNOWN = "not known"


def certified(ledger: Ledger, active: ActiveSet) -> int | str:
    """The number in `capacity.json` of the ledger, if that was measured on the weights in force; else "not known".

    The file is what a capacity run on the model writes: at least `model_digest` and `certified`.

    Raises:
        PolicyError: the file is there and is none.
    """
    path: Path = ledger.home / FILE_NAME
    if not path.is_file():
        return NOT_KNOWN
    try:
        found = parsed_object(path.read_bytes(), path)
    except (OSError, ArtifactError) as error:
        raise PolicyError(f"{path}: cannot be read as a capacity run ({error}). Put it right, or delete it.") from error
    if not is_whole(found.get("certified"), 0) or not isinstance(found.get("model_digest"), str):
        raise PolicyError(f"{path}: expected a whole number 'certified' and a text 'model_digest', got {found!r:.80}.")
    digests = {r.artifact.model_digest for r in active.requests}
    return found["certified"] if digests == {found["model_digest"]} else NOT_KNOWN
