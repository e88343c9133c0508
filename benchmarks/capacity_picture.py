"""The picture of the capacity study: leaks, wrong refusals, and what one more request costs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

_INK, _GOOD, _BAD, _PALE, _OTHER = "#1d2733", "#1f7a5c", "#b3402f", "#9aa5b1", "#7a5cb3"
STYLES = {
    "pooled": (_OTHER, "o", "-"),
    "pooled, fixed kept": (_OTHER, "o", ":"),
    "separate, thresholds together": (_GOOD, "s", "-"),
    "separate": (_PALE, "s", "-"),
    "sum of gates": (_BAD, "^", "-"),
}


def draw(
    decided: Sequence[Mapping[str, Any]],
    added: Sequence[Mapping[str, Any]],
    cost: Sequence[Mapping[str, Any]],
    goal: float,
    path: Path,
) -> None:
    """Four panels over the number of requests: leak, wrong refusals, time to add one, cost of an answer."""
    figure = Figure(figsize=(11, 7), layout="constrained")
    panels = figure.subplots(2, 2)
    for panel, name, label in (
        (panels[0, 0], "leak", "forgotten: answered with the fact (%)"),
        (panels[0, 1], "wrong", "kept, never seen: wrongly refused (%)"),
    ):
        n = [0]
        for gates, (colour, marker, line) in STYLES.items():
            rows = [row for row in decided if row["gates"] == gates]
            sizes = [row["requests"] for row in rows]
            panel.plot(sizes, [100 * row[name]["value"] for row in rows], line, marker=marker, markersize=4,
                       color=colour, label=gates, linewidth=1.5)  # fmt: skip
            if line == "-" and gates.endswith("together"):
                ends = [row[name]["ci95"] or (row[name]["value"],) * 2 for row in rows]
                low, high = ([100 * end[side] for end in ends] for side in (0, 1))
                panel.fill_between(sizes, low, high, color=colour, alpha=0.12, linewidth=0)
            n += [row[name]["n"] for row in rows]
        panel.axhline(100 * goal, color=_INK, linewidth=0.8, dashes=(4, 3))
        panel.text(panel.get_xlim()[1], 100 * goal, f" goal {goal:.0%}", fontsize=7.5, va="center", color=_INK)
        panel.set_ylabel(label, fontsize=8.5)
        panel.set_xlabel(f"requests in force (n up to {max(n)} questions, 1 run)", fontsize=8.5)
        panel.set_ylim(bottom=0)
    panels[0, 1].legend(fontsize=8, frameon=False, title="gates; band: 95 % over people", title_fontsize=8)
    time = panels[1, 0]
    for name, label, colour in (
        ("captured", "ask the model its prompts", _PALE),
        ("separate", "fit it alone", _INK),
        ("joint", "fit all again, pooled, from stored sums", _GOOD),
        ("thresholds", "thresholds of all, from stored scores", _BAD),
    ):
        sizes = [row["requests"] for row in added]
        time.plot(sizes, [row[name] for row in added], "o-", markersize=4, color=colour, label=label, linewidth=1.5)
    time.set_yscale("log")
    time.set_ylabel("CPU seconds to add one more", fontsize=8.5)
    time.set_xlabel("requests in force (mean of the last 10 added)", fontsize=8.5)
    price = panels[1, 1]
    for form, colour in (("stack", _GOOD), ("list", _BAD)):
        rows = [row for row in cost if row["form"] == form]
        price.errorbar(
            [row["requests"] for row in rows],
            [row["answer"]["ratio"].median for row in rows],
            [[row["answer"]["ratio"].median - row["answer"]["ratio"].low for row in rows],
             [row["answer"]["ratio"].high - row["answer"]["ratio"].median for row in rows]],
            fmt="o-", markersize=4, color=colour, linewidth=1.5,
            label={"stack": "as one stack", "list": "as a list of erasers"}[form],
        )  # fmt: skip
    price.set_xscale("log")
    price.set_ylabel("time of an answer, over one request", fontsize=8.5)
    price.set_xlabel("requests in force (median, quartiles)", fontsize=8.5)
    for panel in panels.flat:
        panel.grid(color="#e3e7eb")
        panel.set_axisbelow(True)
        panel.tick_params(labelsize=8)
        panel.spines[["top", "right", "left"]].set_visible(False)
    time.legend(fontsize=8, frameon=False, loc="center", bbox_to_anchor=(0.62, 0.3))
    price.legend(fontsize=8, frameon=False, loc="upper left")
    figure.savefig(path, dpi=150)
