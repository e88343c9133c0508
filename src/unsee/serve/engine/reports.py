"""What the engine says of each answer, on the side of whoever asked: it comes with the answer's own tokens.

A report stands for so many tokens. One that did not come, or that speaks of another number than has come, is an error
before anybody is handed those tokens.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, final

from unsee.errors import SteeringError


@final
@dataclass(eq=False)
class Told:
    """Of one request of the engine.

    Attributes:
        tokens: that have come.
        report: the last that came, if any.
    """

    tokens: int = 0
    report: Mapping[str, Any] | None = None


@final
class Asked:
    """All requests of one ticket; several answers to one prompt are a request each.

    Attributes:
        told: by the engine's id.
    """

    def __init__(self) -> None:
        self.told: dict[str, Told] = {}

    def reports(self) -> list[Mapping[str, Any]]:
        """Of every answer that has begun.

        Raises:
            SteeringError: tokens came without a report, or with one of another number of tokens.
        """
        begun = [told for told in self.told.values() if told.tokens]
        for told in begun:
            spoken = None if told.report is None else told.report["tokens"]
            if spoken != told.tokens:
                raise SteeringError(
                    f"the engine gave {told.tokens} token(s) of an answer and reported on {spoken or 'none'}. Nothing "
                    "is answered: hooks are missing, or the engine has lost its count."
                )
        return [told.report for told in begun if told.report is not None]


@final
class Reports:
    """Those of one client of an engine."""

    def __init__(self) -> None:
        self._asked: dict[str, Asked] = {}
        self._told: dict[str, Told] = {}

    @contextmanager
    def opened(self, ticket: str) -> Iterator[Asked]:
        """Take in what concerns a ticket, until the block ends."""
        asked = self._asked[ticket] = Asked()
        try:
            yield asked
        finally:
            del self._asked[ticket]
            for request in asked.told:
                del self._told[request]

    def expect(self, request: str, ticket: str) -> None:
        """The engine is about to be asked."""
        if ticket in self._asked:
            self._told[request] = self._asked[ticket].told[request] = Told()

    def take(self, request: str, tokens: int, report: Mapping[str, Any] | None) -> None:
        """So many more tokens have come, and a report with them."""
        told = self._told.get(request)
        if told is not None:  # else its client has gone
            told.tokens += tokens
            told.report = told.report if report is None else report
