"""Every error a user can meet: one root, each leaf also the standard type it replaces.

A message says what happened, what was got, what was expected and what to do next; the command
line prints it without a traceback and exits with code 2.

Adding one: subclass `UnseeError` and the standard exception that a caller would already catch.
"""


class UnseeError(Exception):
    """Root of the errors that a user can fix."""


class OptionError(UnseeError, ValueError):
    """An option has a value that is not one of the legal ones."""


class DataError(UnseeError, ValueError):
    """A data set is empty, malformed or contradicts itself."""


class ImageError(DataError):
    """An image cannot be read."""


class ModelError(UnseeError, ValueError):
    """A checkpoint is missing, damaged, or of a family that is not supported."""


class ArtifactError(UnseeError, ValueError):
    """A saved profile or eraser is damaged or was written by something else."""


class MismatchError(ArtifactError):
    """A sound artifact was made for another model."""


class SaveError(UnseeError, OSError):
    """An artifact could not be written; what was there before is untouched."""


class SteeringError(UnseeError, RuntimeError):
    """Steering did not happen exactly as its policy requires, so no answer is given."""


class DirectionError(UnseeError, ValueError):
    """No usable erasure direction can be taken from these prompts on this model."""


class CalibrationError(UnseeError, ValueError):
    """Gates or strength cannot be calibrated on this data."""


class UnknownSubjectError(UnseeError, LookupError):
    """A model knows nothing of whom or what it is to forget."""
