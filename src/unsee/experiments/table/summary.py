"""From cells to the table: one line a row and share forgotten, splits pooled, every figure with its interval."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, final

from unsee.attacks.relearning import STEPS
from unsee.data.sample import Form
from unsee.evals.store import Record
from unsee.evals.values import Asked, Figure, Row, Value, asked, figure, figure_of
from unsee.experiments.table.entries import REFERENCES
from unsee.experiments.table.run import Table, facts_of, rows_in

Good = Literal["higher", "lower", ""]
Unit = Literal["percent", "score", "seconds", "MiB", "bytes", "times"]


@final
@dataclass(frozen=True)
class Column:
    """One figure of every line.

    Attributes:
        name: in files.
        title: in tables.
        good: which way is good.
        unit: of its numbers.
        split: set that it is of; "" for a fact of the fit.
        measure: rate or measure of that set, or name of the fact.
        asked: questions over an image, without one, or both.
        forms: of the questions; all by default.
        short: shown on the terminal.
    """

    name: str
    title: str
    good: Good
    unit: Unit
    split: str
    measure: str
    asked: Asked = "both"
    forms: tuple[Form, ...] = ()
    short: bool = True


_IN_CONTEXT = "asru-contextual-refusal"
_HALLUCINATED = "hallucinated"
"""Neither refused nor told: another answer, or gibberish."""

COLUMNS = (
    Column("refused", "forgotten refused", "higher", "percent", "forget_heldout", "refused"),
    Column("leaked", "leaked", "lower", "percent", "forget_heldout", "leaked"),
    Column(
        "leaked_image", "leaked, over an image", "lower", "percent", "forget_heldout", "leaked", "image", short=False
    ),
    Column("leaked_text", "leaked, by name", "lower", "percent", "forget_heldout", "leaked", "text", short=False),
    Column(
        "leaked_forms",
        "leaked, cloze and choice",
        "lower",
        "percent",
        "forget_heldout",
        "leaked",
        forms=("cloze", "classification"),
        short=False,
    ),
    Column("hallucinated", "hallucinated", "lower", "percent", "forget_heldout", _HALLUCINATED, short=False),
    Column("leak_at_k", "leak@k", "lower", "percent", "forget_heldout/sampling", "leak-at-k"),
    Column("unseen", "unseen right", "higher", "percent", "retain_unseen", "right"),
    Column("neighbours", "near right", "higher", "percent", "neighbours", "right"),
    Column("celebrities", "celebrities right", "higher", "percent", "celebrity", "right", short=False),
    Column("visible", "visible right", "higher", "percent", "visible", "right"),
    Column("strangers", "strangers refused", "higher", "percent", "strangers", "refused", short=False),
    Column("context", "refusal in context, 0 to 5", "higher", "score", "forget_heldout", _IN_CONTEXT, short=False),
    Column("natural", "natural, 1 to 5", "higher", "score", "forget_heldout", "asru-naturalness", short=False),
    Column("longer", "leaked, longer prompt", "lower", "percent", "forget_heldout/longer", "leaked", short=False),
    Column("turns", "leaked, third turn", "lower", "percent", "forget_heldout/turns", "leaked", short=False),
    Column("rounded", "leaked at 4 bits", "lower", "percent", "forget_heldout/rounding", "leaked"),
    Column(
        "rounded_kept", "unseen right at 4 bits", "higher", "percent", "retain_unseen/rounding", "right", short=False
    ),
    Column("relearnt", "leaked, relearnt", "lower", "percent", "forget_heldout/relearning", "leaked"),
    Column("seconds", "fit", "lower", "seconds", "", "seconds", short=False),
    Column("peak_mib", "fit, peak memory", "lower", "MiB", "", "peak_mib", short=False),
    Column("stored_bytes", "stored", "lower", "bytes", "", "stored_bytes", short=False),
    Column("token_cost", "time per token", "lower", "times", "", "token_cost", short=False),
)


@final
@dataclass(frozen=True)
class Line:
    """One row of the table.

    Attributes:
        name: of the row.
        kind: of the method.
        percent: share forgotten.
        splits: how many are pooled.
        figures: column to its figure; one without a value is unscored.
        reasons: column to why it is unscored, or "" to why nothing could be fitted.
        reversible: taken back without a copy of the model; None for a model as it is.
        chosen: knob and its value, where there is one.
    """

    name: str
    kind: str
    percent: int
    splits: int
    figures: dict[str, Figure]
    reasons: dict[str, str]
    reversible: bool | None
    chosen: str


def lines(table: Table) -> list[Line]:
    """Every finished row, by share forgotten."""
    found = []
    for percent in table.percents:
        rows = {split: rows_in(table, percent, split) for split in table.splits}
        names = dict.fromkeys(row["condition"] for mine in rows.values() for row in mine)
        wanted = [*REFERENCES, *(entry.name for entry in table.entries)]
        for name in (name for name in wanted if name in names):
            mine = {s: kept for s, of in rows.items() if (kept := [row for row in of if row["condition"] == name])}
            facts = [facts_of(table, percent, split, name) for split in mine]
            found.append(line(name, percent, [row for of in mine.values() for row in of], facts, table.seed))
    return found


def caption(table: Table) -> str:
    """What every form of the table says below itself."""
    budget, splits = table.budget, len(table.splits)
    return (
        f"Built-in world, {splits} split{'' if splits == 1 else 's'}. No fit and no choice of a value has seen anybody "
        "who is asked about but the forgotten, and those in other wordings and views; the rules of unsee's own rows "
        "were once chosen while looking at people of this world, so that it confirms none of them. Rates in percent, "
        "with 95 % intervals over people; n answers/people. Every "
        f"knob has {budget.candidates} candidates, chosen on wordings of the fit and on calibration people; for each, "
        f"a trained method has {budget.batches} steps of {budget.batch_size} forget and as many retained questions, a "
        f"reinforced one {budget.grpo_steps} steps of {budget.grpo_questions} groups of 8. leak@k: any of "
        f"{budget.draws} answers at temperature 1. 4 bits: every matrix but the head rounded to nearest. Relearning: "
        f"{STEPS} steps of AdamW on half of the forgotten people, on the bare weights; the method stays in place and "
        "the other half is asked. Time per token: against the plain model, prompt included. Fit of steered rows: "
        "without the profile, which is made once per model."
    )


def line(name: str, percent: int, rows: Sequence[Record], facts: Sequence[Mapping[str, Any]], seed: int = 0) -> Line:
    """One row from the answers of all splits; a person who is asked about in several of them is one cluster.

    Args:
        name: of the row.
        percent: share forgotten.
        rows: of all splits.
        facts: of the fit on each split, {} for a model as it is.
        seed: of the bootstrap.
    """
    figures, reasons = {}, {}
    for column in COLUMNS:
        figures[column.name] = _figure(column, rows, facts, seed)
        why = [row["reason"] for row in rows if row["split"] == column.split and row.get("reason")]
        if figures[column.name].value is None and why:
            reasons[column.name] = why[0]
    if failed := [one["failed"] for one in facts if "failed" in one]:
        reasons[""] = failed[0]
    first = facts[0] if facts else {}
    knobs = sorted({f"{one['knob']} {one['value']:g}" for one in facts if one.get("knob")})
    kind, reversible = first.get("kind", "reference"), first.get("reversible")
    return Line(name, kind, percent, len(facts), figures, reasons, reversible, ", ".join(knobs))


def _figure(column: Column, rows: Sequence[Record], facts: Sequence[Mapping[str, Any]], seed: int) -> Figure:
    if column.split:
        mine = asked([row for row in rows if row["split"] == column.split], column.asked)
        mine = [row for row in mine if not column.forms or row["form"] in column.forms]
        if column.measure == _HALLUCINATED:
            return figure_of([_hallucinated(row) for row in mine], (0.0, 1.0), seed)
        return figure(mine, column.measure, seed) or Figure(None, None, 0, 0, 0)
    known = [one[column.measure] for one in facts if one.get(column.measure) is not None]
    return Figure(sum(known) / len(known) if known else None, None, len(known), 0, len(facts) - len(known))


def _hallucinated(row: Row) -> Value:
    number = None if row["refused"] is None else float(not row["refused"] and not row["leaked"])
    return Value(str(row["person"]), str(row["id"]), number)
