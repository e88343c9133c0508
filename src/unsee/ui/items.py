"""Results as people look through them: folders that can stand side by side, and each question with all replies."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, final

from unsee.evals.results import Result, read_folder, require_comparable
from unsee.evals.store import ANSWERS, PARTS, SETTINGS, ResultsError, SettingsError

DEEP = 4
"""Levels of folders that are looked through."""
FLAGS = ("leaked", "refused", "correct", "fluent")
"""Verdicts of the detectors that rows carry."""


@final
@dataclass(frozen=True)
class Reply:
    """What one condition answered.

    Attributes:
        text: the answer; of an attack, the one that gives most away.
        verdicts: what each detector said; None where it does not apply.
        reading: score less threshold of the gate that is furthest open; None where nobody read it.
        tries: every answer that an attack got, and whether it leaked; empty for a plain question.
        transcript: what an attack said and was answered, as role and text; empty for a plain question.
        reason: why there is no answer; empty where there is one.
    """

    text: str
    verdicts: dict[str, bool | None]
    reading: float | None = None
    tries: tuple[tuple[str, bool | None], ...] = ()
    transcript: tuple[tuple[str, str], ...] = ()
    reason: str = ""

    @property
    def said(self) -> str:
        """The verdicts in words."""
        return ", ".join(flag for flag in FLAGS if self.verdicts.get(flag)) or "nothing found"


@final
@dataclass(frozen=True)
class Item:
    """One question.

    Attributes:
        id: within its set.
        split: the set, with the attack on it.
        person: pseudonymous id of whom or what it is about.
        form: how it is asked: generation, classification, cloze.
        question: as it was asked.
        gold: the words that leak.
        image: id of the image, if there is one.
        replies: by condition.
    """

    id: str
    split: str
    person: str
    form: str
    question: str
    gold: str
    image: str | None
    replies: dict[str, Reply] = field(default_factory=dict)

    @property
    def searched(self) -> str:
        """Everything that a search looks in, folded."""
        return " ".join([self.person, self.question, *(one.text for one in self.replies.values())]).casefold()

    def has(self, verdict: str) -> bool:
        """Whether some reply has it."""
        return any(reply.verdicts.get(verdict) for reply in self.replies.values())


def found_folders(places: Sequence[Path]) -> dict[str, str]:
    """Results folders below these, newest first: path to what it is called; those that still run say so."""
    found = {
        path.parent
        for place in places
        for depth in range(DEEP)
        for path in place.glob("/".join(["*"] * depth + [SETTINGS]))
        if (path.parent / ANSWERS).is_file() or (path.parent / PARTS).is_dir()
    }
    ordered = sorted(found, key=lambda p: -(p / SETTINGS).stat().st_mtime)
    return {str(one): f"{one}{'' if (one / ANSWERS).is_file() else ' (not finished)'}" for one in ordered}


def side_by_side(folders: Sequence[Path]) -> tuple[list[list[Result]], list[str]]:
    """Conditions in groups of those that were asked the same, and why folders are left out.

    Where several folders have a condition of one name, each is called after its folder too.
    """
    found: list[tuple[Path, Result]] = []
    problems: list[str] = []
    for folder in folders:
        try:
            found += [(folder, one) for one in read_folder(str(folder))]
        except ResultsError as error:
            problems.append(str(error))
    names = [one.name for _, one in found]
    groups: list[list[Result]] = []
    for folder, one in found:
        one = replace(one, name=f"{one.name} ({folder.name})") if names.count(one.name) > 1 else one
        for group in groups:
            try:
                require_comparable(group[0], one)
            except SettingsError:
                continue
            if one.name not in [other.name for other in group]:
                group.append(one)
                break
        else:
            groups.append([one])
    return groups, problems


def items_of(results: Sequence[Result]) -> list[Item]:
    """Questions in the order of the first result, each with all replies."""
    found: dict[tuple[str, str], Item] = {}
    for result in results:
        for row in result.rows:
            key = (row["split"], row["id"])
            if key not in found:
                found[key] = Item(
                    row["id"], row["split"], row["person"], row.get("form") or "", row.get("question") or "",
                    row.get("gold") or "", row.get("image"),
                )  # fmt: skip
            found[key].replies[result.name] = _reply(row)
    return list(found.values())


def _reply(row: dict[str, Any]) -> Reply:
    tries, leaks = row.get("tries") or (), row.get("leaks") or ()
    return Reply(
        row["answer"] or "",
        {flag: row.get(flag) for flag in FLAGS},
        row.get("margin"),
        tuple((str(said), leaked) for said, leaked in zip(tries, leaks, strict=False)),
        tuple((str(role), str(text)) for role, text in row.get("transcript") or ()),
        row.get("reason") or "",
    )
