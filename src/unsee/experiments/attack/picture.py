"""The picture of attacks: one row an attack, one point a condition, bars over people."""

from collections.abc import Sequence
from pathlib import Path

from unsee.evals.frontier import error_bars
from unsee.evals.pictures import save_png
from unsee.experiments.attack.report import Line

_COLOURS = {"base": "#8a8f98", "erased": "#1f5f91", "never_knew": "#3f7d4e"}
_OTHERS = ("#b0431e", "#7a4f9a", "#8a6d1f", "#4a4f57")


def draw(lines: Sequence[Line], path: Path, about: str) -> Path:
    """Draw leak per attack as PNG.

    Raises:
        SaveError: the file cannot be written.
    """
    from matplotlib.figure import Figure as Canvas

    conditions = list(dict.fromkeys(name for line in lines for name in line.leak))
    free = iter(_OTHERS * len(conditions))
    colours = {name: _COLOURS.get(name) or next(free) for name in conditions}
    # Every condition has its own place within the row of an attack, whatever their number.
    apart = 0.72 / max(1, len(conditions))
    canvas = Canvas(figsize=(7.2, 1.6 + len(lines) * max(0.22, 0.085 * len(conditions))), layout="constrained")
    axes = canvas.add_subplot()
    for place, line in enumerate(lines):
        for number, name in enumerate(conditions):
            found = line.leak.get(name)
            if found is None or found.value is None:
                continue
            y = place + apart * (number - (len(conditions) - 1) / 2)
            axes.errorbar(
                [100 * found.value], [y], xerr=error_bars(found), fmt="o", markersize=3.6, color=colours[name],
                elinewidth=1, capsize=1.5, clip_on=False, label=name if place == 0 else None,
            )  # fmt: skip
    axes.set_yticks(range(len(lines)), [f"{line.attack}  ({line.access})" for line in lines], fontsize=7.5)
    axes.set(xlim=(0, 100), ylim=(len(lines) - 0.5, -0.5))
    axes.grid(axis="x", color="#dfe1e4", linewidth=0.6)
    for place in range(1, len(lines)):
        new = lines[place].access != lines[place - 1].access
        axes.axhline(place - 0.5, color="#a9afb8" if new else "#eceef0", linewidth=0.8 if new else 0.5)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0)
    axes.set_xlabel("questions whose fact the attacker's best guess is (%)", fontsize=9)
    axes.set_title(f"{about}\nbars: 95 % interval over people", fontsize=8.5, color="#5d646e")
    canvas.legend(
        *axes.get_legend_handles_labels(), loc="outside lower center", ncols=min(4, len(conditions)), frameon=False,
        fontsize=8.5,
    )  # fmt: skip
    return save_png(canvas, path, dpi=150)
