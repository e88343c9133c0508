"""What an export tells: everything the ledger knows of its requests, as plain values; page, PDF and JSON are views."""

from collections.abc import Sequence
from datetime import date
from importlib.resources import files
from typing import Any

from unsee.ledger.capacity import certified
from unsee.ledger.log import Row
from unsee.ledger.request import Request
from unsee.ledger.states import STEPS, State
from unsee.ledger.store import Ledger

SCHEMA = 4
PUNCTUAL = {
    "in time": "answered in time",
    "late": "answered late",
    "open": "not answered yet; the deadline has not passed",
    "overdue": "not answered, and the deadline has passed",
    "not answered": "closed without an answer",
}
_SAID = {step.name: step.means for step in reversed(STEPS)} | {
    "restored": "the lost file of the eraser was put back",
    "created": "the ledger was begun",
    "exported": "this record was exported",
}
_WORDS = {
    "wanted": "{} was requested", "ground": "{}", "how": "how: {}", "told": "the requester was told: {}",
    "about": "caused by request {}", "until": "until {}", "due": "now due {}",
}  # fmt: skip
"""How the log's changes are told, in this order."""


def limits() -> list[str]:
    """What erasing is and is not, in paragraphs."""
    return files("unsee.ledger").joinpath("templates", "limits.txt").read_text(encoding="utf-8").strip().split("\n\n")


def dossier(ledger: Ledger, requests: Sequence[Request], remarks: Sequence[str]) -> dict[str, Any]:
    """Everything about some requests, and what an examination done just now has found; JSON, no personal data."""
    policy, active, rows = ledger.policy, ledger.active(), ledger.history()
    return {
        "schema": SCHEMA,
        "made": ledger.today.isoformat(),
        "ledger": ledger.id,
        "public_key": ledger.public_key,
        "log": {"rows": active.row.seq, "head": active.row.hash, "remarks": list(remarks)},
        "active_set": {
            "digest": active.digest,
            "requests": len(active.requests),
            "certified": certified(ledger, active),
            "models": sorted({(a.model_id, a.model_digest) for a in active.requests.values()}),
            "code": active.code,
        },
        "thresholds": policy.verification.as_json() | {"digest": policy.verification.digest},
        "zone": policy.deadlines.zone,
        "sender": policy.answer.sender,
        "limits": limits(),
        "untested": policy.answer.untested,
        "requests": [told(one, [row for row in rows if row.record == one.id], ledger.today) for one in requests],
    }


def told(one: Request, history: Sequence[Row], today: date) -> dict[str, Any]:
    """One request, with what its rows say: what was fitted and found last, and every step in words."""
    eraser, verification = (
        next(((row, found) for row in reversed(history) if (found := row.changes.get(name))), None)
        for name in ("held", "verification")
    )
    appeals = [row.seq for row in history if row.step == "appeal"]
    punctual = one.punctual(today)
    return one.as_json() | {
        "headline": _headline(one, punctual),
        "status": one.status,
        "punctual": punctual,
        "answer": PUNCTUAL[punctual],
        "eraser": eraser and eraser[1],
        "verification": verification and verification[1] | {
            "at": verification[0].at, "passed": verification[0].step == "verify",
            "current": verification[1]["content_id"] in one.artifacts,
        },
        "history": [
            row.model_dump() | {"day": _day(row.at[:10]), "what": _what(row, any(seq < row.seq for seq in appeals))}
            for row in history
        ],
    }  # fmt: skip


def _headline(one: Request, punctual: str) -> str:
    if one.kind == "request":
        what = "The request was denied" if one.denied else "The request is not in force"
        what = "The model is made to unsee the person: the request is in force" if one.in_force else what
    elif one.state in (State.RESOLVED, State.ANSWERED, State.EXPIRED):
        what = "The complaint was not upheld" if one.denied else "The complaint was upheld and the cause removed"
    else:
        what = "A third party complained"
    if one.ended:
        what += f"; it was {'taken back' if one.state == State.REVOKED else 'closed'} on {_day(one.ended)}"
    elif one.state == State.APPEALED:
        what += "; the requester has appealed"
    answered = f" (on {_day(one.answered)}, {one.how})" if one.answered else ""
    due = f"Received {_day(one.received)}, due {_day(one.due)}{', extended once' if one.extended else ''}"
    return f"{what}. {due}: {PUNCTUAL[punctual]}{answered}."


def _what(row: Row, appealed: bool) -> str:
    said = row.changes
    words = [_SAID.get(row.step, row.step)]
    if row.step == "accept":
        words = [f"the {'appeal' if appealed else 'request'} is granted"]
    if row.step == "fail":
        words += [f"{f['check']}: {f['text']}" for f in said["verification"]["findings"] if f["verdict"] == "fail"]
    for name, text in _WORDS.items():
        if said.get(name) and row.step not in ("add", "complain"):
            words.append(text.format(_day(said[name]) if name in ("until", "due") else said[name]))
    if said.get("ended"):
        words.append("the personal data held were destroyed")
    return "; ".join(words)


def _day(day: date | str) -> str:
    day = date.fromisoformat(day) if isinstance(day, str) else day
    return f"{day.day} {day:%B %Y}"
