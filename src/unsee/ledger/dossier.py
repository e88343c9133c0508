"""What an export tells: everything the ledger knows of its requests, as plain values; page, PDF and JSON are views."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from unsee.ledger.board import Request
from unsee.ledger.capacity import certified
from unsee.ledger.log import Row
from unsee.ledger.states import STEPS
from unsee.ledger.store import Ledger

SCHEMA = 2
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
}  # fmt: skip
_ENDS = {"revoked": "taken back", "expired": "closed"}


def dossier(ledger: Ledger, requests: Sequence[Request], remarks: Sequence[str]) -> dict[str, Any]:
    """Everything about some requests of a ledger; JSON values, no personal data.

    Args:
        ledger: open.
        requests: those to be told of.
        remarks: what an examination of the ledger, done just now, has found.
    """
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
        "thresholds": policy.verification.model_dump() | {"digest": policy.verification.digest},
        "zone": policy.deadlines.zone,
        "is_not": IS_NOT,
        "it_is": IS,
        "untested": policy.answer.untested,
        "requests": [_request(ledger, request) for request in requests],
    }


def _request(ledger: Ledger, request: Request) -> dict[str, Any]:
    history = ledger.history(request.id)
    held = next((r.said for r in reversed(history) if r.step == "fit"), None)
    verification = next((r for r in reversed(history) if r.step in ("verify", "fail")), None)
    punctual = request.punctual(ledger.today)
    return request.as_json() | {
        "headline": _headline(request, punctual),
        "punctual": punctual,
        "answer": PUNCTUAL[punctual],
        "ground": next((r.said["text"] for r in reversed(history) if r.step == "deny"), "") if request.denied else "",
        "destroyed": next((r.at[:10] for r in history if "destroyed" in r.said), ""),
        "images": next((r.said.get("images", 0) for r in history), 0),
        "eraser": held and {n: held[n] for n in ("content_id", "model", "about", "files")},
        "verification": verification and _verification(verification, request),
        "history": [_step(row) for row in history],
    }


def _headline(request: Request, punctual: str) -> str:
    what = {
        "request": "The model is made to unsee the person: the request is in force",
        "complaint": "A third party complained",
    }[request.kind]
    if request.kind == "request" and not request.in_force:
        what = "The request was denied" if request.denied else "The request is not in force"
    if request.kind == "complaint" and request.state in ("resolved", "answered"):
        what = "The complaint was not upheld" if request.denied else "The complaint was upheld and the cause removed"
    if request.ended:
        what += f"; it was {_ENDS[request.state]} on {_day(request.changed)}"
    elif request.state == "appealed":
        what += "; the requester has appealed"
    answered = f" (on {_day(request.answered)}, {request.how})" if request.answered else ""
    extended = ", extended once" if request.extended else ""
    due = f"Received {_day(request.received)}, due {_day(request.due)}{extended}"
    return f"{what}. {due}: {PUNCTUAL[punctual]}{answered}."


def _verification(row: Row, request: Request) -> dict[str, Any]:
    said = row.said
    order = ("fail", "untested", "pass")
    return {
        "at": row.at,
        "passed": said["passed"],
        "current": said["content_id"] in (request.holding, request.in_force),
        "beside": said["beside"],
        "panel": said["panel"],
        "findings": sorted(said["findings"], key=lambda finding: order.index(finding["verdict"])),
        "measured": said["measured"],
    }


def _step(row: Row) -> dict[str, Any]:
    said = row.said
    words = [_SAID.get(row.step, row.step)]
    if row.step == "inquire":
        words = [f"{'proof of identity' if said['for'] == 'identity' else 'further information'} was requested"]
    for name, text in (("text", "{}"), ("how", "how: {}"), ("about", "caused by request {}"), ("until", "until {}")):
        if isinstance(said.get(name), str) and said[name]:
            words.append(text.format(said[name]))
    if row.step in ("extend", "supply", "appeal"):
        words.append(f"now due {_day(said['due'])}")
    if said.get("destroyed"):
        words.append("the personal data held were destroyed")
    late = row.clock[:10] != row.at[:10]
    return {
        "row": row.seq,
        "at": row.at,
        "day": _day(row.at) + (f" (clock: {_day(row.clock)})" if late else ""),
        "step": row.step,
        "state": row.state,
        "what": "; ".join(words),
        "who": row.who,
        "why": row.why,
        "rests_on": row.rests_on,
        "hash": row.hash,
        "details": said,
    }


def _day(text: str) -> str:
    day = date.fromisoformat(text[:10])
    return f"{day.day} {day:%B %Y}"
