"""What the log adds up to: every request as it stands, and the artifacts, read row by row."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime
from typing import Any, final

from unsee.ledger.artifacts import Artifact
from unsee.ledger.errors import UnknownRequestError
from unsee.ledger.log import Row, require_chained
from unsee.ledger.states import ENDED, STATUS, Kind, State


@final
@dataclass(frozen=True)
class Request:
    """A request or a complaint as it stands.

    Attributes:
        id: random, means nothing; `r-` or `c-` and 16 hexadecimal digits.
        kind: whose path it takes.
        state: where the work stands.
        subject: keyed pseudonym of whom it is about.
        reference: keyed pseudonym of what the sender calls it.
        received: day of receipt; the deadline runs from it.
        due: last day on which an answer is in time.
        changed: when it last took a step.
        legal_basis: on what ground it was asked for.
        scope: what is to be unseen, and where.
        token: digest of the requester's token.
        asked: day since which identity or information is awaited; empty where it is not.
        waited: days that were spent waiting so.
        extended: why the deadline was moved; empty where it was not.
        denied: code of the ground; empty where it was not.
        holding: content id of the eraser that was fitted last.
        passed: digest of the thresholds under which that one was verified.
        beside: how many others were in force then.
        in_force: content id of the eraser that acts.
        until: day on which that is to be looked at again.
        answered: day on which the answer was sent; empty where it was not.
        how: by what way.
        about: of a complaint, the request that causes the harm.
        panel: complaints whose persons were asked about when it was verified last.
        activated: number of the row of the last activation.
        panelled: of a complaint, number of the row since when the panel holds it.
    """

    id: str
    kind: Kind
    state: State
    subject: str
    reference: str
    received: str
    due: str
    changed: str
    legal_basis: str = ""
    scope: str = ""
    token: str = ""
    asked: str = ""
    waited: int = 0
    extended: str = ""
    denied: str = ""
    holding: str | None = None
    passed: str | None = None
    beside: int | None = None
    in_force: str | None = None
    until: str = ""
    answered: str = ""
    how: str = ""
    about: str = ""
    panel: tuple[str, ...] = ()
    activated: int = 0
    panelled: int = 0

    @property
    def ended(self) -> bool:
        """Whether nothing can be done to it any more."""
        return self.state in ENDED

    @property
    def status(self) -> str:
        """OpenDSR's word for it."""
        return "cancelled" if self.answered and self.denied and not self.in_force else STATUS[self.state]

    def punctual(self, today: date) -> str:
        """Whether it was answered, in one of: in time, late, open, overdue, not answered. Only an answer answers."""
        if self.answered:
            return "in time" if self.answered <= self.due else "late"
        if self.ended:
            return "not answered"
        return "open" if today.isoformat() <= self.due else "overdue"

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {"status": self.status}


_Effect = Callable[[Request, Row, Mapping[str, Any]], dict[str, Any]]
_TAKEN_OFF = {"holding": None, "passed": None, "in_force": None, "asked": ""}
_EFFECTS: dict[str, _Effect] = {
    "inquire": lambda r, row, said: {"asked": said["day"]},
    "supply": lambda r, row, said: {"asked": "", "due": said["due"], "waited": said["waited"]},
    "accept": lambda r, row, said: {"denied": ""},
    "deny": lambda r, row, said: {"denied": said["ground"], "asked": ""},
    "extend": lambda r, row, said: {"due": said["due"], "extended": row.why},
    "fit": lambda r, row, said: {"holding": said["content_id"], "passed": None},
    "verify": lambda r, row, said: {"passed": said["policy"], "beside": said["beside"], "panel": tuple(said["panel"])},
    "fail": lambda r, row, said: {"passed": None},
    "activate": lambda r, row, said: {"in_force": r.holding, "until": said["until"], "activated": row.seq},
    "answer": lambda r, row, said: {"answered": said["day"], "how": said["how"]},
    "appeal": lambda r, row, said: {"answered": "", "how": "", "extended": "", "due": said["due"]},
    "revoke": lambda r, row, said: _TAKEN_OFF,
    "expire": lambda r, row, said: _TAKEN_OFF,
    "reproduce": lambda r, row, said: {"about": said["about"]},
    "panel": lambda r, row, said: {"panelled": row.seq},
}
"""What a step does to a request, beside its state and time. Steps that are not here do nothing else."""
_BIRTHS = ("add", "complain")


@final
@dataclass
class Board:
    """Everything as of one row of the log; rows that follow bring it up to date.

    Attributes:
        hash: of the newest row, or what the first one follows.
        last: the newest row.
        requests: by id, in order of receipt.
        artifacts: by content id, those whose files are kept.
        released: content id to when nothing held it any more.
        references: reference to id.
        holders: content id to the requests that hold it.
    """

    hash: str
    last: Row | None = None
    requests: dict[str, Request] = field(default_factory=dict)
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    released: dict[str, str] = field(default_factory=dict)
    references: dict[str, str] = field(default_factory=dict)
    holders: dict[str, set[str]] = field(default_factory=dict)

    @property
    def seq(self) -> int:
        """Number of the newest row."""
        return 0 if self.last is None else self.last.seq

    def follow(self, rows: Iterable[Row]) -> None:
        """Read further rows.

        Raises:
            AuditError: they do not follow.
        """
        for row in rows:
            require_chained(row, self.seq, self.hash)
            self._take(row)
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

    def _take(self, row: Row) -> None:
        said = row.said
        if row.step in _BIRTHS and row.record is not None:
            known = {name: said[name] for name in ("subject", "reference", "received", "due", "token")}
            kind: Kind = "request" if row.step == "add" else "complaint"
            more = {name: said.get(name, "") for name in ("legal_basis", "scope")}
            one = Request(id=row.record, kind=kind, state=State.RECEIVED, changed=row.at, **known, **more)
            self.requests[row.record] = one
            self.references.setdefault(one.reference, one.id)
        elif row.record is not None and row.step in _EFFECTS.keys() | {"refit", "resolve"}:
            before = self.requests[row.record]
            effect = _EFFECTS.get(row.step, lambda r, row, said: {})(before, row, said)
            after = replace(before, state=State(row.state), changed=row.at, **effect)
            self.requests[row.record] = after
            self._artifacts(before, after, row, said)
        for content_id in said.get("purged", ()):
            self.artifacts.pop(content_id, None)
            self.released.pop(content_id, None)

    def _artifacts(self, before: Request, after: Request, row: Row, said: Mapping[str, Any]) -> None:
        if row.step == "fit":
            self.artifacts[said["content_id"]] = Artifact(
                said["content_id"], said["model"]["id"], said["model"]["digest"], said["about"], said["files"]
            )
        for content_id in {before.holding, before.in_force, after.holding, after.in_force} - {None}:
            holders = self.holders.setdefault(str(content_id), set())
            if content_id in (after.holding, after.in_force):
                holders.add(after.id)
                self.released.pop(str(content_id), None)
                continue
            holders.discard(after.id)
            if not holders:
                self.released[str(content_id)] = row.at


def day_of(text: str) -> date:
    """The day of a stamp or of a date."""
    return datetime.fromisoformat(text).date()
