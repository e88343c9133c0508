"""The forget-retain image: what is still leaked of the forgotten against what is still right of the kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from unsee.data.task import Role
from unsee.evals.pictures import save_png
from unsee.evals.results import Result, about
from unsee.evals.values import Figure, figure

_COLOURS = ("#1f5f91", "#b0431e", "#3f7d4e", "#7a4f9a", "#8a6d1f", "#4a4f57")
_MARKERS = "osD^vP"


@final
@dataclass(frozen=True)
class Point:
    """One condition: share of questions about the forgotten that leak, and of those about the kept that are right."""

    condition: str
    leaked: Figure
    right: Figure


@final
@dataclass(frozen=True)
class Frontier:
    """What the image shows.

    Attributes:
        forget: name of the set whose leaks are shown.
        keep: name of the set whose right answers are shown.
        points: one a condition, in order.
        about: benchmark, forget ratio and protocol.
    """

    forget: str
    keep: str
    points: list[Point]
    about: str


def frontier(results: Sequence[Result], seed: int = 0) -> Frontier | None:
    """What to draw: held-out questions and unseen people where there are any; None without both sides."""
    forget, keep = (_first(results[0], role) for role in ("forget", "retain"))
    if forget is None or keep is None:
        return None
    points = []
    for result in results:
        leaked = figure([row for row in result.rows if row["split"] == forget], "leaked", seed)
        right = figure([row for row in result.rows if row["split"] == keep], "right", seed)
        if leaked is not None and right is not None and leaked.value is not None and right.value is not None:
            points.append(Point(result.name, leaked, right))
    return Frontier(forget, keep, points, about(results[0].settings)) if points else None


def draw(found: Frontier, path: Path) -> Path:
    """Draw it as PNG; the good corner is at the lower right.

    Raises:
        SaveError: the file cannot be written.
    """
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=(5.4, 4.4), layout="constrained")
    axes = canvas.add_subplot()
    for number, point in enumerate(found.points):
        x, y = point.right, point.leaked
        axes.errorbar(
            [100 * (x.value or 0)],
            [100 * (y.value or 0)],
            xerr=error_bars(x),
            yerr=error_bars(y),
            fmt=_MARKERS[number % len(_MARKERS)],
            color=_COLOURS[number % len(_COLOURS)],
            elinewidth=1,
            capsize=2,
            label=point.condition,
            clip_on=False,
        )
    axes.set(xlim=(0, 100), ylim=(0, 100))
    axes.grid(color="#dfe1e4", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.set_xlabel(f"right on {found.keep} (%), {_sample([point.right for point in found.points])}")
    axes.set_ylabel(f"leaked on {found.forget} (%), {_sample([point.leaked for point in found.points])}")
    axes.set_title(
        f"{found.about}\nbars: 95 % bootstrap interval over people, one run each", fontsize=9, color="#5d646e"
    )
    axes.legend(loc="best", frameon=False)
    return save_png(canvas, path, dpi=160)


def _first(result: Result, role: Role) -> str | None:
    """The first set of a role that no fit has seen, else the first."""
    own = [name for name in result.splits() if result.role(name) == role and "/" not in name]
    seen = {row["split"] for row in result.rows if row["in_sample"]}
    ordered = [name for name in own if name not in seen] + own
    return ordered[0] if ordered else None


def error_bars(found: Figure) -> list[list[float]] | None:
    """Below and above a rate in percent, for matplotlib; None without an interval."""
    if found.interval is None or found.value is None:
        return None
    low, high = found.interval
    # A percentile interval need not hold the mean.
    return [[100 * max(0.0, found.value - low)], [100 * max(0.0, high - found.value)]]


def _sample(figures: Sequence[Figure]) -> str:
    counts, people = ({getattr(one, name) for one in figures} for name in ("n", "people"))
    return f"n = {_span(counts)}, {_span(people)} people"


def _span(numbers: set[int]) -> str:
    return str(min(numbers)) if len(numbers) == 1 else f"{min(numbers)} to {max(numbers)}"
