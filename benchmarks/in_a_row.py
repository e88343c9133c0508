"""Requests that come one after another on a real language model: do those of before hold, and does the rest stay?

Subjects of public-knowledge, each forgotten by its name alone, as `unsee demo --family smollm2` fits them. After some
of them have come, those in force are asked about in held-out wordings, and so are those to come, subjects that nobody
asked to forget, their neighbours, and general questions. Needs `unsee models get smollm2`:

    python -m benchmarks.in_a_row --out DIR --markdown --picture docs/images/in-a-row.png
"""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.common import Columns, Row, arguments, publish
from benchmarks.pooled import cell

from unsee.cli.console import stages_shown
from unsee.data.benchmarks.public_knowledge import public_knowledge
from unsee.data.task import Task
from unsee.evals.answerers import Local, Recorded
from unsee.evals.evaluate import Condition, evaluate
from unsee.evals.plan import Plan
from unsee.evals.store import rows_of
from unsee.experiments.natural import run
from unsee.experiments.natural.conditions import BATCH
from unsee.experiments.natural.public import Sizes, draw, what_it_knows
from unsee.experiments.natural.run import fitted, judged_rows, load_quick
from unsee.experiments.natural.score import Record, rows
from unsee.experiments.natural.split import Split
from unsee.models.load import LoadedModel
from unsee.progress import Stages

KEPT = ("to come", "retain_unseen", "neighbours", "general")


COLUMNS: Columns = {
    "requests in force": lambda row: str(row["count"]),
    "leaked": cell("in force", "leaked", "n_base_right"),
    "refused fluently": cell("in force", "refused", "n_base_right"),
    **{
        title: cell(split, "same", "n")
        for title, split in zip(("to come", "unseen", "neighbours", "general"), KEPT, strict=True)
    },
}


def after_each(loaded: LoadedModel, split: Split, counts: Sequence[int], out: Path, stages: Stages) -> list[Row]:
    """Rates after so many of the requests, in the order in which they are in the split.

    Args:
        loaded: the model.
        split: requests and what is asked.
        counts: after how many of them to ask.
        out: folder of the fits and of a results folder.
        stages: progress display.
    """
    found = fitted(loaded, split, 0, out, stages)
    asked = [Condition.of("base", Recorded.of(loaded))]
    asked += [Condition.of(f"{count} in force", Local(loaded, found.erasers[:count])) for count in counts]
    plan = Plan(Task("in a row", split.tests), max_new_tokens=run.LONGEST, batch_size=BATCH)
    evaluate(asked, plan, out / "results", stages=stages, renew=True)
    records = judged_rows(rows_of(out / "results"), split)
    order = [name for eraser in found.erasers for name in eraser.subjects]
    return [_row(count, records, order[:count]) for count in counts]


def _row(count: int, records: Sequence[Record], gone: Sequence[str]) -> Row:
    def told(one: Record) -> Record:
        if one["split"] != "forget_heldout":
            return one
        inside = one["person"] in gone
        return one | ({"split": "in force"} if inside else {"split": "to come", "role": "retain"})

    some = [told(one) for one in records if one["condition"] == f"{count} in force"]
    return {"count": count} | {row["split"]: row for row in rows(some)}


def main(command_line: Sequence[str] | None = None) -> None:
    """Fit, ask, and print one row for each number of requests in force."""
    parser = arguments(__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--after", type=int, nargs="+", default=[1, 5, 10, 20])
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args(command_line)
    sizes = Sizes(
        forget=max(options.after), selective=0, retain=24, calibration=10, unseen=16, neighbours=1, general=24,
        wordings=1, kept_wordings=1,
    )  # fmt: skip
    loaded, knowledge = load_quick("real:smollm2"), public_knowledge()
    with stages_shown() as stages:
        known = what_it_knows(loaded, Recorded.of(loaded), knowledge, stages)
        split = draw(knowledge, known, options.seed, sizes)
        found = after_each(loaded, split, options.after, options.out, stages)
    publish("in_a_row", options, {"Requests that come one after another": (found, COLUMNS)})
    if options.picture:
        draw_picture(found, options.picture)


def draw_picture(found: Sequence[Row], to: Path) -> None:
    """Lines over the number of requests: leaked of what is in force, and what stayed as it was."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3.6), constrained_layout=True)
    lines = {"in force: leaked": ("in force", "leaked"), "in force: refused fluently": ("in force", "refused")}
    lines |= {f"{name.replace('retain_', '')}: identical or right": (name, "same") for name in KEPT}
    for (title, (split, measure)), mark in zip(lines.items(), "ovs^Dx", strict=True):
        points = [(row["count"], row[split]) for row in found if split in row]
        x, y = [count for count, _ in points], [100 * one[measure] for _, one in points]
        low, high = zip(*(one["ci95"][measure] or (one[measure],) * 2 for _, one in points), strict=True)
        axes.plot(x, y, marker=mark, label=title)
        axes.fill_between(x, [100 * v for v in low], [100 * v for v in high], alpha=0.1)
    axes.set(
        xlabel="requests in force", ylabel="per cent of questions", ylim=(-4, 104), xticks=[r["count"] for r in found]
    )
    axes.legend(loc="center right", fontsize=8)
    to.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(to, dpi=150)
    plt.close(figure)


if __name__ == "__main__":
    main()
