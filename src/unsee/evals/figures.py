"""The report's figures as inline SVG that takes its colours and its type from the page, light or dark.

matplotlib draws with stand-in colours, which are then replaced by CSS variables. Text stays text. Every
figure is small (about 330 units wide), so that its labels are still legible on a telephone.
"""

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from unsee.errors import DataError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Odd values, so that no colour matplotlib chooses by itself can be mistaken for one of them.
_INK, _MUTED, _LINE, _FORGET, _KEEP = "#010203", "#020304", "#030405", "#040506", "#050607"
_VARIABLES = {_INK: "--ink", _MUTED: "--muted", _LINE: "--line", _FORGET: "--forget", _KEEP: "--keep"}
POINTS = 150
"""At most so many points are drawn per group and layer: evenly spaced ranks, both extremes included."""


def gate_scores(gates: Mapping[str, Any], runs: int = 1) -> str:
    """Strip plot of gate scores by layer, forgotten beside retained people, with medians and the threshold.

    Args:
        gates: `layers` (names), `forget` and `retain` (scores per layer), `threshold` (one, or one per layer).
        runs: how many runs the scores come from; stated on the axis.

    Raises:
        DataError: the groups do not have one list of scores per layer.
    """
    layers: Sequence[object] = gates["layers"]
    for group in ("forget", "retain"):
        if len(gates[group]) != len(layers) or not all(len(scores) for scores in gates[group]):
            raise DataError(
                f"gates[{group!r}] has {len(gates[group])} lists of scores for {len(layers)} layers, "
                "expected one list per layer and no empty one."
            )
    figure, axes = _canvas(height=2.7)
    for group, colour, side in (("retain", _KEEP, 0.19), ("forget", _FORGET, -0.19)):
        for place, scores in enumerate(gates[group]):
            drawn = _thin(np.asarray(scores, dtype=np.float64))
            jitter = np.random.default_rng(place).uniform(-0.12, 0.12, len(drawn))
            axes.scatter(place + side + jitter, drawn, s=5, color=colour, alpha=0.4, linewidths=0)
            middle = float(np.median(scores))
            axes.plot([place + side - 0.15, place + side + 0.15], [middle, middle], color=colour, linewidth=1.8)
    threshold = gates["threshold"]
    levels = threshold if isinstance(threshold, Sequence) else [threshold] * len(layers)
    for place, level in enumerate(levels):
        axes.plot([place - 0.44, place + 0.44], [level, level], color=_INK, linewidth=0.8, dashes=(3, 2))
    axes.set_xticks(range(len(layers)), [str(layer) for layer in layers])
    axes.set_xlim(-0.6, len(layers) - 0.4)
    axes.set_xlabel(
        f"decoder layer (n = {len(gates['forget'][0])} and {len(gates['retain'][0])} prompts, {_runs(runs)})"
    )
    axes.set_ylabel("gate score")
    return _svg(figure, "Gate scores per decoder layer for forgotten and for retained people")


def tradeoff(curves: Mapping[str, Any]) -> str:
    """Forget refusal over unseen people's accuracy, one line per method, one point per steering coefficient.

    Args:
        curves: `default` and `published`, each a list of {`lambda`, `forget_refusal`, `retain_accuracy`}
            (rates in [0, 1]), either may be absent; `n_forget` and `n_retain`, numbers of questions; optional
            `runs` (1) and `chosen`, the default method's coefficient in use.
    """
    figure, axes = _canvas(height=2.7)
    for name, colour, marker in (("published", _KEEP, "s"), ("default", _FORGET, "o")):
        points = sorted(curves.get(name) or [], key=lambda point: point["lambda"])
        x = [100 * point["retain_accuracy"] for point in points]
        y = [100 * point["forget_refusal"] for point in points]
        axes.plot(x, y, color=colour, marker=marker, markersize=3.6, linewidth=1.2, clip_on=False, zorder=3)
        for point, across, up in zip(points, x, y, strict=True):
            chosen = name == "default" and point["lambda"] == curves.get("chosen")
            if chosen:
                axes.plot([across], [up], "o", markersize=8, mfc="none", mec=colour, clip_on=False, zorder=3)
            # Below the lower curve; above the upper one, and to its right where it falls.
            offset, side = (
                ((0, -11), "center") if name == "published" else ((0, 7), "center") if up > 90 else ((6, -2.5), "left")
            )
            label = f"{point['lambda']:g}"
            axes.annotate(label, (across, up), offset, textcoords="offset points", ha=side, color=colour, size=7.5)
    axes.set_ylim(0, 108)
    axes.set_yticks(range(0, 101, 25))
    axes.margins(x=0.08)
    axes.set_xlabel(f"unseen retained people right (%), n = {curves['n_retain']}, {_runs(curves.get('runs', 1))}")
    axes.set_ylabel(f"forgotten refused (%), n = {curves['n_forget']}")
    said = "Refusal of forgotten people against accuracy on unseen retained people, by steering coefficient"
    return _svg(figure, said)


def pgd_history(history: Sequence[float], runs: int = 1) -> str:
    """Mean log-probability of the target responses at every step of the adversarial search."""
    figure, axes = _canvas(height=2.2)
    axes.plot(range(len(history)), history, color=_KEEP, linewidth=1.3)
    axes.set_xlabel(f"PGD step (n = {len(history)}, {_runs(runs)})")
    axes.set_ylabel("log P of target (nats)")
    return _svg(figure, "Mean log-probability of the target responses by PGD step")


def _canvas(height: float) -> "tuple[Figure, Axes]":
    # Imported here, so that a terminal-only run does not wait for matplotlib.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6, height), layout="constrained")
    axes = figure.add_subplot()
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_LINE)
    axes.grid(axis="y", color=_LINE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_MUTED, labelsize=8.5, length=0, pad=4)
    axes.xaxis.label.set(color=_MUTED, size=8.5)
    axes.yaxis.label.set(color=_MUTED, size=8.5)
    return figure, axes


def _svg(figure: "Figure", title: str) -> str:
    from matplotlib import rc_context

    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": title}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    opening, rest = text.split(">", 1)
    box = opening[opening.index("viewBox=") :].split('"')[1]
    # The page decides the size and reads the title aloud.
    return f'<svg viewBox="{box}" role="img" aria-label="{title}" xmlns:xlink="http://www.w3.org/1999/xlink">{rest}'


def _runs(runs: int) -> str:
    return f"{runs} run{'' if runs == 1 else 's'}"


def _thin(scores: "np.ndarray[Any, np.dtype[np.float64]]") -> "np.ndarray[Any, np.dtype[np.float64]]":
    ordered = np.sort(scores)
    return ordered[np.linspace(0, len(ordered) - 1, min(len(ordered), POINTS)).round().astype(int)]
