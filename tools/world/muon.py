"""Muon in float32: torch's own runs its iteration in bfloat16, which a CPU without such units does slowly.

Source: Keller Jordan, https://kellerjordan.github.io/posts/muon/ (momentum, then the nearest orthogonal matrix).
It learns rare facts in about half the steps of AdamW, and steps are what a CPU is short of.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import final

import torch

from unsee.shapes import Float, Tensor

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonalise(gradient: Float[Tensor, "batch rows columns"], steps: int = 5) -> Float[Tensor, "batch rows columns"]:
    """Push every singular value of each matrix towards 1 by a quintic Newton-Schulz iteration."""
    a, b, c = _COEFFICIENTS
    tall = gradient.shape[-2] > gradient.shape[-1]
    x = gradient.mT if tall else gradient
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    for _ in range(steps):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


@final
class Muon(torch.optim.Optimizer):
    """Nesterov momentum, orthogonalised; every parameter must be a matrix."""

    def __init__(
        self, params: Iterable[torch.nn.Parameter], lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update all matrices, those of one shape together."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[torch.nn.Parameter]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape[parameter.shape].append(parameter)
            for shape, parameters in by_shape.items():
                gradients = torch.stack([p.grad for p in parameters if p.grad is not None])
                state = self.state[parameters[0]]
                momentum = state.setdefault("momentum", torch.zeros_like(gradients))
                momentum.lerp_(gradients, 1 - group["momentum"])
                update = orthogonalise(gradients.lerp(momentum, group["momentum"]))
                update *= group["lr"] * max(1, shape[0] / shape[1]) ** 0.5
                for parameter, delta in zip(parameters, update, strict=True):
                    parameter.mul_(1 - group["lr"] * group["weight_decay"]).sub_(delta)


@final
class TowerOptimiser:
    """Muon for the matrices of a tower and AdamW for all else, warmed up over 30 steps and then falling to zero."""

    def __init__(
        self, tower: Iterable[torch.nn.Parameter], others: Iterable[torch.nn.Parameter] = (), *, rate: float, steps: int
    ) -> None:
        """Muon takes `rate`, AdamW a tenth of it; `steps` is when they end."""
        parameters = [p for p in tower if p.requires_grad]
        matrices = [p for p in parameters if p.ndim == 2 and min(p.shape) > 20]
        held = {id(p) for p in matrices}
        self.optimisers = (
            Muon(matrices, lr=rate, weight_decay=0.05),
            torch.optim.AdamW(
                [*(p for p in parameters if id(p) not in held), *others], lr=rate / 10, weight_decay=0.01
            ),
        )
        self.schedules = [
            torch.optim.lr_scheduler.LambdaLR(o, lambda s: min((s + 1) / 30, (steps - s) / (0.6 * steps), 1.0))
            for o in self.optimisers
        ]

    def step(self) -> None:
        """Take one step, and forget the gradients."""
        for optimiser, schedule in zip(self.optimisers, self.schedules, strict=True):
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            schedule.step()
