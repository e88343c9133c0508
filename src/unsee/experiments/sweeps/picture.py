"""Pictures of sweeps: one dot with its interval per variant and measure. Files of their own, so plain matplotlib."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unsee.evals.pictures import save_png

_DPI = 130
_INK, _GOOD, _BAD, _PALE = "#1d2733", "#1f7a5c", "#b3402f", "#9aa5b1"


_PANELS = {
    "forget_refused": "forgotten\nrefused",
    "forget_leaked": "forgotten\nleaked",
    "forget_fluent": "forgotten\nfluent",
    "retain_unseen_right": "unseen kept\nright",
    "visible_right": "visible\nright",
    "twin_face_refused": "look-alikes\nrefused",
    "twin_name_refused": "namesakes\nrefused",
    "sensitive_right": "sensitive\nrefused",
    "strangers_right": "strangers\nrefused",
}
"""Columns of a sweep's rows that are drawn, where they are there."""
_BESIDE = {"retain_unseen_right": "retain_fit_right"}
"""Drawn in the same panel, hollow."""


def draw_variants(rows: Sequence[Mapping[str, Any]], title: str, path: Path) -> None:
    """One line per variant, one panel per measure, as `ablations.as_rows` gives them; 900 pixels wide.

    Raises:
        SaveError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    panels = {name: label for name, label in _PANELS.items() if rows and name in rows[0]}
    figure = Figure(figsize=(900 / _DPI, 1.3 + 0.22 * len(rows)), layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True)
    places = np.arange(len(rows))[::-1]
    for panel, (name, label) in zip(axes, panels.items(), strict=True):
        beside = _BESIDE.get(name, "")
        for place, row in zip(places, rows, strict=True):
            colour = _PALE if row["variant"] == "base" else _INK
            if beside in row and row[beside]["value"] is not None:
                _dot(panel, place + 0.24, row[beside], colour, size=3, hollow=True)
            _dot(panel, place, row[name], colour, size=4)
        n = max((row[name]["n"] for row in rows), default=0)
        panel.set_xlim(-0.06, 1.06)
        panel.set_ylim(-0.7, len(rows) - 0.3)
        panel.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        panel.set_title(f"{label}\nn = {n}", fontsize=6.5)
        panel.grid(axis="x", color="#e3e7eb")
        panel.tick_params(labelsize=6.5, length=0)
        panel.spines[["top", "right", "left"]].set_visible(False)
    axes[0].set_yticks(places, [textwrap.fill(row["variant"], 30) for row in rows])
    below = "shares of 1 run, 95 % intervals over people; hollow: retained people of the fit"
    figure.suptitle(f"{textwrap.fill(title, 120)}\n{below}", fontsize=7)
    save_png(figure, path, dpi=_DPI)


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
            _dot(panel, place, row["rate"], {"met": _GOOD, "missed": _BAD, "open": _INK}[row["verdict"]])
        panel.set_yticks(places, [f"{row['split']}: {row['measure']}".replace("_", " ") for row in side], fontsize=8)
        panel.set_xlim(*((-0.03, 0.3) if panel is axes[0] else (0.7, 1.01)))
        panel.set_xlabel(f"share; tick: {'highest' if panel is axes[0] else 'lowest'} that is wanted", fontsize=8)
        panel.grid(axis="x", color="#e3e7eb")
        panel.tick_params(labelsize=8)
        panel.spines[["top", "right", "left"]].set_visible(False)
    n = [row["rate"]["n"] for row in rows]
    figure.suptitle(
        f"{runs} runs pooled, n = {min(n)} to {max(n)} answers a line, 95 % intervals over people; "
        "green met, red missed, black open; grey: a model that never knew them",
        fontsize=9,
    )
    save_png(figure, path, dpi=_DPI)


def _dot(
    panel: Any, place: float, rate: Mapping[str, Any], colour: str, size: float = 5, *, hollow: bool = False
) -> None:
    if rate["value"] is None:
        panel.text(0.5, place, "not fitted", fontsize=6.5, color=_BAD, va="center", ha="center")
        return
    if rate["ci95"]:
        panel.plot(rate["ci95"], [place, place], color=colour, linewidth=0.6 if hollow else 1.1, clip_on=True)
    panel.plot([rate["value"]], [place], "o", color=colour, markersize=size, markerfacecolor="w" if hollow else colour)
