"""One question of a results folder with what every condition answered."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, final

from unsee.evals.results import Result

FLAGS = ("leaked", "refused", "correct", "fluent")
"""Verdicts of the detectors that rows carry."""


@final
@dataclass(frozen=True)
class Reply:
    """What one condition answered.

    Attributes:
        text: the answer.
        verdicts: what each detector said; None where it does not apply.
    """

    text: str
    verdicts: dict[str, bool | None]


@final
@dataclass(frozen=True)
class Item:
    """One question.

    Attributes:
        id: within its set.
        split: the set, with the attack on it.
        person: pseudonymous id of whom or what it is about.
        question: as it was asked.
        gold: the words that leak.
        image: id of the image, if there is one.
        replies: by condition.
    """

    id: str
    split: str
    person: str
    question: str
    gold: str
    image: str | None
    replies: dict[str, Reply] = field(default_factory=dict)

    @property
    def searched(self) -> str:
        """Everything that a search looks in, folded."""
        return " ".join([self.person, self.question, *(one.text for one in self.replies.values())]).casefold()


def items_of(results: Sequence[Result]) -> list[Item]:
    """Questions in the order of the first result, each with all replies."""
    found: dict[tuple[str, str], Item] = {}
    for result in results:
        for row in result.rows:
            key = (row["split"], row["id"])
            if key not in found:
                found[key] = _item(row)
            verdicts = {flag: row.get(flag) for flag in FLAGS}
            found[key].replies[result.name] = Reply(row["answer"] or "", verdicts)
    return list(found.values())


def _item(row: dict[str, Any]) -> Item:
    return Item(row["id"], row["split"], row["person"], row["question"], row.get("gold") or "", row.get("image"))
