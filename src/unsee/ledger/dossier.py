"""What an export tells: everything the ledger knows of its requests, as plain values; page, PDF and JSON are views."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from unsee.ledger.capacity import certified
from unsee.ledger.log import Row
from unsee.ledger.request import Request
from unsee.ledger.states import STEPS, State
from unsee.ledger.store import Ledger

SCHEMA = 3
IS_NOT = (
    "The weights still contain what they contained. Erasing here does not delete training data, does not make a model "
    "anonymous, and does not bind anyone who holds the weights or an unhooked copy.",
    "It does not cover another back-end, a fine-tune or a merge of the model, nor retrieval stores, logs, caches and "
    "backups, nor languages and attacks that were not tested. The figures are of a sample of questions; they are no "
    "guarantee.",
)
IS = (
    "It reduces the rate at which this deployment answers, measured by a dated, repeatable test, revocably and "
    "attributably. It is quick: a bridge until the model is trained again, and not a replacement for that.",
    "Whether it answers a request, together with what was done about training data, retrieval stores, logs and "
    "backups, is for the controller to decide. This says what was done and measured; it is no legal advice.",
)
PUNCTUAL = {
    "in time": "answered in time",
    "late": "answered late",
    "open": "not answered yet; the deadline has not passed",
    "overdue": "not answered, and the deadline has passed",
    "not answered": "closed without an answer",
}
_SAID = {step.name: step.means for step in reversed(STEPS)} | {
    "restored": "lost files of the eraser were put back",
    "created": "the ledger was begun",
    "exported": "this record was exported",
    "resolve": "the request was fitted and switched on again, and the person is answered about",
}
_WANTED = {"identity": "proof of identity was requested", "information": "further information was requested"}


def dossier(ledger: Ledger, requests: Sequence[Request], remarks: Sequence[str]) -> dict[str, Any]:
    """Everything about some requests, and what an examination done just now has found; JSON, no personal data."""
    policy, active, head = ledger.policy, ledger.active(), ledger.head()
    return {
        "schema": SCHEMA,
        "made": ledger.today.isoformat(),
        "ledger": ledger.id,
        "public_key": ledger.public_key,
        "log": {"rows": head.seq, "head": head.hash, "remarks": list(remarks)},
        "active_set": {
            "digest": active.digest,
            "requests": len(active.requests),
            "certified": certified(ledger, active),
            "models": sorted({(r.artifact.model_id, r.artifact.model_digest) for r in active.requests}),
            "code": active.code,
        },
        "thresholds": policy.verification.as_json() | {"digest": policy.verification.digest},
        "zone": policy.deadlines.zone,
        "sender": policy.answer.sender,
        "is_not": IS_NOT,
        "it_is": IS,
        "untested": policy.answer.untested,
        "requests": [_request(ledger, request) for request in requests],
    }


def _request(ledger: Ledger, request: Request) -> dict[str, Any]:
    history, punctual = ledger.history(request.id), request.punctual(ledger.today)
    eraser, verification = _latest(history, "held"), _latest(history, "verification")
    if verification is not None:
        content_id = verification[1]["content_id"]
        verification[1].update(at=verification[0].at, passed=verification[0].step == "verify")
        verification[1]["current"] = content_id in request.artifacts
    return request.as_json() | {
        "headline": _headline(request, punctual),
        "status": request.status,
        "punctual": punctual,
        "answer": PUNCTUAL[punctual],
        "eraser": eraser and eraser[1],
        "verification": verification and verification[1],
        "history": _steps(history),
    }


def _latest(history: Sequence[Row], name: str) -> tuple[Row, dict[str, Any]] | None:
    """The last value that a field had, and the row that set it."""
    return next(((row, said[name]) for row in reversed(history) if (said := row.said).get(name)), None)


def _headline(one: Request, punctual: str) -> str:
    if one.kind == "request":
        what = "The model is made to unsee the person: the request is in force"
        if not one.in_force:
            what = "The request was denied" if one.denied else "The request is not in force"
    elif one.state not in (State.RESOLVED, State.ANSWERED, State.EXPIRED):
        what = "A third party complained"
    else:
        what = "The complaint was not upheld" if one.denied else "The complaint was upheld and the cause removed"
    if one.ended:
        what += f"; it was {'taken back' if one.state == State.REVOKED else 'closed'} on {_day(one.ended)}"
    elif one.state == State.APPEALED:
        what += "; the requester has appealed"
    answered = f" (on {_day(one.answered)}, {one.how})" if one.answered else ""
    due = f"Received {_day(one.received)}, due {_day(one.due)}{', extended once' if one.extended else ''}"
    return f"{what}. {due}: {PUNCTUAL[punctual]}{answered}."


def _steps(history: Sequence[Row]) -> list[dict[str, Any]]:
    appealed = [row.seq for row in history if row.step == "appeal"]
    return [_step(row, "appeal" if any(seq < row.seq for seq in appealed) else "request") for row in history]


def _step(row: Row, granted: str) -> dict[str, Any]:
    said = row.said
    words = [_WANTED[said["wanted"]] if said.get("wanted") else _SAID.get(row.step, row.step)]
    if row.step == "accept":
        words = [f"the {granted} is granted"]
    if row.step == "fail":
        words += [f"{f['check']}: {f['text']}" for f in said["verification"]["findings"] if f["verdict"] == "fail"]
    for name, text in (
        ("ground", "{}"),
        ("how", "how: {}"),
        ("told", "the requester was told: {}"),
        ("about", "caused by request {}"),
    ):
        if said.get(name):
            words.append(text.format(said[name]))
    for name, text in (("until", "until {}"), ("due", "now due {}")):
        if said.get(name) and row.step not in ("add", "complain"):
            words.append(text.format(_day(date.fromisoformat(said[name]))))
    if said.get("ended"):
        words.append("the personal data held were destroyed")
    return {
        "row": row.seq,
        "at": row.at,
        "day": _day(date.fromisoformat(row.at[:10])),
        "step": row.step,
        "what": "; ".join(words),
        "who": row.who,
        "why": row.why,
        "rests_on": row.rests_on,
        "hash": row.hash,
        "changes": said,
    }


def _day(day: date) -> str:
    return f"{day.day} {day:%B %Y}"
