"""What can go wrong with a ledger; each says what happened, what was got, what was expected and what to do next."""

from collections.abc import Iterator
from contextlib import contextmanager

from unsee.errors import ArtifactError, UnseeError


class LedgerError(UnseeError, RuntimeError):
    """Root of the ledger's errors; raised itself where there is no ledger, or it is damaged or of another edition."""


class LedgerUnavailableError(LedgerError, OSError):
    """Locked, read-only, or the disk is full: what was acknowledged before is there, this was not done."""


class LifeCycleError(LedgerError, ValueError):
    """A step that is not allowed from where the request is; says which are."""


class UnknownRequestError(LedgerError, LookupError):
    """No request, or more than one, has that id."""


class KeyFileError(LedgerError, ValueError):
    """The operator's keys are missing, damaged, inside the ledger, or those of another ledger."""


class PersonalDataError(LedgerError, ValueError):
    """A text for the log, whose rows are never deleted, names somebody whom the vault protects."""


class PolicyError(LedgerError, ValueError):
    """The policy file is missing, or a field of it is unknown or out of range."""


class AuditError(LedgerError):
    """The log is not what was written, or an older one than was seen before; names the row at fault."""


class MissingArtifactError(LedgerError, ArtifactError):
    """A request names an artifact whose file is gone or not the one that was stored."""


@contextmanager
def told(what: str, then: str, kind: type[UnseeError] = LedgerUnavailableError) -> Iterator[None]:
    """What the system says of a file: `what` was not done, why, and what to do `then`."""
    try:
        yield
    except UnseeError:
        raise
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise kind(f"{what}: {said}. {then}") from error
