"""The forget-retain picture of the table: one point a row, named, and beside it what is left under two attacks."""

import io
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from PIL import Image

from unsee.errors import SaveError
from unsee.evals.frontier import error_bars
from unsee.experiments.table.summary import Line

COLOURS = {
    "reference": "#1c1f24",
    "prompted": "#8a6d1f",
    "filtered": "#7a4f9a",
    "steered": "#1f5f91",
    "trained": "#b0431e",
    "reinforced": "#3f7d4e",
}
_GRID = "#dfe1e4"


def draw(lines: Sequence[Line], percent: int, path: Path) -> Path:
    """Draw the rows of one share forgotten as PNG: what leaks against what unseen people keep, then each row's attacks.

    Raises:
        SaveError: the file cannot be written.
    """
    from matplotlib.figure import Figure as Canvas

    shown = [line for line in lines if line.percent == percent and _value(line, "leaked") is not None]
    canvas = Canvas(figsize=(12, max(5.2, 1.6 + 0.2 * len(shown))), layout="constrained")
    left, right = canvas.subplots(1, 2, width_ratios=(1.25, 1))
    _scatter(left, shown)
    _attacks(right, shown)
    splits = max((line.splits for line in shown), default=0)
    canvas.suptitle(
        f"{percent} % of 200 private people forgotten, {splits} split{'' if splits == 1 else 's'}; "
        "bars: 95 % intervals over people",
        fontsize=10,
    )
    drawn = io.BytesIO()
    canvas.savefig(drawn, dpi=130)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A few flat colours: a third of the size, which stays in a repository's history for good.
        Image.open(drawn).convert("RGB").quantize(64, Image.Quantize.MAXCOVERAGE).save(path, optimize=True)
    except OSError as error:
        raise SaveError(f"cannot write {str(path)!r}: {error}. Choose another folder with --out.") from error
    return path


def _scatter(axes: Any, lines: Sequence[Line]) -> None:
    heights = _apart([100 * (_value(line, "leaked") or 0) for line in lines], 100 / max(24, len(lines)))
    for line, height in zip(lines, heights, strict=True):
        x, y = line.figures["unseen"], line.figures["leaked"]
        colour = COLOURS[line.kind]
        axes.errorbar(
            [100 * (x.value or 0)], [100 * (y.value or 0)], xerr=error_bars(x), yerr=error_bars(y), fmt="o",
            markersize=4.5, color=colour, elinewidth=0.7, alpha=0.9, clip_on=False, zorder=3,
        )  # fmt: skip
        axes.annotate(
            line.name, (100 * (x.value or 0), 100 * (y.value or 0)), (106, height), color=colour, fontsize=7.5,
            va="center", annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 0.5, "alpha": 0.45, "shrinkB": 2},
        )  # fmt: skip
    axes.set(xlim=(0, 102), ylim=(-2, 102))
    axes.set_xlabel(f"unseen retained people right (%), n = {_n(lines, 'unseen')}")
    axes.set_ylabel(f"forgotten people leaked (%), held-out wordings, n = {_n(lines, 'leaked')}")
    _plain(axes)
    for kind, colour in COLOURS.items():
        if any(line.kind == kind for line in lines):
            axes.plot([], [], "o", color=colour, markersize=4.5, label=kind)
    axes.legend(loc="upper left", fontsize=8, frameon=False)
    # Room for the names.
    axes.set_xlim(0, 136)
    axes.set_xticks(range(0, 101, 20))


def _attacks(axes: Any, lines: Sequence[Line]) -> None:
    marks = {"leaked": ("o", "as fitted"), "rounded": ("s", "weights at 4 bits"), "relearnt": ("^", "after relearning")}
    ordered = sorted(lines, key=lambda line: (_value(line, "leaked") or 0, _value(line, "relearnt") or 0), reverse=True)
    for place, line in enumerate(ordered):
        found = [100 * value for name in marks if (value := _value(line, name)) is not None]
        axes.plot([min(found), max(found)], [place, place], color=_GRID, linewidth=2, zorder=1)
        for name, (mark, _) in marks.items():
            if (value := _value(line, name)) is not None:
                filled = COLOURS[line.kind] if name == "leaked" else "white"
                axes.plot([100 * value], [place], mark, color=COLOURS[line.kind], mfc=filled, markersize=5, zorder=3)
    for mark, label in marks.values():
        axes.plot([], [], mark, color="#5d646e", mfc="#5d646e" if label == "as fitted" else "white", label=label)
    axes.set_yticks(range(len(ordered)), [line.name for line in ordered], fontsize=7.5)
    axes.set(xlim=(-2, 102), ylim=(-0.7, len(ordered) - 0.3))
    axes.set_xlabel(f"forgotten people leaked (%), n = {', '.join(_n(lines, name) for name in marks)}")
    _plain(axes)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, fontsize=8, frameon=False)  # hides no point


def _apart(heights: Sequence[float], gap: float) -> list[float]:
    """Heights of labels: in the order of their points, at least `gap` apart, and as near to them as that allows."""
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    placed = list(heights)
    for before, after in pairwise(order):
        placed[after] = max(placed[after], placed[before] + gap)
    excess = max(0.0, placed[order[-1]] - 100) if order else 0.0
    if excess:
        placed[order[-1]] -= excess
        for after, before in pairwise(order[::-1]):
            placed[before] = min(placed[before], placed[after] - gap)
    return placed


def _value(line: Line, name: str) -> float | None:
    return line.figures[name].value


def _n(lines: Sequence[Line], name: str) -> str:
    counts = {line.figures[name].n for line in lines if line.figures[name].n}
    return "0" if not counts else f"{min(counts)}" if len(counts) == 1 else f"{min(counts)} to {max(counts)}"


def _plain(axes: Any) -> None:
    axes.grid(color=_GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
