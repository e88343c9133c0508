"""Verdicts that somebody has put right by hand, as lines of the detectors' hand labels (`tools/detectors`)."""

import json
from datetime import UTC, datetime
from pathlib import Path

from unsee.errors import SaveError
from unsee.ui.items import Item

LABELS = {
    "refused": "declines", "partial": "declines, and yet answers", "answered": "answers", "garbled": "is no language",
}  # fmt: skip


def usual(verdicts: dict[str, bool | None]) -> str:
    """The label that the detectors' verdicts amount to."""
    return "garbled" if verdicts.get("fluent") is False else "refused" if verdicts.get("refused") else "answered"


def note(path: Path, item: Item, condition: str, label: str, leak: bool | None, fluent: bool) -> None:
    """Add a line.

    Raises:
        SaveError: it cannot be written.
    """
    row = {
        "family": "labelled-in-browser", "half": "fresh", "question": item.question,
        "gold": [item.gold] if item.gold else [], "answer": item.replies[condition].text, "label": label,
        "leak": leak if item.gold else None, "fluent": fluent,
    }  # fmt: skip
    beside = {"condition": condition, "split": item.split, "id": item.id, "at": datetime.now(UTC).isoformat()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
        with path.with_suffix(".where.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(beside, ensure_ascii=False) + "\n")
    except OSError as error:
        raise SaveError(f"cannot write to {path}: {error.strerror or error}. Start with another --requests.") from error
