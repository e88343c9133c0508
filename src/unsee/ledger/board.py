"""What the log adds up to: every request as it stands, read row by row."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, final

from unsee.ledger.errors import SchemaError, UnknownRequestError
from unsee.ledger.log import Row, require_chained
from unsee.ledger.request import Artifact, Request

EDITION = 6
"""Of the tables and of what rows mean; the first row names it."""


@final
@dataclass
class Board:
    """Everything as of one row of the log; rows that follow bring it up to date.

    Attributes:
        created: what the first row says of the ledger: its edition, id and public key.
    """

    last: Row | None = None
    created: dict[str, Any] = field(default_factory=dict)
    requests: dict[str, Request] = field(default_factory=dict)

    @property
    def newest(self) -> tuple[int, str]:
        """Number and hash of the newest row; (0, "") before the first."""
        return (self.last.seq, self.last.hash) if self.last else (0, "")

    @property
    def artifacts(self) -> dict[str, Artifact]:
        """Erasers that some request holds, by content id."""
        return {name: one for request in self.requests.values() for name, one in request.artifacts.items()}

    def follow(self, rows: Iterable[Row]) -> None:
        """Read further rows: each sets fields of its record.

        Raises:
            SchemaError: another edition of unsee wrote them.
            AuditError: they do not follow.
        """
        for row in rows:
            if self.last is None and row.said.get("edition") != EDITION:
                raise SchemaError(
                    f"the ledger is of edition {row.said.get('edition')}, expected {EDITION}: it was written by "
                    "another edition of unsee. Nothing was changed. Use the unsee that wrote it."
                )
            require_chained(row, *self.newest)
            self.created, self.last = (row.said if self.last is None else self.created), row
            if row.record is not None and (changes := row.said):
                before = self.requests.get(row.record)
                values: dict[str, Any] = {"id": row.record, **(dict(before) if before else {}), **changes}
                self.requests[row.record] = Request(**values)

    def find(self, prefix: str) -> Request:
        """The one request that the id, or the beginning of one, names.

        Raises:
            UnknownRequestError: none, or several.
        """
        if prefix in self.requests:
            return self.requests[prefix]
        found = [one for one in self.requests.values() if len(prefix) > 2 and one.id.startswith(prefix)]
        if len(found) == 1:
            return found[0]
        if found:
            raise UnknownRequestError(
                f"{prefix!r} is the beginning of {len(found)} ids: {', '.join(one.id for one in found[:5])}. Give more "
                "of it."
            )
        raise UnknownRequestError(
            f"this ledger has no request {prefix[:40]!r}, expected an id as r-0123456789abcdef, or c- for a complaint, "
            "or its beginning. 'unsee ledger list' shows them."
        )
