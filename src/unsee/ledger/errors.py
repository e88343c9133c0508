"""What can go wrong with a ledger; each says what happened, what was got, what was expected and what to do next."""

from unsee.errors import ArtifactError, UnseeError


class LedgerError(UnseeError, RuntimeError):
    """Root of the ledger's errors; raised itself where a folder is no ledger or its files are damaged."""


class LedgerUnavailableError(LedgerError, OSError):
    """Locked, read-only, or the disk is full: what was acknowledged before is there, this was not done."""


class SchemaError(LedgerError):
    """The ledger was written by a newer unsee, or the file is no ledger."""


class LifeCycleError(LedgerError, ValueError):
    """A step that the life cycle does not allow from where the request is."""


class UnknownRequestError(LedgerError, LookupError):
    """There is no request of that id."""


class KeyFileError(LedgerError, ValueError):
    """A key file is missing, too short, inside the ledger, or not the one that the ledger was made with."""


class PolicyError(LedgerError, ValueError):
    """The policy file is missing, or a field of it is unknown or out of range."""


class AuditError(LedgerError):
    """The audit log is not what was written; names the first row at fault."""


class MissingArtifactError(LedgerError, ArtifactError):
    """A request names an artifact whose files are gone or not the ones that were stored."""
