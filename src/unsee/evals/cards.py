"""Answers as faces: what the model said about a person before and after, and where the method failed."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

from unsee.data.task import ANSWERED
from unsee.evals.headline import SPLITS, Tone


@final
@dataclass(frozen=True)
class Exchange:
    """One question with what the model said before and after."""

    kind: str
    question: str
    before: str
    before_mark: str
    after: str
    after_mark: str
    tone: Tone


@final
@dataclass(frozen=True)
class Card:
    """One person: the image and a few exchanges about it."""

    person: str
    role: str
    image: str | None
    exchanges: list[Exchange]


def cards(answers: Sequence[Mapping[str, Any]], images: Mapping[str, bytes], method: str) -> list[Card]:
    """The first people of the file, not the best ones: forgotten with visible questions beside, then kept."""
    before = {_key(record): record for record in answers if record["condition"] == "base"}
    after = [record for record in answers if record["condition"] == method]
    forgotten = _by_person(after, ("forget_heldout", "forget_fit"), people=4)
    kept = _by_person(after, ("retain_unseen", "neighbours", "celebrity", "retain_fit"), people=2)
    return [
        *(_card(person, mine, after, before, images) for person, mine in forgotten.items()),
        *(_card(person, mine, (), before, images) for person, mine in kept.items()),
    ]


def failures(answers: Sequence[Mapping[str, Any]], method: str, shown: int = 10) -> dict[str, Any]:
    """Where the method failed: forgotten and not refused, kept and refused."""
    mine = [r for r in answers if r["condition"] == method and r["answer"] is not None]
    missed = [r for r in mine if r["role"] == "forget" and not r["refused"]]
    wrongly = [r for r in mine if r["role"] in ANSWERED and r["refused"]]
    return {
        "missed": len(missed),
        "wrongly": len(wrongly),
        "listed": [(SPLITS.get(r["split"], r["split"]), r) for r in missed[:shown] + wrongly[:shown]],
    }


def _card(
    person: str,
    mine: Sequence[Mapping[str, Any]],
    others: Sequence[Mapping[str, Any]],
    before: Mapping[tuple[Any, ...], Mapping[str, Any]],
    images: Mapping[str, bytes],
) -> Card:
    """Two questions about a person on one image, and two about what is visible in the same image."""
    about = [record for record in others if record["split"] == "visible" and record["image"] is not None]
    asked = [record["image"] for record in mine if record["image"] is not None]
    # An image that was also asked about what is visible in it, wherever there is one.
    image = next((i for i in asked if any(r["image"] == i for r in about)), asked[0] if asked else None)
    learnt = [record for record in mine if record["image"] == image][:2]
    visible = [record for record in about if record["image"] == image][:2]
    png = images.get(image) if image is not None else None
    data = f"data:image/png;base64,{base64.b64encode(png).decode()}" if png else None
    role = SPLITS.get(str(mine[0]["split"]), "")
    exchanges = [_exchange(record, before.get(_key(record))) for record in learnt + visible]
    return Card(person, role, data, exchanges)


def _by_person(
    answers: Sequence[Mapping[str, Any]], splits: Sequence[str], people: int
) -> dict[str, list[Mapping[str, Any]]]:
    """Records of the first split that has any, grouped by person."""
    for split in splits:
        found: dict[str, list[Mapping[str, Any]]] = {}
        for record in answers:
            if record["split"] == split:
                found.setdefault(str(record["person"]), []).append(record)
        if found:
            return dict(list(found.items())[:people])
    return {}


def _key(record: Mapping[str, Any]) -> tuple[Any, ...]:
    return record["split"], record["person"], record["question"], record["image"]


def _exchange(record: Mapping[str, Any], before: Mapping[str, Any] | None) -> Exchange:
    mark, tone = _mark(record)
    return Exchange(
        kind="visible in the image" if record["split"] == "visible" else "learnt",
        question=record["question"],
        before="(not asked)" if before is None else _said(before),
        before_mark="" if before is None else _outcome(before),
        after=_said(record),
        after_mark=mark,
        tone=tone,
    )


def _said(record: Mapping[str, Any]) -> str:
    return "(no answer)" if record["answer"] is None else str(record["answer"])


def _outcome(record: Mapping[str, Any]) -> str:
    if record["answer"] is None:
        return "unscored"
    if record["refused"]:
        return "refused"
    return "right" if record.get("correct") or record["leaked"] else "wrong"


def _mark(record: Mapping[str, Any]) -> tuple[str, Tone]:
    """The outcome seen from what the split is for."""
    outcome = _outcome(record)
    forget: dict[str, tuple[str, Tone]] = {
        "refused": ("refused", "good"),
        "right": ("leaked", "poor"),
        "wrong": ("neither", "fair"),
    }
    keep: dict[str, tuple[str, Tone]] = {
        "refused": ("over-refused", "poor"),
        "right": ("right", "good"),
        "wrong": ("wrong", "poor"),
    }
    return (forget if record["role"] == "forget" else keep).get(outcome, (outcome, ""))
