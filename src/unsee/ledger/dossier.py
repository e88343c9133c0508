"""What a data-protection officer is told: everything the ledger knows of its requests, as plain values.

JSON, page and PDF are three views of this one value.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from unsee.ledger.audit import AuditRow
from unsee.ledger.examination import Examination
from unsee.ledger.lifecycle import STATES, Request
from unsee.ledger.store import Ledger

SCHEMA = 1

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


def dossier(ledger: Ledger, requests: Sequence[Request], examination: Examination, made: str) -> dict[str, Any]:
    """Everything about some requests of a ledger; JSON values.

    Args:
        ledger: open.
        requests: those to be told of.
        examination: of the ledger, done just now.
        made: time of the export.
    """
    policy, active = ledger.policy, ledger.active()
    return {
        "schema": SCHEMA,
        "made": made,
        "ledger": ledger.id,
        "counts": {state: sum(r.state == state for r in requests) for state in STATES},
        "active_set": {
            "digest": active.digest,
            "requests": len(active.requests),
            "certified": policy.certified,
            "models": sorted({r.artifact.model_id for r in active.requests}),
            "code": active.code,
            "steering": dict(active.steering),
        },
        "log": {
            "rows": examination.rows,
            "head": examination.head,
            "failures": examination.failures,
            "remarks": [remark.text for remark in examination.remarks if remark.severity == "warn"],
            "signatures_checked": examination.signatures,
            "heads": [asdict(head) for head in ledger.heads()],
        },
        "policy": {
            "thresholds": asdict(policy.verification),
            "digest": policy.verification.digest,
            "artifact_days": policy.artifact_days,
        },
        "is_not": list(IS_NOT),
        "it_is": list(IS),
        "untested": list(policy.untested),
        "requests": [_request(ledger, request, made) for request in requests],
    }


def _request(ledger: Ledger, request: Request, made: str) -> dict[str, Any]:
    history = ledger.history(request.id)
    decided = next((row.at for row in history if row.state in ("active", "revoked")), None)
    artifact = None if request.content_id is None else ledger.artifact(request.content_id)
    answered = "open" if decided is None else "in time" if decided <= request.due else "late"
    if decided is None and made > request.due:
        answered = "overdue"
    verification = next((row for row in reversed(history) if row.event.startswith("verif")), None)
    return {
        "id": request.id,
        "subject": request.subject,
        "state": request.state,
        "legal_basis": request.legal_basis,
        "scope": request.scope,
        "received": request.received,
        "due": request.due,
        "decided": decided,
        "answered": answered,
        "artifact": None
        if artifact is None
        else {
            "content_id": artifact.content_id,
            "model": {"id": artifact.model_id, "digest": artifact.model_digest},
            "about": dict(artifact.about),
            "files": dict(artifact.files),
            "released": artifact.released,
            "purged": artifact.purged is not None,
        },
        "verification": None if verification is None else _verification(verification, request),
        "history": [_step(row) for row in history],
    }


def _verification(row: AuditRow, request: Request) -> dict[str, Any]:
    said = row.said
    return {
        "at": row.at,
        "row": row.seq,
        "passed": said["passed"],
        "current": said["content_id"] == request.content_id,
        "policy": said["policy"],
        "findings": sorted(said["findings"], key=lambda f: ("fail", "untested", "pass").index(f["verdict"])),
        "failed": [f for f in said["findings"] if f["verdict"] == "fail"],
        "untested": [f for f in said["findings"] if f["verdict"] == "untested"],
        "effect": effect(said["measured"]),
        "measured": said["measured"],
    }


def effect(measured: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rates that matter, before and after, with number and interval where there is one.

    Each has `what`, `before`, `after` (shares or None), `n` and `interval` (of `after`, 95 %).
    """
    rows = {(row["condition"], row["split"]): row for row in measured["context"].get("rows", ())}

    def line(what: str, split: str, rate: str) -> dict[str, Any]:
        before, after = rows.get(("base", split)), rows.get(("erased", split))
        return {
            "what": what,
            "before": None if before is None else before[rate],
            "after": None if after is None else after[rate],
            "n": 0 if after is None else after["n"],
            "interval": None if after is None else after["ci95"][rate],
        }

    subject = measured["questions"]
    lines = [
        line("Held-out questions about the subject that are refused", "forget_heldout", "refusal"),
        line("Held-out questions about the subject that give the fact away", "forget_heldout", "leak"),
        line("Neighbours: answers that are right", "neighbours", "accuracy"),
        line("Neighbours: questions that are refused", "neighbours", "refusal"),
        {
            "what": "Neighbours: refused although the model answered before",
            "before": None,
            "after": measured["wrong_refusal"],
            "n": measured["neighbour_questions"],
            "interval": None,
        },
        {
            "what": "The neighbour that fares worst: the same",
            "before": None,
            "after": measured["worst_neighbour"],
            "n": measured["neighbours"],
            "interval": None,
        },
        line("Still to be answered about the subject: right", "visible", "accuracy"),
        {
            "what": "A model that never knew the subject: hits by chance",
            "before": None,
            "after": measured["never_knew_leak"],
            "n": subject if measured["never_knew_leak"] is not None else 0,
            "interval": None,
        },
    ]
    return [one for one in lines if one["after"] is not None]


def _step(row: AuditRow) -> dict[str, Any]:
    return {
        "row": row.seq,
        "at": row.at,
        "clock": row.clock,
        "event": row.event,
        "state": row.state,
        "who": row.who,
        "why": row.why,
        "legal_basis": row.legal_basis,
        "scope": row.scope,
        "hash": row.hash,
    }


def share(value: float | None) -> str:
    """A share in percent, for people."""
    return "not asked" if value is None else f"{100 * value:.1f} %"
