"""What can go wrong with a server; each says what happened, what was got, what was expected and what to do next."""

from unsee.errors import UnseeError


class EngineError(UnseeError, RuntimeError):
    """The engine is missing, of an untried version, or set up so that steering could not be guaranteed."""


class CanaryError(EngineError):
    """The engine's answers are not those of the library, so it must not serve."""


class RefusedError(UnseeError, ValueError):
    """A client asked for something that it may not have; answered with 4xx.

    Attributes:
        status: of HTTP.
        code: short name for programs.
    """

    def __init__(self, message: str, code: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.status = code, status
