"""Muon, against the singular value decomposition in float64 and the update written out a matrix at a time."""

import pytest
import torch
from tools.world.muon import Muon, orthogonalise

from unsee.shapes import Float, Tensor


def by_svd(matrix: Float[Tensor, "R C"], steps: int = 5) -> Float[Tensor, "R C"]:
    """The iteration is odd in the matrix, so it keeps the singular vectors and maps each singular value alone."""
    left, values, right = torch.linalg.svd(matrix.double(), full_matrices=False)
    values = values / values.norm()
    for _ in range(steps):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    return left @ values.diag() @ right


def matrices(*shape: int, seed: int = 0) -> Float[Tensor, "..."]:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(12, 30), (30, 12), (16, 16), (1, 7)])
def test_every_matrix_keeps_its_singular_vectors(shape: tuple[int, int]) -> None:
    batch = matrices(3, *shape) * torch.tensor([1e-3, 1.0, 1e3]).view(3, 1, 1)
    expected = torch.stack([by_svd(matrix) for matrix in batch])
    torch.testing.assert_close(orthogonalise(batch).double(), expected, rtol=0, atol=2e-4)


@pytest.mark.parametrize("shape", [(12, 30), (30, 12)])
def test_singular_values_are_pushed_towards_one(shape: tuple[int, int]) -> None:
    matrix = matrices(*shape)
    before = torch.linalg.svdvals(matrix)
    after = torch.linalg.svdvals(orthogonalise(matrix[None])[0])
    assert before.max() / before.min() > 3
    assert after.min() > 0.65
    assert after.max() < 1.25


def test_no_gradient_is_no_update() -> None:
    assert torch.equal(orthogonalise(torch.zeros(1, 3, 4)), torch.zeros(1, 3, 4))


def test_steps_equal_the_formula_matrix_by_matrix() -> None:
    """Two parameters share a shape, and so a stack; one is tall, which scales its update."""
    lr, momentum, decay = 0.02, 0.9, 0.1
    starts = [matrices(6, 8, seed=1), matrices(6, 8, seed=2), matrices(9, 4, seed=3)]
    parameters = [torch.nn.Parameter(start.clone()) for start in starts]
    optimiser = Muon(parameters, lr=lr, momentum=momentum, weight_decay=decay)
    expected = [start.double() for start in starts]
    averages = [torch.zeros_like(start) for start in expected]
    for step in range(2):
        for index, parameter in enumerate(parameters):
            gradient = matrices(*parameter.shape, seed=10 * step + index + 5)
            parameter.grad = gradient.clone()
            averages[index] = momentum * averages[index] + (1 - momentum) * gradient.double()
            ahead = momentum * averages[index] + (1 - momentum) * gradient.double()
            rows, columns = parameter.shape
            change = lr * max(1.0, rows / columns) ** 0.5 * by_svd(ahead)
            expected[index] = (1 - lr * decay) * expected[index] - change
        optimiser.step()
    for parameter, value in zip(parameters, expected, strict=True):
        torch.testing.assert_close(parameter.detach().double(), value, rtol=0, atol=1e-5)


def test_a_parameter_without_gradient_stays() -> None:
    moved, still = torch.nn.Parameter(torch.ones(3, 4)), torch.nn.Parameter(torch.ones(4, 3))
    moved.grad = matrices(3, 4)
    Muon([moved, still], lr=0.1, weight_decay=0.5).step()
    assert not torch.equal(moved.detach(), torch.ones(3, 4))
    assert torch.equal(still.detach(), torch.ones(4, 3))
