"""What fitting the published gate costs: one vector (rank 1) against the dense D x D matrix it stands for.

Same activations, same float64. Rank 1 is `null_space_gate`: a symmetric eigenproblem of the width and a solve as large
as the forget set (with few retained states there is no eigenproblem: `full_size` times that). Dense is the published
recipe, `torch.linalg.svd` and `torch.linalg.pinv`; the oracle of the tests, the same steps in numpy and written apart,
is timed too, so that the ratio does not rest on one library's decompositions. Dense and rank 1 must also mean the
same: the relative difference of `f(h)` on held-out states is reported for both dense forms.

Activations are of low rank plus noise, as hidden states are. Run from the repository root:

    python -m benchmarks.solve --markdown
    python -m benchmarks.solve --widths 256 512 1024 2048
    python -m benchmarks.solve --widths 64 --repeats 1 --json
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import torch
from benchmarks.common import Columns, Parts, Row, arguments, clock, paired, publish
from tests.oracles import dense_null_space_matrix

from unsee.erase.gates.null_space import RELEASED_LLAVA, null_space_gate
from unsee.shapes import Float, Tensor

COLUMNS: Columns = {
    "D": lambda row: str(row["width"]),
    "dense form": lambda row: row["condition"],
    "time, dense / rank 1": lambda row: str(row["solve"]["ratio"]),
    "rank 1 (ms)": lambda row: f"{row['solve']['base_ms'].median:.1f}",
    "dense (ms)": lambda row: f"{row['solve']['ms'].median:.1f}",
    "difference in f(h)": lambda row: f"{row['difference']:.1e}",
    "memory, dense / rank 1": lambda row: f"{row['dense_bytes'] / row['rank1_bytes']:.0f}",
    "rank 1 (KiB)": lambda row: f"{row['rank1_bytes'] / 1024:.1f}",
    "dense (KiB)": lambda row: f"{row['dense_bytes'] / 1024:.1f}",
}


@final
@dataclass(frozen=True, eq=False)
class Activations:
    """One layer's states, float64."""

    retain: Float[Tensor, "N D"]
    forget: Float[Tensor, "M D"]
    heldout: Float[Tensor, "P D"]
    direction: Float[Tensor, " D"]


def activations(width: int, noise: float, seed: int) -> Activations:
    """States `Z B + noise E` over `D / 8` shared components `B`; the forgotten ones carry a few of their own."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator, dtype=torch.float64)

    def states(count: int, components: Tensor) -> Tensor:
        rank = components.shape[0]
        return normal(count, rank) @ components / rank**0.5 + noise * normal(count, width)

    shared = normal(max(1, width // 8), width)
    forgotten = torch.cat([shared, normal(max(1, width // 32), width)])
    retain, forget = states(2 * width, shared), states(max(8, width // 8), forgotten)
    return Activations(retain, forget, torch.cat([states(64, shared), states(64, forgotten)]), normal(width))


def rank1(data: Activations) -> tuple[Tensor, Tensor]:
    """The request as two vectors: the gate, and the direction it scales."""
    return null_space_gate(data.retain, data.forget, RELEASED_LLAVA), data.direction


def dense(data: Activations) -> Tensor:
    """The request as the published D x D matrix, with torch's own decompositions."""
    settings, width = RELEASED_LLAVA, data.retain.shape[1]
    right = torch.linalg.svd(data.retain.mT @ data.retain).Vh
    null = right[width - int(settings.ratio * width) :].mT
    projector = null @ null.mT
    inputs = data.forget @ projector
    system = inputs.mT @ inputs + settings.gamma * projector.mT @ projector
    targets = data.direction.expand(data.forget.shape[0], -1)
    return projector @ (torch.linalg.pinv(system) @ inputs.mT @ targets)


def oracle(data: Activations) -> Tensor:
    """The same from the tests' numpy oracle."""
    settings = RELEASED_LLAVA
    return torch.from_numpy(
        dense_null_space_matrix(data.retain, data.forget, data.direction, settings.ratio, settings.gamma)
    )


def seconds(solve: Callable[[Activations], object], data: Activations) -> Callable[[], Parts]:
    """A run of one solver."""

    def run() -> Parts:
        start = clock()
        solve(data)
        return {"solve": clock() - start}

    return run


def difference(data: Activations, matrix: Tensor) -> float:
    """`|H M - H w d^T| / |H M|` over held-out states H, Frobenius."""
    weight, direction = rank1(data)
    truth = data.heldout @ matrix
    return float((truth - torch.outer(data.heldout @ weight, direction)).norm() / truth.norm())


def measure(width: int, options: argparse.Namespace) -> list[Row]:
    """Both dense forms against rank 1 at one width."""
    data = activations(width, options.noise, options.seed)
    solvers = {"torch svd + pinv": dense, "numpy oracle": oracle}
    rows = paired(seconds(rank1, data), {name: seconds(one, data) for name, one in solvers.items()}, options.repeats)
    vectors = sum(vector.nbytes for vector in rank1(data))
    facts = {}
    for name, solve in solvers.items():
        matrix = solve(data)
        facts[name] = {"difference": difference(data, matrix), "dense_bytes": matrix.nbytes, "rank1_bytes": vectors}
    return [{"width": width} | row | facts[row["condition"]] for row in rows]


def main(argv: Sequence[str] | None = None) -> list[Row]:
    parser = arguments(__doc__)
    parser.add_argument("--widths", nargs="+", type=int, default=[256, 512, 1024])
    parser.add_argument("--noise", type=float, default=0.1, help="standard deviation; the signal's is about 1")
    parser.add_argument("--repeats", type=int, default=5, help="pairs per dense form")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(argv)
    rows = [row for width in options.widths for row in measure(width, options)]
    publish("solve", options, {"Dense over rank 1 (median and quartiles)": (rows, COLUMNS)})
    return rows


if __name__ == "__main__":
    main()
