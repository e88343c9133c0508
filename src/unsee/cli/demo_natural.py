"""`unsee demo --family smollm|smollm2`: a real language model, people or public facts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from unsee.cli.console import LIMITS, finish, say, show_table, stages_shown

Column = tuple[str, str, str]
COLUMNS: Mapping[str, Sequence[Column]] = {
    "smollm2": (
        ("leaked", "forget_heldout", "leaked"),
        ("refused", "forget_heldout", "refused"),
        ("other fact", "forget_heldout", "volunteered"),
        ("unseen", "retain_unseen", "same"),
        ("near", "neighbours", "same"),
        ("general", "general", "same"),
        ("hidden leaked", "selective_hidden", "leaked"),
        ("spared right", "selective_spared", "right_of_base"),
    ),
    "smollm": (
        ("leaked by name", "forget_by_name", "leaked"),
        ("by image", "forget_by_image", "leaked"),
        ("refused by name", "forget_by_name", "refused"),
        ("by image", "forget_by_image", "refused"),
        ("unseen by name", "retain_by_name", "same"),
        ("by image", "retain_by_image", "same"),
        ("visible", "visible", "same"),
        ("general", "knowledge", "same"),
    ),
}
"""By family: heading, split and rate."""


def natural_demo(family: str, out: Path, seed: int, as_json: bool) -> None:
    """Run it and show one row a condition."""
    from unsee.experiments.natural.people import run_people_demo
    from unsee.experiments.natural.public import run_public_demo

    with stages_shown() as stages:
        metrics = (run_people_demo if family == "smollm" else run_public_demo)(out, seed, stages)
    columns = COLUMNS[family]
    show_table(_table(metrics["rows"], columns))
    say(f"Reply in force: {metrics['reply']['kind']}. Report: {out / 'report.html'}")
    cost = metrics["cost"]
    say(f"{cost['total_seconds']:.0f} s, {cost['cpu_seconds']:.0f} CPU seconds, {cost['peak_mib']} MiB")
    say(LIMITS)
    at = {(row["condition"], row["split"]): row for row in metrics["rows"]}
    promised = {f"{split}_{rate}": at["erased", split][rate] for _, split, rate in columns if ("erased", split) in at}
    finish(as_json, {"out": str(out), **promised, "seconds": cost["total_seconds"]})


def _table(rows: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> Table:
    at = {(row["condition"], row["split"]): row for row in rows}
    columns = [one for one in columns if ("base", one[1]) in at]
    table = Table("percent", title="Forgotten, kept, and told apart", box=None)
    for heading, _, _ in columns:
        table.add_column(heading, justify="right", min_width=6)
    for condition in dict.fromkeys(row["condition"] for row in rows):
        table.add_row(condition, *(_share(at[condition, split][rate]) for _, split, rate in columns))
    table.add_row(
        "n", *(str(at["base", split]["n" if rate == "same" else "n_base_right"]) for _, split, rate in columns)
    )
    table.caption = (
        "Held-out wordings and views. Leaked, refused and spared: of what the base model answers right. Unseen, near, "
        "visible and general: identical to the base model, or right as it is."
    )
    return table


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.0f}"
