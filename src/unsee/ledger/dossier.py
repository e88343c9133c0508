"""What an export tells: everything the ledger knows of its requests, as plain values; page, PDF and JSON are views."""

from collections.abc import Sequence
from datetime import date
from importlib.resources import files
from typing import Any

from jinja2 import Environment, Template

from unsee.ledger.capacity import certified
from unsee.ledger.log import Row
from unsee.ledger.request import Request
from unsee.ledger.states import STEPS
from unsee.ledger.store import Ledger

SCHEMA = 4
_MEANS = {step.name: step.means for step in reversed(STEPS)}


def day(text: str) -> str:
    """As 4 May 2026."""
    found = date.fromisoformat(text[:10])
    return f"{found.day} {found:%B %Y}"


def template(name: str, **options: Any) -> Template:
    """A template of the package."""
    place = Environment(trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, **options)
    place.filters["day"] = day
    return place.from_string(text(name))


def text(name: str) -> str:
    """A file of the folder of templates."""
    return files("unsee.ledger").joinpath("templates", name).read_text(encoding="utf-8")


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
        "limits": text("limits.txt").strip().split("\n\n"),
        "untested": policy.answer.untested,
        "requests": [told(one, [row for row in rows if row.record == one.id], ledger.today) for one in requests],
    }


def told(one: Request, history: Sequence[Row], today: date) -> dict[str, Any]:
    """One request, with what its rows say: what was fitted and found last, and every step in words."""
    words: Any = template("words.j2").module
    said = one.as_json() | {"status": one.status, "punctual": one.punctual(today), "eraser": None, "verification": None}
    steps, appealed = list[dict[str, Any]](), False
    for row in history:
        appealed |= row.step == "appeal"
        step = row.model_dump()
        steps.append(step | {"day": day(row.at), "what": words.what(step, _MEANS, appealed)})
        said["eraser"] = row.changes.get("held") or said["eraser"]
        if found := row.changes.get("verification"):
            beside = {"at": row.at, "passed": row.step == "verify", "current": found["content_id"] in one.artifacts}
            said["verification"] = found | beside
    answer = words.answers[said["punctual"]]
    return said | {"headline": words.headline(said), "answer": answer, "history": steps}
