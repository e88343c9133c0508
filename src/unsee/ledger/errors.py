"""What can go wrong with a ledger; each says what happened, what was got, what was expected and what to do next."""

from unsee.errors import ArtifactError, UnseeError


class LedgerError(UnseeError, RuntimeError):
    """Root of the ledger's errors; raised itself where a folder is no ledger or its file is damaged."""


class LedgerUnavailableError(LedgerError, OSError):
    """Locked, read-only, or the disk is full: what was acknowledged before is there, this was not done."""


class SchemaError(LedgerError):
    """The ledger was written by another edition of unsee, or the file is no ledger."""


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
    """A request names an artifact whose files are gone or not the ones that were stored."""
