"""What the log adds up to: every request as it stands, read row by row."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, final

from unsee.ledger.errors import UnknownRequestError
from unsee.ledger.log import Row, require_chained
from unsee.ledger.request import Artifact, Request


@final
@dataclass
class Board:
    """Everything as of one row of the log; rows that follow bring it up to date.

    Attributes:
        hash: of the newest row, or what the first one follows.
        last: the newest row.
        requests: by id, in order of receipt.
    """

    hash: str
    last: Row | None = None
    requests: dict[str, Request] = field(default_factory=dict)

    @property
    def seq(self) -> int:
        """Number of the newest row."""
        return 0 if self.last is None else self.last.seq

    @property
    def artifacts(self) -> dict[str, Artifact]:
        """Erasers that some request holds, by content id."""
        return {name: one for request in self.requests.values() for name, one in request.artifacts.items()}

    def follow(self, rows: Iterable[Row]) -> None:
        """Read further rows: each sets fields of its record.

        Raises:
            AuditError: they do not follow.
        """
        for row in rows:
            require_chained(row, self.seq, self.hash)
            changes = row.said
            if row.record is not None and changes:
                before = self.requests.get(row.record)
                values: dict[str, Any] = {"id": row.record, **(dict(before) if before else {}), **changes}
                self.requests[row.record] = Request(**values)
            self.last, self.hash = row, row.hash

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
