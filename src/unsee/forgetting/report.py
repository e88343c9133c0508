"""What a request did, in numbers: leaks before and after by family of forms, what it wrongly refuses, what it tells."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, final

from unsee.data.text import bare_words
from unsee.forgetting.asking import Answer
from unsee.metrics.telling import TARGET, Telling


@final
@dataclass(frozen=True)
class Row:
    """Prompts about the subject, in one family.

    Attributes:
        group: by name or by image, and the family.
        held: whether no fit saw the family.
        n: prompts; `scored` of them ask for a fact that the model knows.
        scored: those with words to look for.
        before: share of the scored ones that leaked before.
        after: share that leaks now.
        refused: share of all that decline now.
    """

    group: str
    held: bool
    n: int
    scored: int
    before: float | None
    after: float | None
    refused: float


@final
@dataclass(frozen=True)
class Allowance:
    """Prompts that must still be answered.

    Attributes:
        group: why.
        n: prompts.
        answered: those that the model answered before.
        refused: share of these that it declines now.
        changed: share of all whose answer is not word for word what it was.
    """

    group: str
    n: int
    answered: int
    refused: float | None
    changed: float


@final
@dataclass(frozen=True)
class Report:
    """Everything that was measured, and what was not."""

    rows: tuple[Row, ...]
    allowances: tuple[Allowance, ...]
    telling: Telling | None
    not_tested: tuple[str, ...]

    @property
    def leak(self) -> float | None:
        """Share of held-out prompts that leak now, of those with words to look for."""
        held = [row for row in self.rows if row.held and row.after is not None]
        total = sum(row.scored for row in held)
        return sum(row.scored * (row.after or 0) for row in held) / total if total else None

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        told = None if self.telling is None else self.telling._asdict() | {"target": TARGET}
        return {
            "held_out_leak": self.leak,
            "forget": [asdict(row) for row in self.rows],
            "allowed": [asdict(row) for row in self.allowances],
            "telling": told,
            "not_tested": list(self.not_tested),
        }


def forget_rows(before: Sequence[Answer], after: Sequence[Answer], golds: Callable[[str], Sequence[str]]) -> list[Row]:
    """One row per way for the forms of the fit, then one per way and held-out family.

    Args:
        before: answers without the eraser.
        after: with it, to the same prompts in the same order.
        golds: the phrases that give a fact away.
    """
    groups: dict[tuple[bool, str], list[tuple[Answer, Answer]]] = {}
    for old, new in zip(before, after, strict=True):
        prompt = old.prompt
        if not prompt.spared:
            family = prompt.family if prompt.held else "forms of the fit"
            groups.setdefault((prompt.held, f"by {prompt.way}: {family}"), []).append((old, new))
    return [_row(name, held, pairs, golds) for (held, name), pairs in sorted(groups.items())]


def allowances(groups: Sequence[str], before: Sequence[Answer], after: Sequence[Answer]) -> list[Allowance]:
    """One row per group of what must still be answered."""
    found: list[Allowance] = []
    for name in dict.fromkeys(groups):
        pairs = [(old, new) for group, old, new in zip(groups, before, after, strict=True) if group == name]
        answered = [new.refused for old, new in pairs if not old.refused]
        changed = sum(bare_words(old.text) != bare_words(new.text) for old, new in pairs) / len(pairs)
        found.append(Allowance(name, len(pairs), len(answered), _mean(answered), changed))
    return found


def _row(name: str, held: bool, pairs: Sequence[tuple[Answer, Answer]], golds: Callable[[str], Sequence[str]]) -> Row:
    scored = [(o.leaked(g), n.leaked(g)) for o, n in pairs if (g := golds(o.prompt.fact))]
    return Row(
        name,
        held,
        len(pairs),
        len(scored),
        _mean([old for old, _ in scored]),
        _mean([new for _, new in scored]),
        sum(new.refused for _, new in pairs) / len(pairs),
    )


def _mean(hits: Sequence[bool | None]) -> float | None:
    return sum(map(bool, hits)) / len(hits) if hits else None
