"""Pictures of sweeps: one dot with its interval per variant and measure. Files of their own, so plain matplotlib."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unsee.errors import SaveError

_INK, _GOOD, _BAD, _PALE = "#1d2733", "#1f7a5c", "#b3402f", "#9aa5b1"


def draw_variants(rows: Sequence[Mapping[str, Any]], title: str, path: Path) -> None:
    """One line per variant, one panel per measure, as `ablations.as_rows` gives them.

    Raises:
        SaveError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    panels = {
        "forget_refused": "forgotten people refused",
        "forget_leaked": "forgotten people leaked",
        "retain_unseen_right": "unseen kept people right",
        "visible_right": "visible questions right",
    }
    figure = Figure(figsize=(11, 1.3 + 0.32 * len(rows)), layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True)
    places = np.arange(len(rows))[::-1]
    for panel, (name, label) in zip(axes, panels.items(), strict=True):
        for place, row in zip(places, rows, strict=True):
            _dot(panel, place, row[name], _PALE if row["variant"] == "base" else _INK)
        n = max((row[name]["n"] for row in rows), default=0)
        panel.set_xlim(-0.03, 1.03)
        panel.set_xlabel(f"{label}, share (n = {n})", fontsize=8)
        panel.grid(axis="x", color="#e3e7eb")
        panel.tick_params(labelsize=8)
        panel.spines[["top", "right", "left"]].set_visible(False)
    axes[0].set_yticks(places, [row["variant"] for row in rows])
    figure.suptitle(f"{title} 1 run, 95 % intervals over people", fontsize=9)
    _save(figure, path)


def draw_bars(rows: Sequence[Mapping[str, Any]], runs: int, path: Path) -> None:
    """The honest table: each measure against its bar, the never-knew model beside it.

    Raises:
        SaveError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    sides = [[row for row in rows if not row["least"]], [row for row in rows if row["least"]]]
    figure = Figure(figsize=(10, 1.6 + 0.27 * len(sides[0])), layout="constrained")
    axes = figure.subplots(1, 2, width_ratios=(3, 1.4))
    for panel, side in zip(axes, sides, strict=True):
        places = np.arange(len(side))[::-1]
        for place, row in zip(places, side, strict=True):
            panel.plot([row["limit"]] * 2, [place - 0.38, place + 0.38], color=_INK, linewidth=1.4)
            if row["never_knew"] is not None:
                _dot(panel, place - 0.22, row["never_knew"], _PALE, size=3)
            _dot(panel, place, row["erased"], _GOOD if row["met"] else _BAD)
        panel.set_yticks(places, [f"{row['split']}: {row['measure']}".replace("_", " ") for row in side], fontsize=8)
        panel.set_xlim(*((-0.03, 0.3) if panel is axes[0] else (0.7, 1.01)))
        panel.set_xlabel(f"share; tick: {'highest' if panel is axes[0] else 'lowest'} that is wanted", fontsize=8)
        panel.grid(axis="x", color="#e3e7eb")
        panel.tick_params(labelsize=8)
        panel.spines[["top", "right", "left"]].set_visible(False)
    n = [row["erased"]["n"] for row in rows]
    figure.suptitle(
        f"{runs} runs pooled, n = {min(n)} to {max(n)} answers a line, 95 % intervals over people; "
        "grey: a model that never knew them",
        fontsize=9,
    )
    _save(figure, path)


def _dot(panel: Any, place: float, rate: Mapping[str, Any], colour: str, size: float = 5) -> None:
    if rate["value"] is None:
        panel.text(0.5, place, "not fitted", fontsize=7, color=_BAD, va="center", ha="center")
        return
    if rate["ci95"]:
        panel.plot(rate["ci95"], [place, place], color=colour, linewidth=1.1, clip_on=True)
    panel.plot([rate["value"]], [place], "o", color=colour, markersize=size)


def _save(figure: Any, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=130)
    except OSError as error:
        raise SaveError(f"cannot write {str(path)!r}: {error}. Choose another folder with --out.") from error
