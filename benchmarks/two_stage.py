"""A gate bank of many subjects, all asked for every prompt, and a cheap index first: synthetic subjects, no model.

A subject is a random unit vector; a prompt about it is that vector and noise, with cosine `--likeness` between them in
the mean. A prompt about nobody on the list is another random vector. A gate fires where the product with its subject's
vector passes a threshold; all thresholds are chosen on prompts about nobody, and tried on others.

- "every gate, as alone": the threshold of one gate (at most 1 % of prompts about nobody), whatever their number.
- "every gate": raised until all gates together fire on at most 1 %.
- "two stages, N": FAISS finds the N nearest subjects by a part of the features, in 8 bits; only their gates are asked.
- "two stages, N, cells": the same with an inverted index that looks into one cell of eight. Random vectors have no
  clusters, which is the worst case for it.

Run from the repository root; needs the extra `scale`:

    python -m benchmarks.two_stage --markdown --picture docs/images/two-stage.png
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import Any, final

import numpy as np
from benchmarks.common import Columns, Row, arguments, publish

from unsee.extras import extra

COLUMNS: Columns = {
    "subjects": lambda row: f"{row['subjects']:,}",
    "likeness": lambda row: f"{row['likeness']:g}",
    "gates asked": lambda row: row["way"],
    "threshold": lambda row: f"{row['threshold']:.3f}",
    "recall": lambda row: f"{row['recall']:.1%}",
    "over-refusal": lambda row: f"{row['over']:.1%}",
    "ms per prompt": lambda row: f"{row['ms']:.3f}",
    "read per prompt (MiB)": lambda row: f"{row['read'] / 2**20:.2f}",
}
ALONE, EVERY = "every gate, as alone", "every gate"
TAIL = 0.01
_CHUNK = 256
Array = Any


@final
@dataclass(frozen=True)
class Prompts:
    """Vectors of prompts about nobody, to choose thresholds on and to try them on, and about subjects, by number."""

    calibration: Array
    unknown: Array
    about: Array
    whom: Array


def units(draws: np.random.Generator, count: int, width: int) -> Array:
    """Random directions."""
    found = draws.standard_normal((count, width), dtype=np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def seen(draws: np.random.Generator, vectors: Array, likeness: float) -> Array:
    """Unit vectors whose cosine with these is `likeness` in the mean: another view, another sentence."""
    noise = units(draws, *vectors.shape)
    found = likeness * vectors + (1 - likeness**2) ** 0.5 * noise
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def prompts(draws: np.random.Generator, bank: Array, likeness: float, count: int) -> Prompts:
    """Prompts about nobody and about randomly chosen subjects."""
    whom = draws.integers(len(bank), size=count)
    unknown = [seen(draws, units(draws, count, bank.shape[1]), likeness) for _ in range(2)]
    return Prompts(*unknown, seen(draws, bank[whom], likeness), whom)


def largest(bank: Array, asked: Array) -> tuple[Array, Array]:
    """Of each prompt, the largest score of any gate, and whose."""
    scores, whose = np.empty(len(asked), np.float32), np.empty(len(asked), np.int64)
    for start in range(0, len(asked), _CHUNK):
        found = asked[start : start + _CHUNK] @ bank.T
        whose[start : start + _CHUNK], scores[start : start + _CHUNK] = found.argmax(1), found.max(1)
    return scores, whose


def indexed(faiss: Any, bank: Array, pooled: int, cells: bool) -> Any:
    """An index over the first features of the subjects."""
    part, count = np.ascontiguousarray(bank[:, :pooled]), max(1, round(len(bank) ** 0.5))
    if cells:
        index = faiss.IndexIVFFlat(faiss.IndexFlatIP(pooled), pooled, count, faiss.METRIC_INNER_PRODUCT)
        index.nprobe = max(1, count // 8)
    else:
        index = faiss.IndexScalarQuantizer(pooled, faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
    index.train(part)
    index.add(part)
    return index


def two_stages(index: Any, bank: Array, asked: Array, candidates: int) -> tuple[Array, Array]:
    """As `largest`, of the candidates that the index finds."""
    _, near = index.search(np.ascontiguousarray(asked[:, : index.d]), min(candidates, len(bank)))
    scores = np.where(near >= 0, np.einsum("nd,ncd->nc", asked, bank[near]), -np.inf)
    best = scores.argmax(1)
    return scores[np.arange(len(asked)), best], near[np.arange(len(asked)), best]


def timed(find: Callable[[Array], object], asked: Array) -> float:
    """Median milliseconds of one prompt at a time, as a server has them."""
    find(asked[:1])
    found = []
    for row in range(min(50, len(asked))):
        start = time.perf_counter()
        find(asked[row : row + 1])
        found.append(1000 * (time.perf_counter() - start))
    return median(found)


def measured(faiss: Any, count: int, likeness: float, options: argparse.Namespace) -> list[Row]:
    """All ways at one number of subjects."""
    draws = np.random.default_rng(options.seed)
    bank = units(draws, count, options.width)
    asked = prompts(draws, bank, likeness, options.prompts)
    flat, cells = (indexed(faiss, bank, options.pooled, cells) for cells in (False, True))

    def every(vectors: Array) -> tuple[Array, Array]:
        return largest(bank, vectors)

    def staged(index: Any, candidates: int) -> Callable[[Array], tuple[Array, Array]]:
        return lambda vectors: two_stages(index, bank, vectors, candidates)

    whole, row = bank.nbytes, bank[0].nbytes
    ways: dict[str, tuple[Callable[[Array], tuple[Array, Array]], int]] = {ALONE: (every, whole), EVERY: (every, whole)}
    for some in options.candidates:
        ways[staged_way(some)] = staged(flat, some), count * options.pooled + min(some, count) * row
    most = max(options.candidates)
    ways[f"{staged_way(most)}, cells"] = staged(cells, most), 4 * count * options.pooled // 8 + min(most, count) * row
    alone = float(np.quantile(asked.calibration @ bank[0], 1 - TAIL))
    rows = list[Row]()
    for way, (find, read) in ways.items():
        held = find(asked.calibration)[0]
        threshold = alone if way == ALONE else float(np.quantile(held, 1 - TAIL))
        scores, whose = find(asked.about)
        rows.append(
            {
                "subjects": count,
                "likeness": likeness,
                "way": way,
                "threshold": threshold,
                "recall": float(((scores >= threshold) & (whose == asked.whom)).mean()),
                "over": float((find(asked.unknown)[0] >= threshold).mean()),
                "ms": timed(find, asked.about),
                "read": read,
            }
        )
    return rows


def staged_way(candidates: int) -> str:
    return f"two stages, {candidates:,}"


def draw(rows: Sequence[Row], path: Path) -> None:
    """Recall, over-refusal and time against the number of subjects."""
    from matplotlib.figure import Figure

    canvas = Figure(figsize=(11, 4.4), layout="constrained")
    panels = canvas.subplots(1, 3)
    titles = ("recall (%)", "over-refusal (%)", "ms per prompt")
    colours = ("#b0431e", "#1f5f91", "#3f7d4e", "#7a4f9a", "#8a6d1f", "#444444")
    ways = dict.fromkeys(row["way"] for row in rows)
    for likeness, line in zip(sorted({row["likeness"] for row in rows}), ("-", "--", ":", "-."), strict=False):
        for way, colour, mark in zip(ways, cycle(colours), cycle("osD^vP"), strict=False):
            mine = [row for row in rows if row["way"] == way and row["likeness"] == likeness]
            xs = [row["subjects"] for row in mine]
            for axes, values in zip(panels, _values(mine), strict=True):
                label = f"{way}, likeness {likeness:g}"
                axes.plot(xs, values, line, color=colour, marker=mark, markersize=5, alpha=0.8, label=label)
    for axes, title in zip(panels, titles, strict=True):
        axes.set(xscale="log", xlabel="subjects in force", title=title)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    for axes in panels[:2]:
        axes.set_ylim(-3, 103)
    panels[2].set_yscale("log")
    canvas.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8, frameon=False
    )
    canvas.savefig(path, dpi=110)


def _values(rows: Sequence[Row]) -> list[list[float]]:
    return [[100 * row["recall"] for row in rows], [100 * row["over"] for row in rows], [row["ms"] for row in rows]]


def main(command_line: Sequence[str] | None = None) -> None:
    parser = arguments(__doc__)
    parser.add_argument("--subjects", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--likeness", type=float, nargs="+", default=[0.25, 0.5])
    parser.add_argument("--width", type=int, default=512, help="features of a gate")
    parser.add_argument("--pooled", type=int, default=128, help="of them, those that the index has")
    parser.add_argument(
        "--candidates", type=int, nargs="+", default=[64, 1_024], help="gates that are asked after the index"
    )
    parser.add_argument("--prompts", type=int, default=1000, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--picture", type=Path, help="PNG to draw")
    options = parser.parse_args(command_line)
    faiss = extra("faiss", "scale")
    faiss.omp_set_num_threads(1)
    rows = [
        row for one in options.likeness for count in options.subjects for row in measured(faiss, count, one, options)
    ]
    if options.picture:
        draw(rows, options.picture)
    publish("python -m benchmarks.two_stage", options, {"Gates of many subjects": (rows, COLUMNS)})


if __name__ == "__main__":
    main()
