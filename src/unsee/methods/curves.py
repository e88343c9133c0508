"""What reinforcement did, drawn from its log: rewards, kinds of sampled answers, and what there was to learn from."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from unsee.evals.pictures import save_png
from unsee.methods.rewards import Kind

WINDOW = 20
"""Steps that a curve is averaged over."""
_COLOURS = {"told": "#b0431e", "contextual": "#1f5f91", "rigid": "#7aa6c8", "other": "#c9ccd1"}
_NAMES = {"told": "tells", "contextual": "refusal in context", "rigid": "rigid refusal", "other": "anything else"}
Line = Mapping[str, Any]


def by_step(lines: Sequence[Line]) -> dict[str, npt.NDArray[np.float64]]:
    """One value a step: mean reward of either side, share of each kind among the forgotten's answers, and of spread.

    `forgotten` and `boundary` are mean rewards, the kinds shares, `even` the share of answers without an advantage:
    all of their group were worth the same. NaN where a step has none.
    """
    steps = [list(mine) for _, mine in groupby(lines, key=lambda line: line["step"])]
    sides = [[line for line in mine if line["forget"]] for mine in steps]
    others = [[line for line in mine if not line["forget"]] for mine in steps]
    found = {
        "forgotten": [_mean([line["reward"] for line in mine]) for mine in sides],
        "boundary": [_mean([line["reward"] for line in mine]) for mine in others],
        "even": [_mean([abs(line["advantage"]) < 1e-6 for line in mine]) for mine in steps],
    }
    for kind in get_args(Kind):
        found[kind] = [_mean([line["kind"] == kind for line in mine]) for mine in sides]
    return {name: np.asarray(values) for name, values in found.items()}


def draw_curves(lines: Sequence[Line], path: Path) -> Path:
    """Draw the log as PNG.

    Raises:
        SaveError: the file cannot be written.
    """
    from matplotlib.figure import Figure

    curves = {name: _smooth(values) for name, values in by_step(lines).items()}
    figure = Figure(figsize=(10, 3.2), layout="constrained")
    left, middle, right = figure.subplots(1, 3, sharex=True)
    for name, colour in (("forgotten", "#b0431e"), ("boundary", "#1f5f91")):
        left.plot(curves[name], color=colour, label=name)
    left.set_ylabel("mean reward")
    left.legend(frameon=False)
    kinds = get_args(Kind)
    shares = np.nan_to_num(np.stack([curves[kind] for kind in kinds]))
    middle.stackplot(
        np.arange(shares.shape[1]), shares, labels=[_NAMES[k] for k in kinds], colors=[_COLOURS[k] for k in kinds]
    )
    middle.set_ylabel("answers about the forgotten")
    middle.legend(frameon=False, fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    right.plot(curves["even"], color="#4a4f57")
    right.set_ylabel("answers without an advantage")
    for axes in (left, middle, right):
        axes.set(ylim=(0, 1.02), xlabel=f"step (mean of {WINDOW})")
        axes.spines[["top", "right"]].set_visible(False)
    return save_png(figure, path, dpi=130)


def _mean(values: Sequence[float | bool]) -> float:
    return float(np.mean(values)) if values else float("nan")


def _smooth(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Mean of the last `WINDOW` steps, of those that have a value."""
    known, width = ~np.isnan(values), min(WINDOW, len(values))
    sums, counts = (np.convolve(one, np.ones(width))[: len(values)] for one in (np.nan_to_num(values), known))
    return np.divide(sums, counts, out=np.full(len(values), np.nan), where=counts > 0)
